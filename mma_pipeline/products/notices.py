"""Notices of other observatories as versions: their summary for the archive, and whether a map follows from them."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

from mma_pipeline.notices.degraded import MAX_LENGTH, bounded
from mma_pipeline.notices.gcn.declaration import CoreStream
from mma_pipeline.notices.gcn.notice import CoreNotice, parse_core
from mma_pipeline.notices.key import EventVersion
from mma_pipeline.notices.model import AlertType
from mma_pipeline.notices.text import one_line
from mma_pipeline.products.maps import map_problems

#: Largest error, deg, with which galaxies in the field are worth a list where no distance is known.
HOSTS_WITHIN_DEG = 2.0


def core_parser(stream: CoreStream) -> Callable[[bytes], tuple[tuple[EventVersion, dict[str, Any]], ...]]:
    """The parser of a stream's messages, for `ingest`."""

    def parse(body: bytes) -> tuple[tuple[EventVersion, dict[str, Any]], ...]:
        notice, version = parse_core(stream, body)
        return ((version, notice_summary(notice)),)

    return parse


def notice_summary(notice: CoreNotice) -> dict[str, Any]:
    """Summary of a notice as JSON values, with the names that gravitational-wave alerts have for the same things.

    `skymap_sha256` is the digest of the map inside the notice, or of the shape from which the map is made; None without a
    usable map, and `no_map` then says why. `skymap_url` names a map that is still to be fetched.
    """
    stream = notice.stream
    digest, why_not, degraded = _map(notice)
    facts: dict[str, Any] = {
        "alert_type": notice.alert_type.value,
        "time_created": notice.created.isoformat(),
        "time": None if notice.time is None else notice.time.isoformat(),
        "stream": stream.name,
        "messenger": stream.messenger,
        "instruments": [stream.instrument],
        "pipeline": notice.pipeline,
        "triggers": list(notice.names),
        "tense": notice.tense,
        "far_hz": notice.far,
        "classification": dict(notice.classification),
        "signal": dict(notice.signal),
        "urls": dict(notice.urls),
        "position_deg": None if notice.position is None else list(notice.position),
        "localisation": None if notice.shape is None else notice.shape.to_json(),
        "skymap_sha256": digest,
        "skymap_url": notice.skymap_url,
    }
    if why_not is not None:
        facts["no_map"] = why_not
    facts["left_out"] = _left_out(notice)
    if lines := (*notice.degraded, *degraded):
        facts["degraded"] = list(bounded(lines))
    return facts


def _map(notice: CoreNotice) -> tuple[str | None, str | None, tuple[str, ...]]:
    """Digest of the map, why there is none, and what is wrong with it."""
    if notice.alert_type is AlertType.RETRACTION:
        return None, "the notice withdraws the trigger", ()
    problems: tuple[str, ...] = ()
    if notice.skymap is not None:
        usable, wrong = map_problems(notice.skymap, notice.position)
        problems = tuple(one_line(f"healpix_file: {problem}", MAX_LENGTH) for problem in wrong)
        if usable:
            return hashlib.sha256(notice.skymap).hexdigest(), None, problems
    if notice.shape is not None:
        from mma_pipeline.science.skymaps.localise import localisation
        from mma_pipeline.science.skymaps.model import SkyMapError

        try:
            found = localisation(notice.shape)
        except SkyMapError as error:
            return None, str(error), (*problems, one_line(str(error), MAX_LENGTH))
        if not found.holds(notice.shape.ra, notice.shape.dec):
            problems = (*problems, "the stated position lies outside of the stated error")
        return notice.shape.digest, None, problems
    later = ": its map is to be fetched" if notice.skymap_url else ""
    if notice.position is not None:
        return None, f"the notice gives a position without an error{later}", problems
    return None, f"the notice gives no usable localisation{later}", problems


def _left_out(notice: CoreNotice) -> dict[str, str]:
    """Products that make no sense for the source, with the reason."""
    found = {"kilonova_forecast": f"No forecast: {notice.stream.instrument} measures no distance and no masses."}
    if notice.stream.galactic:
        found["galaxies"] = f"No list: the sources of {notice.stream.instrument} are in the Galaxy."
    elif notice.shape is None or max(notice.shape.semi_major, notice.shape.semi_minor) > HOSTS_WITHIN_DEG:
        found["galaxies"] = (
            f"No list: without a distance, galaxies are listed where the error is at most {HOSTS_WITHIN_DEG:g} deg."
        )
    return found
