"""Babamul's alerts of ZTF and LSST (boom-astro/babamul, Avro): the survey's detection, BOOM's light curve and its matches.

Fluxes of LSST are nJy. Those of ZTF come in 1e-6 nJy (the client divides them by 1e9 and takes 23.9, that of 1 uJy, as
zero point); the magnitude of the same detection tells the unit, so that a packet whose unit was mended is read right too.
Times are JD in UTC for both. Limits are given by their error, a fifth of the limiting flux. What the other survey saw at
the same place is part of the light curve, under that survey's bands.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mma_pipeline.adapters.surveys import lsst, ztf
from mma_pipeline.adapters.surveys.values import (
    by_time,
    details_of,
    frozen,
    head_of,
    identifier,
    known,
    limit_of_error,
    mjd_of_jd,
    number,
    row_mjd,
    rows,
    section,
)
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.surveys import (
    AlertHead,
    CatalogMatch,
    FluxPoint,
    Origin,
    PacketFacts,
    SolarSystemMatch,
    Survey,
    SurveyAlert,
)

LSST_LEADING = ("candid", "objectId", "candidate.jd", "candidate.ra", "candidate.dec")
#: nJy per unit of ZTF's fluxes.
_ZTF_UNIT = 1e-6
_LISTS: tuple[tuple[str, Origin], ...] = (
    ("prv_candidates", "previous"), ("fp_hists", "forced"), ("prv_nondetections", "limit"),
)  # fmt: skip


def ztf_alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """An alert of ZTF; raises NoticeError where the head is wrong or the detection has no magnitude."""
    found, candidate = ztf.head(record), section(record, "candidate")
    detection = ztf.point_of(candidate, "alert")
    if detection is None or detection.flux_njy is None:
        raise NoticeError("the detection has no magnitude, or a filter that ZTF does not have")
    points = _light_curve(record, detection, "ztf", _ztf_unit(detection.flux_njy, candidate.get("psfFlux")))
    facts = ztf.facts_of(candidate, tuple(p for p in points if p.band.startswith("ztf")))
    return SurveyAlert(found, points, _with_broker(facts, record), schema, broker)


def lsst_head(record: Mapping[str, Any]) -> AlertHead:
    """Object, position and time of an alert of LSST; raises NoticeError."""
    candidate = section(record, "candidate")
    alert_id = identifier(record.get("candid"))
    mjd = mjd_of_jd(candidate.get("jd"))
    return head_of("lsst", record.get("objectId"), alert_id, candidate.get("ra"), candidate.get("dec"), mjd)


def lsst_alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """An alert of LSST; raises NoticeError where the head is wrong or the detection has no flux."""
    found, candidate = lsst_head(record), section(record, "candidate")
    detection = lsst.point_of(candidate, "alert")
    if detection is None:
        raise NoticeError("the detection has no flux, or a band that Rubin does not have")
    points = _light_curve(record, detection, "lsst", 1.0)
    started, score = known(candidate.get("jdstarthist")), number(candidate.get("reliability"))
    moving = identifier(candidate.get("ssObjectId"))
    facts = PacketFacts(
        real_bogus=score,
        real_bogus_kind=None if score is None else "reliability",
        solar_system=None if moving is None else SolarSystemMatch(f"sso{moving}", None),
        is_negative=lsst.is_negative(candidate),
        first_mjd=ztf.first_detection(points) if started is None else mjd_of_jd(started),
        details=frozen(details_of(candidate, (*lsst.DETAILS, "ndethist"))),
    )
    return SurveyAlert(found, points, _with_broker(facts, record), schema, broker)


def _ztf_unit(flux_njy: float, sent: object) -> float:
    """nJy per unit of the packet's fluxes: the power of ten between its flux and its magnitude."""
    value = number(sent)
    ratio = abs(flux_njy / value) if value else 0.0
    return 10.0 ** round(math.log10(ratio)) if 1e-30 < ratio < 1e30 else _ZTF_UNIT


def _light_curve(record: Mapping[str, Any], detection: FluxPoint, survey: Survey, unit: float) -> tuple[FluxPoint, ...]:
    """Everything by time; the detection itself is also among the previous ones and counts once."""
    matches = section(record, "survey_matches")
    own = (p for p in _points(record, survey, unit) if not _same(p, detection))
    others = (
        p
        for name in _others(survey)
        for p in _points(section(matches, name), name, _ZTF_UNIT if name == "ztf" else 1.0)
    )
    return by_time([detection, *own, *others])


def _same(point: FluxPoint, detection: FluxPoint) -> bool:
    # A JD in double precision is good to 40 microseconds.
    return point.origin == "previous" and point.band == detection.band and abs(point.mjd - detection.mjd) < 1e-6


def _others(survey: Survey) -> tuple[Survey, ...]:
    return ("lsst",) if survey == "ztf" else ("ztf",)


def _points(record: Mapping[str, Any], survey: Survey, unit: float) -> Iterator[FluxPoint]:
    for key, origin in _LISTS:
        for row in rows(record.get(key)):
            band, error, flux = row.get("band"), number(row.get("psfFluxErr")), number(row.get("psfFlux"))
            mjd, name = row_mjd(row.get("jd")), f"{survey}{band}"
            if mjd is None or band not in lsst.BANDS or error is None or error <= 0:
                continue
            error *= unit
            if origin == "limit":
                yield FluxPoint(mjd, name, None, None, limit_of_error(error), origin)
            elif flux is not None:
                yield FluxPoint(mjd, name, flux * unit, error, None, origin)


def _with_broker(facts: PacketFacts, record: Mapping[str, Any]) -> PacketFacts:
    """The facts with what BOOM says: star, rock, near a bright star, stationary, and the other survey's object."""
    properties, matches = section(record, "properties"), section(record, "survey_matches")
    found = []
    candidate = section(record, "candidate")
    for survey in ("ztf", "lsst"):
        other = section(matches, survey)
        if other:
            found.append(CatalogMatch(survey, str(other.get("objectId")), _separation(candidate, other)))
    solar_system = facts.solar_system
    if solar_system is None and properties.get("rock") is True:
        solar_system = SolarSystemMatch(None, None)
    said = details_of(properties, ("star", "rock", "near_brightstar", "stationary"))
    return replace(
        facts, solar_system=solar_system, matches=(*facts.matches, *found), details=frozen({**facts.details, **said})
    )


def _separation(one: Mapping[str, Any], other: Mapping[str, Any]) -> float | None:
    """Separation of two positions that are close, arcsec."""
    angles = [number(p.get(key)) for p in (one, other) for key in ("ra", "dec")]
    if None in angles:
        return None
    ra1, dec1, ra2, dec2 = (math.radians(a) for a in angles if a is not None)
    squared = math.sin((dec2 - dec1) / 2) ** 2 + math.cos(dec1) * math.cos(dec2) * math.sin((ra2 - ra1) / 2) ** 2
    return 3600.0 * math.degrees(2.0 * math.asin(min(1.0, math.sqrt(squared))))
