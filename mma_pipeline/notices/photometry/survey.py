"""A survey alert's light curve as photometry of its object: one measurement per exposure."""

from __future__ import annotations

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.brightness import ZERO_POINTS, Brightness, of_flux
from mma_pipeline.notices.photometry.measurement import (
    Candidate,
    Measurement,
    PhotometryNotice,
    candidate_of,
    checked_mjd,
    complete,
    foreign_redshift,
)
from mma_pipeline.notices.surveys import FluxPoint, SurveyAlert

#: Which of several points of one exposure says most about it.
_ORDER = {"alert": 0, "previous": 1, "forced": 2, "limit": 3}
_TELESCOPE = {"ztf": "P48", "lsst": "Rubin"}


def photometry_of(alert: SurveyAlert) -> PhotometryNotice:
    """The measurements of an alert: a detection from a signal to noise of 3, else a limit; of several of one exposure one.

    Raises NoticeError where nothing of it can be used.
    """
    head = alert.head
    candidate = candidate_of(head.object_id, head.ra, head.dec, redshift=_redshift(alert))
    found: dict[tuple[str, int], Measurement] = {}
    skipped = []
    for point in sorted(alert.points, key=lambda p: _ORDER[p.origin]):
        try:
            one = _measurement(candidate, point, _TELESCOPE[head.survey])
        except NoticeError as problem:
            skipped.append(f"MJD {point.mjd:.5f} {point.band}: {problem}")
            continue
        # Times of one exposure agree to a rounding; none is shorter than ten seconds.
        found.setdefault((point.band, round(point.mjd * 8640)), one)
    return complete(sorted(found.values(), key=lambda m: m.mjd), skipped, alert.schema, None)


def _redshift(alert: SurveyAlert) -> float | None:
    try:
        return foreign_redshift(alert.facts.redshift, "redshift")
    except NoticeError:
        return None  # a broker's wild guess: the magnitudes are as good without it


def _measurement(candidate: Candidate, point: FluxPoint, telescope: str) -> Measurement:
    if point.flux_njy is not None:
        found = of_flux(point.flux_njy, point.flux_error_njy, ZERO_POINTS["nJy"])
    elif point.limit_mag is not None:
        found = Brightness(point.limit_mag, None, upper_limit=True)
    else:
        raise NoticeError("there is neither a flux nor a limit")
    return Measurement(
        candidate,
        checked_mjd(point.mjd, "time"),
        point.band,
        found.magnitude,
        found.error,
        found.upper_limit,
        telescope,
        None,
    )
