"""From a survey alert to measurements, and one measurement of each exposure.

A flux of a signal to noise of 3 or more is a magnitude, a weaker or negative one a limit of five times its noise (the
rule of `brightness`); the flux itself stays beside it. The AB magnitude of 1 nJy is 31.4 here, as surveys define it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TypeVar

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.brightness import Brightness, of_flux
from mma_pipeline.notices.photometry.measurement import (
    Candidate,
    Measurement,
    PhotometryNotice,
    candidate_of,
    checked_band,
    checked_mjd,
    complete,
    grouped,
    lenient_redshift,
)
from mma_pipeline.notices.surveys import SIMULATED, FluxPoint, SurveyAlert

#: AB magnitude of 1 nJy.
NJY_ZERO_POINT = 31.4
#: Which of several measurements of one exposure counts: a detection, else the forced flux, else the limit.
_RANK = {"alert": 0, "previous": 0, "forced": 1, "limit": 2}
#: Times of one exposure by several ways (JD, MJD, TAI) differ by less, days: 0.4 s. No survey exposes so often.
SAME_EXPOSURE_DAYS = 5e-6
_TELESCOPES = {"ztf": ("P48", "ZTF"), "lsst": ("Rubin", "LSSTCam")}

_T = TypeVar("_T")


def measurements(alert: SurveyAlert) -> PhotometryNotice:
    """All points of an alert as measurements, by time; raises NoticeError where none can be used or the name is none."""
    head = alert.head
    try:
        redshift = lenient_redshift(alert.facts.redshift, "redshift")
    except NoticeError:
        redshift = None
    candidate = candidate_of(head.object_id, head.ra, head.dec, redshift=redshift)
    found: list[Measurement] = []
    skipped: list[tuple[str, str]] = []
    for number, point in enumerate(alert.points):
        try:
            found.append(_measurement(candidate, point))
        except NoticeError as problem:
            skipped.append((f"point {number}", str(problem)))
    simulated = alert.facts.details.get(SIMULATED) is True
    notice = complete(found, grouped(skipped), alert.schema, None, simulated=simulated)
    return replace(notice, facts={candidate.name: alert.facts})


def _measurement(candidate: Candidate, point: FluxPoint) -> Measurement:
    brightness = _brightness(point)
    telescope, instrument = next((v for k, v in _TELESCOPES.items() if point.band.startswith(k)), (None, None))
    return Measurement(
        candidate,
        checked_mjd(point.mjd, "time"),
        checked_band(point.band),
        brightness.magnitude,
        brightness.error,
        brightness.upper_limit,
        telescope,
        instrument,
        point.flux_njy,
        point.flux_error_njy,
        point.origin,
    )


def _brightness(point: FluxPoint) -> Brightness:
    """Magnitude or limit of a point; raises NoticeError where it has neither."""
    if point.flux_njy is not None and (point.flux_error_njy is not None or point.flux_njy > 0):
        return of_flux(point.flux_njy, point.flux_error_njy, NJY_ZERO_POINT)
    if point.limit_mag is None or not math.isfinite(point.limit_mag):
        raise NoticeError("it has neither a flux with an error nor a limit")
    return Brightness(point.limit_mag, None, upper_limit=True)


def one_per_exposure(items: Iterable[_T], measurement: Callable[[_T], Measurement]) -> list[_T]:
    """Of a survey's measurements of one exposure of one candidate the best, everything else as it is; the order stays.

    A packet gives a detection and its forced flux, and several brokers or packets give the same again: as independent
    points they would count twice. Of equals the first counts. `measurement` gives the measurement of an item.
    """
    listed = list(items)
    values = [measurement(item) for item in listed]
    series: dict[tuple[str, str], list[int]] = {}
    for place, one in enumerate(values):
        if one.origin is not None:
            series.setdefault((one.candidate.name, one.band), []).append(place)
    dropped: set[int] = set()
    for places in series.values():
        exposure: list[int] = []
        for place in sorted(places, key=lambda place: values[place].mjd):
            if exposure and values[place].mjd - values[exposure[0]].mjd > SAME_EXPOSURE_DAYS:
                exposure = []
            exposure.append(place)
            best = min(exposure, key=lambda place: (_rank(values[place]), place))
            dropped.update(other for other in exposure if other != best)
            dropped.discard(best)
    return [item for place, item in enumerate(listed) if place not in dropped]


def _rank(one: Measurement) -> int:
    return _RANK.get(one.origin or "", 0)


class SeenPoints:
    """Points of surveys that are there already; each is found whatever way or packet brings it again."""

    def __init__(self) -> None:
        """Begin without any."""
        self._times: dict[tuple[str, str, int, int], float] = {}

    def add(self, candidate: str, band: str, origin: str, mjd: float) -> bool:
        """Note a point of a candidate by its time (MJD, days); False where it is there already, to SAME_EXPOSURE_DAYS."""
        rank, slot = _RANK.get(origin, 0), round(mjd / SAME_EXPOSURE_DAYS)
        for near in (slot - 1, slot, slot + 1):
            known = self._times.get((candidate, band, rank, near))
            if known is not None and abs(known - mjd) <= SAME_EXPOSURE_DAYS:
                return False
        self._times[candidate, band, rank, slot] = mjd
        return True
