"""Real alerts in a real archive, and the publisher as a person would set it up, for the tests of publication."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord, outbox, reading
from mma_pipeline.adapters.archive.publications import Publication
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.publishing.config import DestinationConfig
from mma_pipeline.adapters.publishing.decision import Decider
from mma_pipeline.adapters.publishing.gwtm import GwtmDestination
from mma_pipeline.adapters.publishing.gwtm_client import GwtmClient
from mma_pipeline.adapters.publishing.publisher import Backoff, Publisher
from mma_pipeline.adapters.publishing.rules import Rule
from mma_pipeline.adapters.store.paths import treasure_map_key
from mma_pipeline.products.ingest import ingest, parse_alert
from tests.services.gwtm_schemas import ADMIN
from tests.services.gwtm_standin import GwtmStandIn

SHARED = Path(__file__).resolve().parents[4] / "shared"
ALERTS = SHARED / "data" / "gw_alerts"
needs_alerts = pytest.mark.skipif(not ALERTS.is_dir(), reason="../shared/data/gw_alerts is not here")
#: Nothing waits in tests: a failed attempt is due again at once.
NO_WAIT = Backoff(first_s=0.0, longest_s=0.0, waiting_s=0.0, attempts=5, waiting_limit_s=3600)
EVERYTHING = Rule(roles=("observation", "test"))
GWTM = DestinationConfig("gwtm", "gwtm", EVERYTHING)


def alert_files() -> list[Path]:
    """The real alerts, in the order of their names."""
    return sorted(p for p in ALERTS.iterdir() if p.suffix in {".json", ".avro"})


#: Decoding the maps is what takes time, and it is not what is tested here.
_parse = functools.lru_cache(maxsize=64)(parse_alert)


def take_in(archive: Archive, bodies: Iterable[bytes], start: int = 0) -> list[VersionRecord]:
    """Archive messages as the sensor does; returns the versions of each, repeats included."""
    found: list[VersionRecord] = []
    for offset, body in enumerate(bodies, start=start):
        message = StreamMessage("test", "igwn.gwalert", 0, offset, body, None, (), None, datetime.now(UTC))
        recorded = ingest(archive, message, _parse)
        found += getattr(recorded, "versions", ())
    return found


def make_products(archive: Archive, record: VersionRecord, **statistics: Any) -> None:
    """Note a flat map and figures for a version, as the assets do."""
    name = treasure_map_key(record.stem, ".fits.gz")
    digest = hashlib.sha256(name.encode()).hexdigest()
    known = {"area_50_deg2": 100.0, "area_90_deg2": 400.0, "peak_ra_deg": 10.0, "peak_dec_deg": -5.0} | statistics
    archive.record_product(
        ProductRecord(
            record.partition_key, "flat_skymap", "flat_skymap", name, digest, 10, "application/gzip", "1", digest,
            known, datetime.now(UTC),
        )
    )  # fmt: skip


def address(key: str) -> str:
    """Where a storage key is to be found, for links."""
    return f"https://store.example/{key}"


def decider(archive: Archive, *configs: DestinationConfig) -> Decider:
    """A decider for the given destinations, the GWTM site by default."""
    return Decider(archive, address, configs or (GWTM,))


def decide_all(archive: Archive, records: Sequence[VersionRecord], *configs: DestinationConfig) -> None:
    """Decide about each version, as its asset does."""
    chooser = decider(archive, *configs)
    for record in records:
        if record.facts.get("skymap_sha256"):
            make_products(archive, record)
        chooser.decide(record, datetime.now(UTC))


def gwtm(
    server: GwtmStandIn, *, timeout_s: float = 30.0, settle_s: float = 0.0, repeat_s: float = 0.0, token: str = ADMIN
) -> GwtmDestination:
    """The stand-in as a destination."""
    client = GwtmClient(server.base, token, timeout_s=timeout_s, post_timeout_s=timeout_s)
    return GwtmDestination(client, settle_s=settle_s, repeat_s=repeat_s)


def publisher(archive: Archive, *destinations: Any, **options: Any) -> Publisher:
    """A publisher that does not wait between attempts."""
    by_name = {destination.name: destination for destination in destinations}
    return Publisher(archive.engine, by_name, **({"backoff": NO_WAIT} | options))


def all_publications(archive: Archive) -> list[Publication]:
    """Everything in the outbox."""
    with reading(archive.engine) as connection:
        return outbox.publications(connection)


def site_names(server: GwtmStandIn) -> dict[str, str | None]:
    """File stem as the site counts it, to the map that the row there points to."""
    names: dict[str, str | None] = {}
    counts: dict[tuple[str, str], int] = {}
    for row in sorted(server.alerts, key=lambda r: (r["datecreated"], r["id"])):
        kind = (row["graceid"], row["alert_type"])
        number = counts.get(kind, 0)
        counts[kind] = number + 1
        names[f"{row['graceid']}-{row['alert_type']}{number or ''}"] = row["skymap_fits_url"]
    return names
