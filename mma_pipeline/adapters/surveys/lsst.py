"""Rubin's LSST alerts, packets 10.0 to 11.1 (lsst/alert_packet), sent by Rubin or passed on by a broker.

Fluxes are nJy of the difference image and may be negative. Times are TAI, 37 s ahead of UTC since 2017. There is no
list of limits: forced fluxes of the object's position say where nothing was seen. A source belongs to a `diaObject` or
to a known solar-system object; the second kind is named `sso` and the number, as BOOM does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mma_pipeline.adapters.surveys.values import (
    by_time,
    details_of,
    frozen,
    head_of,
    identifier,
    mjd_of_tai_or_none,
    name_of,
    number,
    rows,
    section,
)
from mma_pipeline.adapters.surveys.ztf import first_detection
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.surveys import AlertHead, FluxPoint, Origin, PacketFacts, SolarSystemMatch, SurveyAlert
from mma_pipeline.notices.times import mjd_of_tai

BANDS = {letter: f"lsst{letter}" for letter in "ugrizy"}
#: Leading fields of the head.
LEADING = (
    "diaSource.diaSourceId", "diaSource.diaObjectId", "diaSource.ssObjectId", "diaSource.midpointMjdTai", "diaSource.ra",
    "diaSource.dec",
)  # fmt: skip
DETAILS = (
    "visit", "detector", "snr", "extendedness", "isDipole", "trailLength", "scienceFlux", "templateFlux", "glint_trail",
    "psfFlux_flag", "centroid_flag", "shape_flag", "pixelFlags", "pixelFlags_bad", "pixelFlags_crCenter", "pixelFlags_edge",
    "pixelFlags_saturatedCenter", "pixelFlags_streak", "pixelFlags_injected",
)  # fmt: skip


def object_name(source: Mapping[str, Any]) -> str | None:
    """The name of the object that a source belongs to; None where it says none."""
    own = identifier(source.get("diaObjectId"))
    if own is not None:
        return own
    moving = identifier(source.get("ssObjectId"))
    return None if moving is None else f"sso{moving}"


def head(record: Mapping[str, Any]) -> AlertHead:
    """Object, position and time; raises NoticeError, also where only `diaObject` behind the leading fields names it."""
    source = section(record, "diaSource")
    name = object_name(source) or identifier(section(record, "diaObject").get("diaObjectId"))
    alert_id = identifier(source.get("diaSourceId"))
    mjd = mjd_of_tai(source.get("midpointMjdTai"))
    return head_of("lsst", name, alert_id, source.get("ra"), source.get("dec"), mjd)


def alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """The whole alert; raises NoticeError where the head is wrong or the detection has no flux."""
    source, dia_object, moving = (section(record, key) for key in ("diaSource", "diaObject", "ssSource"))
    found = head(record)
    detection = point_of(source, "alert")
    if detection is None:
        raise NoticeError("the detection has no flux, or a band that Rubin does not have")
    lists: tuple[tuple[str, Origin], ...] = (("prvDiaSources", "previous"), ("prvDiaForcedSources", "forced"))
    earlier = (point_of(row, origin) for key, origin in lists for row in rows(record.get(key)) if not withdrawn(row))
    points = by_time([detection, *(p for p in earlier if p is not None)])
    first = mjd_of_tai_or_none(dia_object.get("firstDiaSourceMjdTai"))
    details = details_of(source, DETAILS) | details_of(dia_object, ("nDiaSources",))
    facts = PacketFacts(
        real_bogus=number(source.get("reliability")),
        real_bogus_kind=None if number(source.get("reliability")) is None else "reliability",
        solar_system=_solar_system(source, moving),
        is_negative=is_negative(source),
        first_mjd=first_detection(points) if first is None else first,
        details=frozen(details | details_of(record, ("observation_reason", "target_name"))),
    )
    return SurveyAlert(found, points, facts, schema, broker)


def point_of(row: Mapping[str, Any], origin: Origin) -> FluxPoint | None:
    """The point of a source or forced source; None where it has no flux, no time or no band of Rubin's."""
    band, flux = BANDS.get(row.get("band") or ""), number(row.get("psfFlux"))
    mjd = mjd_of_tai_or_none(row.get("midpointMjdTai"))
    if band is None or flux is None or mjd is None:
        return None
    error = number(row.get("psfFluxErr"))
    return FluxPoint(mjd, band, flux, error if error is not None and error > 0 else None, None, origin)


def is_negative(source: Mapping[str, Any]) -> bool:
    """Whether the source is fainter than the template: as flagged, else by the sign of its flux."""
    flagged = source.get("isNegative")
    flux = number(source.get("psfFlux"))
    return flagged if isinstance(flagged, bool) else flux is not None and flux < 0


def withdrawn(row: Mapping[str, Any]) -> bool:
    """Whether Rubin has taken a source back."""
    return number(row.get("timeWithdrawnMjdTai")) is not None


def _solar_system(source: Mapping[str, Any], moving: Mapping[str, Any]) -> SolarSystemMatch | None:
    """The object that the source was linked to, with the offset from its ephemeris."""
    number_ = identifier(source.get("ssObjectId")) or identifier(moving.get("ssObjectId"))
    designation = name_of(moving.get("designation"))
    if number_ is None and designation is None:
        return None
    return SolarSystemMatch(designation or f"sso{number_}", number(moving.get("ephOffset")))
