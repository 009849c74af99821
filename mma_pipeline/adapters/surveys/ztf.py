"""ZTF alerts, schema 1.8, 3.x and 4.02 (ZwickyTransientFacility/ztf-avro-alert), sent by ZTF or passed on by a broker.

Magnitudes are of the difference image, `isdiffpos` gives its sign. `prv_candidates` without a magnitude are limits.
`fp_hists` (4.x) are forced fluxes in units of the image, whose AB zero point is `magzpsci` (Masci et al. 2023,
arXiv:2305.16279). Times are the start of the exposure, JD in UTC.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from mma_pipeline.adapters.surveys.values import (
    by_time,
    details_of,
    flux_of_magnitude,
    frozen,
    head_of,
    identifier,
    known,
    magnitude,
    mjd_of_jd,
    name_of,
    njy,
    number,
    row_mjd,
    rows,
    section,
)
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.surveys import (
    SIMULATED,
    AlertHead,
    FluxPoint,
    Origin,
    PacketFacts,
    SolarSystemMatch,
    SurveyAlert,
)
from mma_pipeline.notices.times import JD_OF_MJD_ZERO

#: Numbers of the filters in every schema.
BANDS = {1: "ztfg", 2: "ztfr", 3: "ztfi"}
#: Leading fields of the head.
LEADING = ("objectId", "candid", "candidate.jd", "candidate.ra", "candidate.dec")
#: Facts that are kept under their own names.
DETAILS = (
    "programid", "field", "rcid", "ndethist", "ncovhist", "distnr", "magnr", "fwhm", "elong", "nbad", "classtar", "scorr",
    "tooflag", "sgscore2", "distpsnr2", "sgscore3", "distpsnr3", "srmag1", "neargaia", "neargaiabright", "maggaia",
    "maggaiabright", "ssmagnr", "exptime", "rb", "drb",
)  # fmt: skip


def head(record: Mapping[str, Any]) -> AlertHead:
    """Object, position and time; raises NoticeError."""
    candidate = section(record, "candidate")
    alert_id = identifier(record.get("candid"))
    return head_of(
        "ztf",
        record.get("objectId"),
        alert_id,
        candidate.get("ra"),
        candidate.get("dec"),
        mjd_of_jd(candidate.get("jd")),
    )


def alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """The whole alert; raises NoticeError where the head is wrong or the detection has no magnitude."""
    found, candidate = head(record), section(record, "candidate")
    detection = point_of(candidate, "alert")
    if detection is None or detection.flux_njy is None:
        raise NoticeError("the detection has no magnitude, or a filter that ZTF does not have")
    version = record.get("schemavsn")
    earlier = [p for p in map(_previous, rows(record.get("prv_candidates"))) if p is not None]
    points = by_time([detection, *earlier, *_forced(rows(record.get("fp_hists")))])
    name = f"ztf {version}" if broker == "ztf" and isinstance(version, str) else schema
    facts = facts_of(candidate, points)
    if "simulated" in str(record.get("publisher")).lower():
        facts = replace(facts, details=frozen({**facts.details, SIMULATED: True}))
    return SurveyAlert(found, points, facts, name, broker)


def facts_of(candidate: Mapping[str, Any], points: tuple[FluxPoint, ...]) -> PacketFacts:
    """The facts of a `candidate` record, ZTF's own or Babamul's copy; `points` tell the first detection where it does not."""
    deep = number(candidate.get("drb"))
    plain = number(candidate.get("rb"))
    score = plain if deep is None else deep
    started = known(candidate.get("jdstarthist"))
    return PacketFacts(
        real_bogus=score,
        real_bogus_kind=None if score is None else "rb" if deep is None else "drb",
        star_score=known(candidate.get("sgscore1")),
        star_distance_arcsec=known(candidate.get("distpsnr1")),
        solar_system=_solar_system(candidate),
        is_negative=is_negative(candidate.get("isdiffpos")),
        first_mjd=first_detection(points) if started is None else started - JD_OF_MJD_ZERO,
        details=frozen(details_of(candidate, DETAILS)),
    )


def is_negative(sign: object) -> bool:
    """Whether `isdiffpos` (`t`, `f`, `1`, `0`, or a truth value) says that the source is fainter than the reference."""
    return sign in (False, "f", "F", "0", "false")


def first_detection(points: tuple[FluxPoint, ...]) -> float | None:
    """MJD of the first detection among points, None without any."""
    return min((p.mjd for p in points if p.origin in ("alert", "previous")), default=None)


def _solar_system(candidate: Mapping[str, Any]) -> SolarSystemMatch | None:
    """The nearest known object within 30 arcsec; ZTF writes -999 where there is none."""
    distance = number(candidate.get("ssdistnr"))
    if distance is None or distance < 0:
        return None
    return SolarSystemMatch(name_of(candidate.get("ssnamenr")), distance)


def point_of(row: Mapping[str, Any], origin: Origin) -> FluxPoint | None:
    """The point of a candidate or previous candidate; None where it has neither magnitude nor limit, or no known filter."""
    band, limit, measured = BANDS.get(row.get("fid", 0)), magnitude(row.get("diffmaglim")), magnitude(row.get("magpsf"))
    mjd = row_mjd(row.get("jd"))
    if band is None or mjd is None:
        return None
    if measured is None:
        return None if limit is None else FluxPoint(mjd, band, None, None, limit, "limit")
    flux, error = flux_of_magnitude(measured, known(row.get("sigmapsf")), negative=is_negative(row.get("isdiffpos")))
    return FluxPoint(mjd, band, flux, error, limit, origin)


def _previous(row: Mapping[str, Any]) -> FluxPoint | None:
    return point_of(row, "previous")


def _forced(history: list[Mapping[str, Any]]) -> Iterator[FluxPoint]:
    for row in history:
        band, zero_point = BANDS.get(row.get("fid", 0)), magnitude(row.get("magzpsci"))
        flux, error = number(row.get("forcediffimflux")), number(row.get("forcediffimfluxunc"))
        mjd = row_mjd(row.get("jd"))
        # -99999 says that the fit failed; its error is then -99999 too, and no good error is below zero.
        if mjd is None or band is None or zero_point is None or flux is None or error is None or error <= 0:
            continue
        unit = njy(zero_point)
        limit = magnitude(row.get("diffmaglim"))
        yield FluxPoint(mjd, band, flux * unit, error * unit, limit, "forced")
