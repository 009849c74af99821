"""Bodies that the GWTM v1 server accepts, built from our values and checked before anything is sent.

Limits are those of the server's table `gw_alert` and of its request models (TheTreasureMap/gwtm,
server/db/models/gw_alert.py and openapi.json): the server answers values beyond them with a 400, or a permanent 500.
An optional value that does not fit is left out and named in `notes`; a required one raises PermanentError.
Not here: sending (`gwtm_client`) and comparing with what the site has (`gwtm`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.notices.derived import DerivedAlert
from mma_pipeline.notices.key import EXTERNAL_SUFFIX

#: GCN's packet type of each kind of notice. Early warning is 163; earlier listeners sent 153 for it.
PACKET_TYPES = {"EarlyWarning": 163, "Preliminary": 150, "Initial": 151, "Update": 152, "Retraction": 164}
EXTERNAL_PACKET_TYPE = 666
TEXT_LENGTHS = {
    "graceid": 50,
    "role": 20,
    "alert_type": 50,
    "observing_run": 20,
    "description": 500,
    "detectors": 100,
    "skymap_fits_url": 500,
    "group": 50,
    "pipeline": 50,
    "search": 50,
    "ivorn": 100,
    "ext_coinc_observatory": 50,
    "ext_coinc_search": 50,
}
_REQUIRED = {"graceid", "role", "alert_type"}
_RANGES = {
    **dict.fromkeys(
        ("prob_bns", "prob_nsbh", "prob_gap", "prob_bbh", "prob_terrestrial", "prob_hasns", "prob_hasremenant"),
        (0.0, 1.0),
    ),
    "avgra": (0.0, 360.0),
    "avgdec": (-90.0, 90.0),
    **dict.fromkeys(("area_50", "area_90", "far", "distance", "distance_error"), (0.0, math.inf)),
}
#: A probability may exceed its bound by rounding; beyond this it is left out.
_ROUNDING = 1e-6
_CLASSES = {"prob_bns": "BNS", "prob_nsbh": "NSBH", "prob_bbh": "BBH", "prob_terrestrial": "Terrestrial"}
_PROPERTIES = {"prob_hasns": "HasNS", "prob_hasremenant": "HasRemnant", "prob_gap": "HasMassGap"}
_MAX_INT32 = 2**31 - 1
#: Greatest number of galaxies: the site needs seconds for 10,000 and shows a hundred.
MAX_GALAXIES = 1_000


@dataclass(frozen=True, slots=True)
class AlertRow:
    """Body of one post_alert."""

    fields: Mapping[str, Any]
    notes: tuple[str, ...] = field(default=())
    """What was left out because the site cannot hold it."""


def alert_row(alert: DerivedAlert, *, observing_run: str, skymap_key: str | None) -> AlertRow:
    """Body of post_alert for one version.

    Args:
        alert: the version; `timesent` is its notice's creation time, which distinguishes versions with the same map.
        observing_run: such as `O4`.
        skymap_key: storage key of our flat map, which the site reads; None if the version has no map.

    Raises:
        PermanentError: the alert has no version, or a required value does not fit.
    """
    version = alert.version
    if version is None:
        raise PermanentError(f"{alert.event_id}: only a version of an event can be posted to GWTM")
    label = version.label
    values: dict[str, Any] = {
        "observing_run": observing_run,
        "description": f"{observing_run} Alert",
        "role": str(alert.role),
        "graceid": alert.event_id,
        "alert_type": label,
        "packet_type": EXTERNAL_PACKET_TYPE if label.endswith(EXTERNAL_SUFFIX) else PACKET_TYPES.get(label),
        "timesent": naive_utc(version.created),
        "skymap_fits_url": skymap_key,
    }
    if values["packet_type"] is None:
        raise PermanentError(f"{alert.event_id}: {label} is not a kind of alert that GWTM knows")
    values |= _event_values(alert) | _place_values(alert) | _external_values(alert)
    return _checked(values)


def galaxies_body(
    alert: DerivedAlert, galaxies: Sequence[Mapping[str, Any]], *, groupname: str, reference: str
) -> dict[str, Any]:
    """Body of POST event_galaxies.

    Args:
        alert: the version whose row is on the site.
        galaxies: best first, each with `name`, `ra` and `dec` [deg], `score`, and optionally `info`.
        groupname: name of the list's owner as shown.
        reference: URL of the method.

    Raises:
        PermanentError: no version, no galaxy, or an entry without finite position or score (one bad entry rejects
            the whole list, so none is dropped silently).
    """
    if alert.version is None or not galaxies:
        raise PermanentError(f"{alert.event_id}: a galaxy list needs a version and at least one galaxy")
    entries = []
    for rank, galaxy in enumerate(galaxies[:MAX_GALAXIES], start=1):
        ra, dec, score = (_finite(galaxy.get(name)) for name in ("ra", "dec", "score"))
        if ra is None or dec is None or score is None or not -90 <= dec <= 90:
            raise PermanentError(f"galaxy {rank} of {alert.event_id} has no usable position or score")
        info = {
            str(k): v for k, v in (galaxy.get("info") or {}).items() if _finite(v) is not None or isinstance(v, str)
        }
        entries.append(
            {
                "name": str(galaxy["name"]),
                "ra": ra % 360,
                "dec": dec,
                "score": score,
                "rank": rank,
                "info": info or None,
            }
        )
    return {
        "graceid": alert.event_id,
        "timesent_stamp": naive_utc(alert.version.created),
        "groupname": groupname,
        "reference": reference,
        "request_doi": False,  # the server would mint a meaningless DOI
        "galaxies": entries,
    }


def icecube_body(record: Mapping[str, Any]) -> dict[str, Any]:
    """Body of post_icecube_notice from a decoded `lvk_nu_track_search` notice, of the old or the new schema.

    A notice without coincident events is an upper limit and is posted with an empty list. Raises PermanentError where
    the superevent or the reference is missing.
    """
    reference = record.get("reference")
    ref_id = reference.get("gcn.notices.LVK.alert") if isinstance(reference, Mapping) else None
    graceid = record.get("ref_ID")
    if ref_id is None or not isinstance(graceid, str):
        raise PermanentError("the IceCube notice names no superevent (ref_ID) or no LVK alert (reference)")
    direction = _mapping(record.get("most_probable_direction"))
    sensitivity = _mapping(record.get("neutrino_flux_sensitivity_range"))
    flux, energy = _pair(sensitivity.get("flux_sensitivity")), _pair(sensitivity.get("sensitive_energy_range"))
    notice = {
        "ref_id": str(ref_id),
        "graceid": graceid,
        **{k: _time(record.get(k)) for k in ("alert_datetime", "observation_start", "observation_stop")},
        **{k: _share(record.get(k)) for k in ("pval_generic", "pval_bayesian")},
        "most_probable_direction_ra": _finite(direction.get("ra")),
        "most_probable_direction_dec": _finite(direction.get("dec")),
        "flux_sens_low": flux[0],
        "flux_sens_high": flux[1],
        "sens_energy_range_low": energy[0],
        "sens_energy_range_high": energy[1],
    }
    too_long = [name for name in ("ref_id", "graceid") if len(str(notice[name])) > 50]
    if too_long:
        raise PermanentError(f"{' and '.join(too_long)} of the IceCube notice is longer than the site's 50 characters")
    events = record.get("coincident_events")
    events = [_neutrino(e) for e in events if isinstance(e, Mapping)] if isinstance(events, Sequence) else []
    return {"notice_data": notice, "events_data": events}


def naive_utc(moment: datetime) -> str:
    """ISO 8601 without a time zone, as the site stores times (UTC)."""
    return moment.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="microseconds")


def _event_values(alert: DerivedAlert) -> dict[str, Any]:
    event = alert.event
    if event is None:
        return {}
    return {
        "far": event.far,
        "group": event.group,
        "pipeline": event.pipeline,
        "search": event.search,
        "centralfreq": event.central_frequency,
        "duration": event.duration,
        "detectors": ",".join(event.instruments) or None,
        "time_of_signal": None if event.time is None else naive_utc(event.time),
        **{column: event.classification.get(name) for column, name in _CLASSES.items()},
        **{column: event.properties.get(name) for column, name in _PROPERTIES.items()},
    }


def _place_values(alert: DerivedAlert) -> dict[str, Any]:
    place = alert.localisation
    if place is None:
        return {}
    return {
        "avgra": place.ra,
        "avgdec": place.dec,
        "area_50": place.area_50,
        "area_90": place.area_90,
        "distance": place.distance_mean,
        "distance_error": place.distance_std,
    }


def _external_values(alert: DerivedAlert) -> dict[str, Any]:
    external = alert.external
    if external is None or alert.version is None or not alert.version.label.endswith(EXTERNAL_SUFFIX):
        return {}
    notice_id = external.gcn_notice_id
    return {
        "gcn_notice_id": int(notice_id) if notice_id and notice_id.isascii() and notice_id.isdigit() else notice_id,
        "ivorn": external.ivorn,
        "ext_coinc_observatory": external.observatory,
        "ext_coinc_search": external.search,
        "time_difference": external.time_difference,
        "time_coincidence_far": external.time_coincidence_far,
        "time_sky_position_coincidence_far": external.time_sky_position_coincidence_far,
    }


def _checked(values: Mapping[str, Any]) -> AlertRow:
    kept: dict[str, Any] = {}
    notes: list[str] = []
    for name, value in values.items():
        if value is None:
            continue
        problem = _problem(name, value)
        if problem is None:
            low, high = _RANGES.get(name, (-math.inf, math.inf))
            kept[name] = min(max(value, low), high) if isinstance(value, float) else value
        elif name in _REQUIRED:
            raise PermanentError(f"{name} cannot be posted to GWTM: {problem}")
        else:
            notes.append(f"{name} left out: {problem}")
    return AlertRow(kept, tuple(notes))


def _problem(name: str, value: Any) -> str | None:
    """Why the site cannot hold a value; None if it can."""
    if name in TEXT_LENGTHS:
        longest = TEXT_LENGTHS[name]
        return None if len(value) <= longest else f"{len(value)} characters, the site holds {longest}"
    if name in {"packet_type", "gcn_notice_id"}:
        fits = isinstance(value, int) and value <= _MAX_INT32
        return None if fits else f"{value!r:.40} is not a 32-bit integer"
    if isinstance(value, str):
        return None
    number = _finite(value)
    low, high = _RANGES.get(name, (-math.inf, math.inf))
    if number is None:
        return "not a finite number"
    inside = low - _ROUNDING <= number <= high + _ROUNDING if high == 1 else low <= number <= high
    return None if inside else f"{number:g} lies outside {low:g} to {high:g}"


def _neutrino(event: Mapping[str, Any]) -> dict[str, Any]:
    # The new schema nests the position and calls its error ra_dec_error; the old one has it flat.
    place = {**event, **_mapping(event.get("localization"))}
    uncertainty = next((place[k] for k in ("ra_dec_error", "ra_uncertainty") if place.get(k) is not None), None)
    if isinstance(uncertainty, Sequence) and not isinstance(uncertainty, str):
        uncertainty = uncertainty[0] if uncertainty else None
    radius = _finite(uncertainty)
    shape = place.get("uncertainty_shape")
    return {
        "event_dt": _finite(event.get("event_dt")),
        "ra": _finite(place.get("ra")),
        "dec": _finite(place.get("dec")),
        "uncertainty_shape": shape if isinstance(shape, str) else None,
        "ra_uncertainty": radius if radius is not None and 0 < radius <= 180 else None,
        "containment_probability": _share(place.get("containment_probability")),
        "event_pval_generic": _share(event.get("event_pval_generic")),
        "event_pval_bayesian": _share(event.get("event_pval_bayesian")),
    }


def _finite(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)


def _share(value: Any) -> float | None:
    """A probability; None for any other value, as in the parser of notices."""
    number = _finite(value)
    return number if number is not None and 0 <= number <= 1 else None


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _pair(value: Any) -> tuple[float | None, float | None]:
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 2:
        return _finite(value[0]), _finite(value[1])
    return None, None


def _time(value: Any) -> str | None:
    """A time as the site reads it; None if the notice has none that can be read."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        return None
    return naive_utc(moment if moment.tzinfo else moment.replace(tzinfo=UTC))
