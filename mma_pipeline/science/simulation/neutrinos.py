"""An invented IceCube search for a simulated event: one neutrino from its map, and background from all over the sky."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from mma_pipeline.notices.icecube import Direction, Neutrino
from mma_pipeline.notices.model import LvkNotice
from mma_pipeline.science.coincidence.neutrinos import WINDOW_S, overlaps
from mma_pipeline.science.skymaps.model import SkyMap, decode_skymap
from mma_pipeline.science.sphere import pixel_centres, to_radec, unit_vectors

#: Minutes after the merger at which the notice is made: IceCube answers within the hour.
DELAY = timedelta(minutes=40)
#: Radii of error circles of good tracks, deg.
RADII = (0.4, 1.2)
_CONTAINMENT = 0.9


def neutrino_notice_of(notices: Sequence[LvkNotice], *, seed: int) -> dict[str, Any]:
    """`simulate_neutrino_notice` in the last map of an event's own; it refers to the newest alert with a map of its time.

    Times are UTC; `seed` is a whole number. Raises ValueError if no notice has a map.
    """
    data, reference = None, ""
    for number, notice in enumerate(notices, 1):
        event = notice.event
        if event is not None and event.skymap is not None and event.time is not None:
            data, merger, event_id = event.skymap, event.time, notice.superevent_id
            if not reference or notice.time_created <= merger + DELAY:
                reference = f"{event_id}-{number}-{notice.alert_type.value}"
    if data is None:
        raise ValueError("no notice has a map to place a neutrino in")
    return simulate_neutrino_notice(decode_skymap(data), event_id, time=merger, reference=reference, seed=seed)


def simulate_neutrino_notice(
    skymap: SkyMap,
    event_id: str,
    *,
    time: datetime,
    reference: str,
    created: datetime | None = None,
    seed: int = 1,
    background: int = 1,
) -> dict[str, Any]:
    """A record of `gcn.notices.icecube.lvk_nu_track_search`; the same arguments give the same values.

    The first track is drawn from the map's probability and moved by its error (Gaussian; the circle's radius in deg holds
    90 %), at a time near the event; `background` tracks follow, isotropic and uniform in the window of ±500 s. P-values are
    those of `science.coincidence` for the map, not IceCube's, whose acceptance nobody can invent.

    Args:
        skymap: the event's map.
        event_id: superevent.
        time: merger, UTC.
        reference: alert whose map was searched, such as `MS240301a-2-Preliminary`.
        created: time of the notice; 40 minutes after the merger by default.
        seed: of the random numbers.
        background: number of tracks that have nothing to do with the event.
    """
    rng = np.random.default_rng([seed, 77])
    row = int(rng.choice(len(skymap.prob), p=skymap.prob / skymap.prob.sum()))
    ra, dec = (float(v[0]) for v in pixel_centres(skymap.order[[row]], skymap.ipix[[row]]))
    radius = float(rng.uniform(*RADII))
    tracks = [_track(*_moved(ra, dec, radius, rng), radius, float(rng.normal(0.0, 40.0)))]
    for _ in range(background):
        where = (float(rng.uniform(0, 360)), float(np.degrees(np.arcsin(rng.uniform(-1, 1)))))
        tracks.append(_track(*where, float(rng.uniform(*RADII)), float(rng.uniform(-WINDOW_S[0], WINDOW_S[1]))))
    found = overlaps(skymap, tracks, WINDOW_S)
    events = [
        {
            "event_dt": track.time_offset,
            "localization": {
                "ra": one.ra,
                "dec": one.dec,
                "ra_dec_error": track.radius,
                "containment_probability": _CONTAINMENT,
                "systematic_included": False,
            },
            "id": [f"simulated_{seed}_{number}"],
            "event_pval_generic": _rounded(one.p_spacetime),
            "event_pval_bayesian": None,
        }
        for number, (track, one) in enumerate(zip(tracks, found, strict=True), 1)
    ]
    best = min(found, key=lambda one: one.p_spacetime or 0.0)
    return {
        "$schema": "https://gcn.nasa.gov/schema/main/gcn/notices/icecube/lvk_nu_track_search.schema.json",
        "type": "IceCube LVK Alert Nu Track Search",
        "reference": {"gcn.notices.LVK.alert": reference},
        "ref_ID": event_id,
        "alert_datetime": _stamp(created or time + DELAY),
        "trigger_time": _stamp(time),
        "observation_start": _stamp(time - timedelta(seconds=WINDOW_S[0])),
        "observation_stop": _stamp(time + timedelta(seconds=WINDOW_S[1])),
        "observation_livetime": sum(WINDOW_S),
        "pval_generic": _rounded(best.p_trials),
        "pval_bayesian": None,
        "n_events_coincident": len(events),
        "coincident_events": events,
        "most_probable_direction": {"ra": best.ra, "dec": best.dec},
        "neutrino_flux_sensitivity_range": {"flux_sensitivity": [0.03, 0.6], "sensitive_energy_range": [500, 20000000]},
    }


def _track(ra: float, dec: float, radius: float, offset: float) -> Neutrino:
    where = Direction(round(ra, 2) % 360.0, round(dec, 2))
    return Neutrino(round(offset, 2), where, round(radius, 2), _CONTAINMENT, False, None, None, ())


def _moved(ra: float, dec: float, radius: float, rng: np.random.Generator) -> tuple[float, float]:
    """A direction moved by a Gaussian whose circle of `radius` deg holds 90 %; all in deg."""
    sigma = np.radians(radius) / np.sqrt(-2.0 * np.log(1.0 - _CONTAINMENT))
    centre = unit_vectors(ra, dec)
    offset = rng.normal(0.0, sigma, 3)
    return to_radec(centre + offset - centre * float(offset @ centre))


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.3g}")


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
