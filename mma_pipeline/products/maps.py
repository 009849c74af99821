"""The map of a version as FITS bytes, wherever it comes from: inside the message, at an address, or from an error circle."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.event_history import chronological
from mma_pipeline.adapters.kafka.avro import MAGIC, decode_avro
from mma_pipeline.notices import lvk
from mma_pipeline.notices.degraded import unusable_map
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.gcn.localisation import Shape
from mma_pipeline.notices.gcn.notice import parse_core
from mma_pipeline.notices.gcn.streams import stream_named
from mma_pipeline.notices.model import LvkNotice

if TYPE_CHECKING:
    from mma_pipeline.science.skymaps.model import SkyMap

#: Probability within which a map holds the position that is stated beside it.
_HOLDS = 0.999


def read_alert(body: bytes) -> LvkNotice:
    """An `igwn.gwalert` message in JSON or Avro, recognised by its first bytes; raises NoticeError."""
    return lvk.from_record(decode_avro(body)) if body.startswith(MAGIC) else lvk.parse_json(body)


def map_problems(data: bytes, position: Sequence[float] | None = None) -> tuple[bool, tuple[str, ...]]:
    """Whether a map can be used, and which parts of it are wrong or left out.

    `position`: RA and Dec in degrees that are stated beside it, where there are any. A map that does not hold them is of
    another source, or its pixels are in another order than it says.
    """
    from mma_pipeline.science.skymaps.crossmatch import crossmatch
    from mma_pipeline.science.skymaps.model import SkyMapError, decode_skymap

    try:
        skymap = decode_skymap(data)
    except SkyMapError as error:
        return False, (f"{error}; map products are not made",)
    if position is None or crossmatch(skymap, *position).searched_prob[0] <= _HOLDS:
        return True, skymap.notes
    return True, (*skymap.notes, f"the stated position lies outside of its {_HOLDS:.1%} region".replace("%", " %"))


def unusable_of(records: Sequence[VersionRecord]) -> tuple[str, str] | None:
    """The newest own notice that states facts, and why its map cannot be used; None if it can, or if it has none."""
    stated = [
        r
        for r in chronological(records)
        if "time" in r.facts and not r.version.is_external and not r.version.is_retraction
    ]
    reason = unusable_map(stated[-1].facts) if stated else None
    return None if reason is None else (stated[-1].version.label, reason.partition(";")[0])


def why_no_map(name: str, records: Sequence[VersionRecord]) -> str:
    """Why an event, or a version, has no map to work with: it has none, or one that cannot be used.

    Args:
        name: what it is called.
        records: its versions, in any order.
    """
    unusable = unusable_of(records)
    if unusable is None:
        return f"{name} has no version with a map in the archive"
    return f"{name} has no map that can be used: the map of its {unusable[0]} notice cannot be ({unusable[1]})"


def archived_map(archive: Archive, record: VersionRecord) -> bytes | None:
    """The map of a version from its archived message; None if the version has none."""
    return map_in(archive.message(record.message_id).body, record) if record.has_map else None


def map_in(body: bytes, record: VersionRecord) -> bytes | None:
    """The map of a version that has one, from the bytes of its message: as sent, or made from the shape that is stated."""
    if record.version.is_gravitational_wave:
        return lvk.map_of(read_alert(body), record.version)
    if record.version.is_fetched_map:
        return body
    stream = stream_named(str(record.facts.get("stream")))
    if stream is None:
        raise NoticeError(f"the stream {record.facts.get('stream')!r} of {record.partition_key} is no longer known")
    inside = parse_core(stream, body)[0].skymap
    if inside is not None and record.facts.get("skymap_sha256") != _digest(record):
        return inside
    return _made(record)


def _digest(record: VersionRecord) -> str | None:
    """Digest of the shape that a version states, which is that of its map where the map is made from it."""
    shape = record.facts.get("localisation")
    return None if shape is None else Shape.from_json(shape).digest


def _made(record: VersionRecord) -> bytes | None:
    """The map of the stated shape; the same version always gives the same bytes."""
    from mma_pipeline.science.skymaps.localise import localise
    from mma_pipeline.science.skymaps.model import encode_skymap

    if record.facts.get("localisation") is None:
        return None
    meta = {"OBJECT": record.version.event_id, "CREATOR": "mma_pipeline"}
    if (time := record.facts.get("time")) is not None:
        meta["DATE-OBS"] = datetime.fromisoformat(str(time)).replace(tzinfo=None).isoformat(timespec="milliseconds")
    return encode_skymap(localise(Shape.from_json(record.facts["localisation"]), meta))


def decoded_map(archive: Archive, record: VersionRecord) -> SkyMap | None:
    """The same, decoded; None if the version has none. Raises SkyMapError for bytes that are no map."""
    from mma_pipeline.science.skymaps.model import decode_skymap

    data = archived_map(archive, record)
    return None if data is None else decode_skymap(data)
