"""Lasair's Kafka streams (lsst-uk/lasair-lsst): JSON with the columns that a person's filter selects, and perhaps the alert.

A filter must select a position and a time, else there is nothing to compare with an event. With `alert` (Lasair's "lite"
or "full" lightcurve) the message carries sources and forced sources as Rubin does, or ZTF's candidates.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from mma_pipeline.adapters.surveys import lsst, ztf
from mma_pipeline.adapters.surveys.values import (
    by_time,
    details_of,
    frozen,
    head_of,
    identifier,
    known,
    mjd_of_jd,
    mjd_of_tai_or_none,
    name_of,
    number,
    rows,
    section,
)
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.surveys import AlertHead, CatalogMatch, FluxPoint, PacketFacts, SurveyAlert
from mma_pipeline.notices.times import JD_OF_MJD_ZERO

Record = Mapping[str, Any]
_RA, _DEC = ("ra", "ramean", "RA"), ("dec", "decl", "decmean", "DEC")
_TAI = ("lastDiaSourceMjdTai", "midpointMjdTai", "maxTai")
_ROOT = ("objectId", "diaObjectId")


def is_lasair(record: Record) -> bool:
    """Whether a JSON object is a message of a Lasair filter: it names an object and has the time of the filter's run."""
    return "UTC" in record and any(record.get(name) is not None for name in _ROOT)


def head(record: Record) -> AlertHead:
    """Object, position and time of the newest detection; raises NoticeError where the filter selects none of them."""
    inner = section(record, "alert")
    dia_object = section(inner, "diaObject")
    ztf_name = record.get("objectId")
    if isinstance(ztf_name, str) and not ztf_name.isdigit():
        newest = _newest(_candidates(inner), "jd")
        places: tuple[Record, ...] = (newest, record)
        jd = _first(places, ("jd", "jdmax"))
        mjd = _first(places, ("mjd", "mjdmax")) if jd is None else mjd_of_jd(jd)
        name, alert_id = ztf_name, identifier(newest.get("candid"))
    else:
        newest = _newest(rows(inner.get("diaSourcesList")), "midpointMjdTai")
        places = (newest, record, dia_object)
        mjd = mjd_of_tai_or_none(_first(places, ("midpointMjdTai", *_TAI)))
        name = identifier(record.get("diaObjectId")) or identifier(ztf_name) or ""
        alert_id = identifier(newest.get("diaSourceId"))
    ra, dec = _first(places, _RA), _first(places, _DEC)
    if ra is None or dec is None or mjd is None:
        raise NoticeError(
            "the Lasair filter must select the object's position and its newest time (ra, decl, lastDiaSourceMjdTai)"
        )
    survey = "ztf" if name.startswith("ZTF") else "lsst"
    return head_of("ztf" if survey == "ztf" else "lsst", name, alert_id or f"{name}@{mjd:.6f}", ra, dec, mjd)


def alert(record: Record, schema: str, broker: str) -> SurveyAlert:
    """The whole message; its light curve is empty where the filter does not send one. Raises NoticeError as `head`."""
    found = head(record)
    inner = section(record, "alert")
    if found.survey == "ztf":
        points = by_time(_ztf_points(_candidates(inner), found))
    else:
        points = by_time(_lsst_points(inner, found))
    dia_object = section(inner, "diaObject")
    first = mjd_of_tai_or_none(_first((record, dia_object), ("firstDiaSourceMjdTai", "minTai")))
    started = known(record.get("jdmin"))
    newest = _newest(rows(inner.get("diaSourcesList")), "midpointMjdTai")
    score = number(newest.get("reliability"))
    classified = name_of(record.get("classification"))
    matches: tuple[CatalogMatch, ...] = ()
    if classified is not None:
        matches = (CatalogMatch("Sherlock class", classified, None),)
    sherlock = rows(section(inner, "annotations").get("sherlock"))
    matches += tuple(
        CatalogMatch(str(s.get("catalogue_table_name")), name_of(s.get("catalogue_object_id")), number(s.get("separationArcsec")), number(s.get("z")))
        for s in sherlock if name_of(s.get("catalogue_object_id")) is not None
    )  # fmt: skip
    trigger = next((p.flux_njy for p in reversed(points) if p.origin == "alert"), None)
    facts = PacketFacts(
        real_bogus=score,
        real_bogus_kind=None if score is None else "reliability",
        star_score=known(record.get("sgscore1")),
        star_distance_arcsec=known(record.get("distpsnr1")),
        is_negative=trigger is not None and trigger < 0,
        first_mjd=first or (None if started is None else mjd_of_jd(started)) or ztf.first_detection(points),
        redshift=next((m.redshift for m in matches if m.redshift is not None), None),
        matches=matches,
        details=frozen(details_of(record, (name for name in record if name not in ("alert", *_ROOT)))),
    )
    return SurveyAlert(found, points, facts, schema, broker)


def _newest(sources: list[Record], time: str) -> Record:
    """The newest record with a time; detections only, which have a flux or a magnitude."""
    seen = [
        s for s in sources if number(s.get(time)) is not None and (known(s.get("magpsf")) or number(s.get("psfFlux")))
    ]
    return max(seen, key=lambda source: float(source[time]), default={})


def _first(places: Iterable[Record], names: tuple[str, ...]) -> float | None:
    """The first number that a place has under one of the names."""
    return next((v for place in places for name in names if (v := known(place.get(name))) is not None), None)


def _lsst_points(inner: Record, found: AlertHead) -> Iterable[FluxPoint]:
    for row in rows(inner.get("diaSourcesList")):
        point = lsst.point_of(row, "previous")
        if point is not None:
            yield _triggered(point, found)
    for row in rows(inner.get("diaForcedSourcesList")):
        point = lsst.point_of(row, "forced")
        if point is not None:
            yield point


def _candidates(inner: Record) -> list[Record]:
    """ZTF's candidates; where Lasair writes an MJD, the packet's JD beside it."""
    return [
        row if "jd" in row else {**row, "jd": (number(row.get("mjd")) or 0.0) + JD_OF_MJD_ZERO}
        for row in rows(inner.get("candidates"))
    ]


def _ztf_points(candidates: list[Record], found: AlertHead) -> Iterable[FluxPoint]:
    for row in candidates:
        point = ztf.point_of(row, "previous")
        if point is not None:
            yield _triggered(point, found)


def _triggered(point: FluxPoint, found: AlertHead) -> FluxPoint:
    if point.origin == "previous" and abs(point.mjd - found.mjd) < 1e-6:
        return FluxPoint(point.mjd, point.band, point.flux_njy, point.flux_error_njy, point.limit_mag, "alert")
    return point
