"""AMPEL's LSSTReport, public on Hopskotch (`ampel.lsst.extragalactic-infants`, `…-transients`): Avro with its schema inside.

A report is about an object, not about one detection. Its times are JD in TAI (Ampel-LSST, LSSTT2Tabulator: the packet's
midpointMjdTai), its fluxes have their AB zero point beside them. Each visit comes once, `LSST_FP` forced at the object's
position or else `LSST_DP` as detected. The ids of its points are rounded, so `state`, which names the set of points,
identifies the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mma_pipeline.adapters.surveys.values import (
    by_time,
    details_of,
    frozen,
    head_of,
    identifier,
    magnitude,
    mjd_of_tai_or_none,
    name_of,
    njy,
    number,
    rows,
    section,
)
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.brightness import DETECTION_SNR, LIMIT_SNR
from mma_pipeline.notices.surveys import AlertHead, CatalogMatch, FluxPoint, Origin, PacketFacts, SurveyAlert

_FORCED = "LSST_FP"
#: The last of AMPEL's groups of redshifts that its own fits take as sharp (`max_ampelz_group`).
_SHARP_GROUP = 3


def head(record: Mapping[str, Any]) -> AlertHead:
    """Object, position and the time of its newest detection; raises NoticeError."""
    return _head(record, _points(record))


def alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """The whole report; raises NoticeError where it has no point."""
    points = _points(record)
    found = _head(record, points)
    hosts = rows(record.get("host"))
    matches = tuple(
        CatalogMatch(str(host.get("name")), name_of(host.get("source")), number(host.get("distance")), number(host.get("redshift")))
        for host in hosts
    )  # fmt: skip
    # A forced flux of three times its noise among dozens is noise as often as not, and would make the object too old.
    detections = [p for p in points if _detected(p, LIMIT_SNR)]
    facts = PacketFacts(
        is_negative=next((p.flux_njy < 0 for p in reversed(points) if p.flux_njy is not None), False),
        first_mjd=min((p.mjd for p in detections), default=None),
        redshift=next((number(host.get("redshift")) for host in hosts if _is_sharp(host)), None),
        matches=matches,
        details=frozen(dict(_scores(record))),
    )
    return SurveyAlert(found, points, facts, schema, broker)


def _is_sharp(host: Mapping[str, Any]) -> bool:
    """Whether a host's redshift gives a distance: AMPEL's groups above 3 are photometric or averages of several."""
    group = str(host.get("info") or "").removeprefix("AMPELz_group")
    return not group.isdigit() or int(group) <= _SHARP_GROUP


def _head(record: Mapping[str, Any], points: tuple[FluxPoint, ...]) -> AlertHead:
    if not points:
        raise NoticeError("the report holds no point of a light curve")
    about, state = section(record, "object"), record.get("state")
    if isinstance(state, bool) or not isinstance(state, int):
        raise NoticeError("the report has no state, which identifies it")
    newest = next((p for p in reversed(points) if _detected(p)), points[-1])
    return head_of("lsst", identifier(about.get("id")), f"ampel{state}", about.get("ra"), about.get("dec"), newest.mjd)


def _detected(point: FluxPoint, snr: float = DETECTION_SNR) -> bool:
    flux, error = point.flux_njy, point.flux_error_njy
    return point.origin != "forced" or (flux is not None and error is not None and flux >= snr * error)


def _points(record: Mapping[str, Any]) -> tuple[FluxPoint, ...]:
    return by_time(p for p in map(_point, rows(record.get("photometry"))) if p is not None)


def _point(row: Mapping[str, Any]) -> FluxPoint | None:
    flux, zero_point, mjd = number(row.get("flux")), magnitude(row.get("zp")), mjd_of_tai_or_none(row.get("time"))
    band = name_of(row.get("band"))
    if flux is None or zero_point is None or mjd is None or band is None or str(row.get("zpsys")).lower() != "ab":
        return None
    unit = njy(zero_point)
    error = number(row.get("fluxerr"))
    origin: Origin = "forced" if row.get("source") == _FORCED else "previous"
    return FluxPoint(mjd, band, flux * unit, error * unit if error is not None and error > 0 else None, None, origin)


def _scores(record: Mapping[str, Any]) -> Iterator[tuple[str, float | str | bool]]:
    """Probabilities as `classifier/model/class`, features as `group/name`."""
    for classifier in rows(record.get("classification")):
        for model in rows(classifier.get("models")):
            chances = section(model, "probabilities")
            yield from details_of(chances, chances, f"{classifier.get('name')}/{model.get('model')}/").items()
    for group in rows(record.get("features")):
        values = section(group, "features")
        yield from details_of(values, values, f"{group.get('name')}/").items()
