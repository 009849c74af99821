"""A client of the portal's API: the products of an event as astropy, mocpy and pandas objects.

    from mma_pipeline.client import Portal
    event = Portal("https://portal.example.org").event("S230518h")
    products = event.products()          # products["skymap"], products["galaxies"], … are read when asked for

`event.retracted_by` and `products.retracted_by` name the notice that retracted the event; None while it stands.

Every file is compared with its SHA-256. Errors are those of `mma_pipeline.adapters.errors`: NotFoundError for what is not
there, CredentialsError where the portal's login refuses, TransientError where trying again can help.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from types import TracebackType
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
import numpy as np

from mma_pipeline.adapters.errors import ConfigurationError, DigestError, PermanentError
from mma_pipeline.adapters.http import client, refusal, timeouts, transport_error
from mma_pipeline.adapters.retry import attempts
from mma_pipeline.science.position_tables import positions_of_table
from mma_pipeline.settings import current

if TYPE_CHECKING:
    import pandas as pd
    from astropy.table import Table
    from mocpy import MOC

_ATTEMPTS, _SECONDS = 3, 60.0
_WHO = "the portal"


@dataclass(frozen=True)
class FileInfo:
    """A file of an event."""

    name: str
    key: str
    """Its key in the store."""
    url: str
    product: str | None
    version: str | None
    content_type: str | None
    size: int
    """Bytes."""
    sha256: str | None


class Portal:
    """A portal by its address; by default `MMA_PORTAL_URL`.

    Args:
        address: such as ``https://portal.example.org``.
        headers: sent with every request, such as a session's cookie where the portal is behind a login.
        transport: for tests.
    """

    def __init__(
        self,
        address: str | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        found = address or current().portal.url
        if not found:
            raise ConfigurationError("name the portal's address, or set MMA_PORTAL_URL")
        self.address = found.rstrip("/")
        parts = urlsplit(self.address)
        self._origin = f"{parts.scheme}://{parts.netloc}"
        self._http = client(headers=headers, transport=transport)

    def __enter__(self) -> Portal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def event(self, event_id: str) -> Event:
        """An event; raises NotFoundError if the portal has none of that id."""
        return Event(self, self.get(f"events/{event_id}"))

    def events(self, **filters: Any) -> pd.DataFrame:
        """All events that a filter takes, newest first: a row for each, by id.

        Args:
            filters: those of the API's list of events, such as ``since="2026-01-01"``, ``source_class="BNS"``.
        """
        import pandas as pd

        rows: list[dict[str, Any]] = []
        while True:
            page = self.get("events", {**_query(filters), "start": str(len(rows)), "size": "500"})
            rows += page["events"]
            if not page["events"] or len(rows) >= page["total"]:
                break
        frame = pd.DataFrame(rows)
        for name in {"time", "newest"} & set(frame.columns):
            frame[name] = pd.to_datetime(frame[name], format="ISO8601", utc=True)
        return frame.set_index("event") if rows else frame

    def events_at(self, ra: float, dec: float, *, level: float = 0.9, test: bool = False) -> pd.DataFrame:
        """Live events whose map has a position (deg, ICRS) within a credible level, 0 to 1."""
        import pandas as pd

        query = _query({"ra": ra, "dec": dec, "level": level, "test": test})
        return pd.DataFrame(self.get("regions/events", query)["events"])

    def objects_in(self, region: MOC, *, test: bool = False) -> pd.DataFrame:
        """Candidates within a region, by name."""
        import pandas as pd

        body, rows = region.to_string("json").encode(), list[dict[str, Any]]()
        while True:
            query = _query({"test": test, "start": len(rows), "size": 500})
            page = self._object(self._post("regions/objects", body, "text/plain", query))
            rows += page["objects"]
            if not page["objects"] or len(rows) >= page["total"]:
                return pd.DataFrame(rows)

    def pairs(self, **filters: Any) -> pd.DataFrame:
        """All pairs of events of different messengers that a filter takes, the newest gravitational wave first.

        Args:
            filters: those of the API, such as ``state="claimed"``, ``since="2026-01-01"``.
        """
        return self.pairs_at("pairs", filters)

    def pairs_at(self, path: str, filters: Mapping[str, Any]) -> pd.DataFrame:
        """Pairs at a path of the API, with a column for each figure."""
        import pandas as pd

        rows: list[dict[str, Any]] = []
        while True:
            page = self.get(path, {**_query(filters), "start": str(len(rows)), "size": "500"})
            rows += page["pairs"]
            if not page["pairs"] or len(rows) >= page["total"]:
                break
        frame = pd.DataFrame([{**{k: v for k, v in row.items() if k != "figures"}, **row["figures"]} for row in rows])
        if rows:
            frame["time"] = pd.to_datetime(frame["time"], format="ISO8601", utc=True)
        return frame

    def get(self, path: str, query: Mapping[str, str] | None = None) -> Any:
        """The JSON answer of the API below /api/v1."""
        return self._object(self._get(f"{self.address}/api/v1/{path}", query))

    def _object(self, data: bytes) -> Any:
        try:
            found = json.loads(data)
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise PermanentError(f"{self.address} does not answer as a portal does: check the address")
        return found

    def content(self, file: FileInfo) -> bytes:
        """The bytes of a file; raises DigestError if they are not those that the API names."""
        data = self._get(file.url)
        if file.sha256 is not None and hashlib.sha256(data).hexdigest() != file.sha256:
            raise DigestError(f"{file.key} is not the file that was listed: it was made again, list the files anew")
        return data

    def follow(self, *, test: bool = False) -> Iterator[Mapping[str, Any]]:
        """New versions and retractions as they come, until the portal ends the stream (after an hour)."""
        url, query = f"{self.address}/api/v1/stream", _query({"test": test})
        # Signs of life come every 15 s.
        try:
            with self._http.stream("GET", url, params=query, timeout=timeouts(_SECONDS)) as answer:
                if not answer.is_success:
                    answer.read()
                    raise refusal(answer, _WHO, (), changes=False) or PermanentError("the portal refused")
                for line in answer.iter_lines():
                    if line.startswith("data: "):
                        yield json.loads(line.removeprefix("data: "))
        except httpx.TransportError as error:
            raise transport_error(error, _WHO, changes=False) from error

    def crossmatch(self, event_id: str, positions: Table | pd.DataFrame) -> Table:
        """Where the newest map of an event has positions: a row for each, in the table's order.

        Args:
            event_id: the event.
            positions: a table with the columns ra and dec, if known also name and distance. Units that an astropy table
                states are converted; without units, angles are degrees (ICRS) and distances Mpc.

        The answer's `meta` names event and version, and in `retracted_by` the notice that withdrew the event, if it is
        retracted. Raises PositionError (a ValueError) for a unit that does not fit and for positions off the sphere.
        """
        from astropy.table import Table

        found = positions_of_table(positions if isinstance(positions, Table) else Table.from_pandas(positions))
        plain = Table({"ra": found.ra, "dec": found.dec})
        if any(name is not None for name in found.names):
            plain["name"] = [name or "" for name in found.names]
        if not np.isnan(found.distance).all():
            plain["distance"] = found.distance
        buffer = io.StringIO()
        plain.write(buffer, format="ascii.csv")
        body = self._post(f"events/{event_id}/crossmatch", buffer.getvalue().encode(), "text/csv", {"format": "ecsv"})
        return Table.read(body.decode().splitlines(), format="ascii.ecsv")

    def _get(self, url: str, query: Mapping[str, str] | None = None) -> bytes:
        if not url.startswith(f"{self._origin}/"):
            raise PermanentError("the portal names an address that is not its own")
        return self._ask("GET", url, query, None, {})

    def _post(self, path: str, body: bytes, content_type: str, query: Mapping[str, str]) -> bytes:
        # It computes and changes nothing, so it may be repeated.
        return self._ask("POST", f"{self.address}/api/v1/{path}", query, body, {"content-type": content_type})

    def _ask(
        self, method: str, url: str, query: Mapping[str, str] | None, body: bytes | None, headers: Mapping[str, str]
    ) -> bytes:
        def once() -> bytes:
            try:
                answer = self._http.request(
                    method,
                    url,
                    params=query,
                    content=body,
                    headers=headers,
                    timeout=timeouts(_SECONDS),
                )
            except httpx.TransportError as error:
                raise transport_error(error, _WHO, changes=False) from error
            failure = refusal(answer, _WHO, (), changes=False)
            if failure is not None:
                raise failure
            return answer.content

        data: bytes = attempts(_ATTEMPTS, longest_s=5.0)(once)
        return data


class Event:
    """An event of a portal."""

    def __init__(self, portal: Portal, summary: Mapping[str, Any]) -> None:
        self._portal = portal
        self.summary = summary
        """What a list shows of it."""
        self.id = str(summary["event"])
        """Its id."""
        found = summary["retracted_by"]
        self.retracted_by = None if found is None else str(found)
        """Partition key of the notice that retracted it; None while it stands."""

    def __repr__(self) -> str:
        return f"Event({self.id!r}{_retracted(self.retracted_by)})"

    def versions(self) -> pd.DataFrame:
        """Its versions, newest first, by partition key; facts of the notices in columns of their own."""
        import pandas as pd

        rows = self._portal.get(f"events/{self.id}/versions")["versions"]
        frame = pd.DataFrame([{**{k: v for k, v in row.items() if k != "facts"}, **row["facts"]} for row in rows])
        frame["created"] = pd.to_datetime(frame["created"], format="ISO8601", utc=True)
        return frame.set_index("version")

    def products(self, version: str | None = None) -> Products:
        """The products of a version, by default of the one with the newest map, by the names of their files."""
        wanted = version or self.summary["map_version"] or self.summary["newest_version"]
        found = self._portal.get(f"events/{self.id}/products")["products"]
        chosen = [product for product in found if product["version"] == wanted]
        return Products(self._portal, wanted, chosen, self.retracted_by)

    def files(self) -> list[FileInfo]:
        """Every file of the event."""
        return [_file(self._portal, one) for one in self._portal.get(f"events/{self.id}/files")["files"]]

    def candidates(self) -> pd.DataFrame:
        """Its kilonova candidates with their latest score, the most probable first."""
        import pandas as pd

        rows: list[Mapping[str, Any]] = []
        while True:
            page = self._portal.get(f"events/{self.id}/candidates", {"start": str(len(rows)), "size": "500"})
            rows += page["candidates"]
            if not page["candidates"] or len(rows) >= page["total"]:
                return pd.DataFrame([{k: v for k, v in row.items() if k != "history"} for row in rows])

    def pairs(self) -> pd.DataFrame:
        """The pairs that it makes with events of other messengers, claimed or not."""
        return self._portal.pairs_at(f"events/{self.id}/pairs", {})

    def crossmatch(self, positions: Table | pd.DataFrame) -> Table:
        """Where its newest map has positions, as `Portal.crossmatch`."""
        return self._portal.crossmatch(self.id, positions)


class Products(Mapping[str, Any]):
    """Products of one version by the names of their files; each is fetched and read when it is first asked for.

    Maps are astropy tables with a row for each pixel, regions mocpy MOCs, lists of objects pandas frames, tables astropy
    tables, pictures bytes, other JSON Python values.
    """

    def __init__(
        self, portal: Portal, version: str, found: Sequence[Mapping[str, Any]], retracted_by: str | None = None
    ) -> None:
        self._portal = portal
        self.version = version
        """Partition key of the version."""
        self.retracted_by = retracted_by
        """Partition key of the notice that retracted the event; None if it stood when the event was asked for."""
        self.figures: Mapping[str, Mapping[str, Any]] = {one["product"]: one["figures"] for one in found}
        """Statistics by product, with units in their names."""
        self.files: Mapping[str, FileInfo] = {
            file["name"]: _file(portal, file) for one in found for file in one["files"]
        }
        """Files by name."""
        self._read: dict[str, Any] = {}

    def __getitem__(self, name: str) -> Any:
        if name not in self._read:
            file = self.files[name]
            self._read[name] = _object(file, self._portal.content(file))
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.files)

    def __len__(self) -> int:
        return len(self.files)

    def __repr__(self) -> str:
        return f"Products({self.version!r}{_retracted(self.retracted_by)}: {', '.join(self.files)})"

    @cached_property
    def url(self) -> Mapping[str, str]:
        """Address of each file."""
        return {name: file.url for name, file in self.files.items()}


def _retracted(by: str | None) -> str:
    return "" if by is None else f", RETRACTED by {by!r}"


def _object(file: FileInfo, data: bytes) -> Any:
    """The content of a file as the object that suits it."""
    import pandas as pd
    from astropy.table import Table

    kind, name = (file.content_type or "").partition(";")[0], file.key.rpartition("/")[2]
    if name.endswith((".fits", ".fits.gz")):
        while data.startswith(b"\x1f\x8b"):  # astropy unpacks files that have a name, not bytes
            data = gzip.decompress(data)
        if "moc" in file.name or file.name.startswith("coverage_"):
            from mocpy import MOC

            return MOC.from_fits(io.BytesIO(data))
        return Table.read(io.BytesIO(data), format="fits", hdu=1)
    if name.endswith(".ecsv"):
        return Table.read(data.decode().splitlines(), format="ascii.ecsv")
    if kind == "application/x-votable+xml":
        return Table.read(io.BytesIO(data), format="votable")
    if kind.endswith(("json", "json-seq")):
        value = json.loads(data)
        rows = isinstance(value, list) and value and all(isinstance(one, dict) for one in value)
        return pd.DataFrame(value) if rows else value
    return data


def _file(portal: Portal, entry: Mapping[str, Any]) -> FileInfo:
    parts = urlsplit(portal.address)
    url = f"{parts.scheme}://{parts.netloc}{entry['href']}"
    shared = ("name", "key", "product", "version", "content_type", "size", "sha256")
    return FileInfo(url=url, **{name: entry[name] for name in shared})


def _query(values: Mapping[str, Any]) -> dict[str, str]:
    """Parameters of a request; those that are None are left out."""
    return {name: _text(value) for name, value in values.items() if value is not None}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a number is not finite")
    return str(value)
