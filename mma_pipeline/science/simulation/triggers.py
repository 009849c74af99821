"""Notices of other observatories about a simulated merger, in GCN's core schema, and an unrelated burst of the same hour.

The source direction is drawn from the merger's map; each position is moved from it by its own error, statistical and, for
Fermi GBM, systematic. Times follow the streams' own: a burst has an alert and a flight position within a minute, a ground
position after two, a final one after ten. The same arguments give the same notices.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import pixel_centres, to_radec, unit_vectors

_SCHEMA = "https://gcn.nasa.gov/schema/main/gcn/notices"
#: Fermi counts its triggers in seconds from this moment.
_FERMI_EPOCH = datetime(2001, 1, 1, tzinfo=UTC)
#: Seconds from the merger to what each instrument sees, and to the unrelated burst.
BURST_S, NEUTRINO_S, X_RAYS_S, UNRELATED_S = 1.7, 38.0, 900.0, 1500.0
#: Stages of a burst: subtype, kind, seconds after the trigger, 68 % radius in degrees, whether it includes systematics.
_STAGES = (
    ("INITIAL_ALERT", "initial", 12.0, None, None),
    ("FLIGHT_POSITION", "update", 25.0, 8.0, True),
    ("GROUND_POSITION", "update", 95.0, 2.5, False),
    ("FINAL_POSITION", "update", 560.0, 1.4, False),
)
#: Systematic error of a ground position, 68 %, deg: the core of RoboBA's model (Goldstein et al. 2020, ApJ 895 40).
_SYSTEMATIC_DEG = 2.55


def simulate_triggers(skymap: SkyMap, *, time: datetime, seed: int, test: bool) -> list[dict[str, Any]]:
    """Records of a gamma-ray burst's four notices, a neutrino, an X-ray transient, and an unrelated burst; by creation time.

    Args:
        skymap: the merger's map.
        time: of the merger, UTC.
        seed: of the random numbers.
        test: whether the notices are marked as tests, as those of a mock event must be.
    """
    rng = np.random.default_rng([seed, 78])
    row = int(rng.choice(len(skymap.prob), p=skymap.prob / skymap.prob.sum()))
    ra, dec = (float(v[0]) for v in pixel_centres(skymap.order[[row]], skymap.ipix[[row]]))
    source = unit_vectors(ra, dec)
    elsewhere = unit_vectors(float(rng.uniform(0, 360)), float(np.degrees(np.arcsin(rng.uniform(-1, 1)))))
    found = [
        *_burst(source, time + timedelta(seconds=BURST_S), rng, "SHORT"),
        _neutrino(source, time + timedelta(seconds=NEUTRINO_S), rng),
        _x_rays(source, time + timedelta(seconds=X_RAYS_S), rng),
        *list(_burst(elsewhere, time + timedelta(seconds=UNRELATED_S), rng, "LONG"))[2:3],
    ]
    tense = {"alert_tense": "test" if test else "current"}
    return sorted((tense | record for record in found), key=lambda record: str(record["alert_datetime"]))


def _burst(source: FloatArray, trigger: datetime, rng: np.random.Generator, duration: str) -> Iterator[dict[str, Any]]:
    number = int((trigger - _FERMI_EPOCH).total_seconds())
    thousandths = (trigger - trigger.replace(hour=0, minute=0, second=0, microsecond=0)) / timedelta(days=1)
    for count, (subtype, kind, after, radius, whole) in enumerate(_STAGES, 1):
        record: dict[str, Any] = {
            "$schema": f"{_SCHEMA}/fermi/gbm/trigger.schema.json",
            "mission": "Fermi",
            "instrument": "GBM",
            "messenger": "EM",
            "record_number": count,
            "id": [str(number), f"bn{trigger:%y%m%d}{int(1000 * thousandths):03d}"],
            "alert_type": kind,
            "alert_datetime": _stamp(trigger + timedelta(seconds=after)),
            "trigger_time": _stamp(trigger),
            "subtype": subtype,
            "rate_snr": round(float(rng.uniform(8, 20)), 1),
            "rate_duration": 0.256 if duration == "SHORT" else 4.096,
        }
        if radius is not None:
            spread = radius if whole else float(np.hypot(radius, _SYSTEMATIC_DEG))
            record |= _place(_moved(source, spread, 0.6827, rng), radius, 0.68) | {"systematic_included": whole}
        if subtype in {"GROUND_POSITION", "FINAL_POSITION"}:
            record["duration_class"] = duration
        yield record


def _neutrino(source: FloatArray, time: datetime, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "$schema": f"{_SCHEMA}/icecube/single_neutrino_alerts.gold_bronze_track_alerts.schema.json",
        "mission": "IceCube",
        "instrument": "IC86",
        "messenger": "Neutrino",
        "pipeline": "Gold Track Alert",
        "record_number": 0,
        "event_name": [f"IceCube-{time:%y%m%d}A"],
        "id": [f"{140_000 + int(rng.integers(1000))}_{int(rng.integers(10**7, 10**8))}"],
        "alert_type": "initial",
        "alert_datetime": _stamp(time + timedelta(seconds=42)),
        "trigger_time": _stamp(time),
        **_place(_moved(source, 0.7, 0.9, rng), 0.7, 0.9),
        "systematic_included": False,
        "nu_energy": round(float(rng.uniform(120, 400)), 1),
        "p_astro": 0.62,
        "far": 3e-8,
    }


def _x_rays(source: FloatArray, time: datetime, rng: np.random.Generator) -> dict[str, Any]:
    return {
        "$schema": f"{_SCHEMA}/einstein_probe/wxt/alert.schema.json",
        "instrument": "WXT",
        "id": [f"{int(time.timestamp()):011d}"],
        "alert_datetime": _stamp(time + timedelta(seconds=70)),
        "trigger_time": _stamp(time),
        **_place(_moved(source, 0.04, 0.9, rng), 0.04, 0.9),
        "image_energy_range": [0.5, 4.0],
        "net_count_rate": round(float(rng.uniform(0.5, 5)), 2),
        "image_snr": round(float(rng.uniform(7, 20)), 1),
    }


def _place(where: tuple[float, float], radius: float, containment: float) -> dict[str, Any]:
    return {
        "ra": round(where[0], 3) % 360.0,
        "dec": round(where[1], 3),
        "ra_dec_error": radius,
        "containment_probability": containment,
    }


def _moved(source: FloatArray, radius: float, containment: float, rng: np.random.Generator) -> tuple[float, float]:
    """A direction moved by a Gaussian whose circle of `radius` deg holds `containment`; RA and Dec in deg."""
    sigma = np.radians(radius) / np.sqrt(-2.0 * np.log(1.0 - containment))
    offset = rng.normal(0.0, sigma, 3)
    return to_radec(source + offset - source * float(offset @ source))


def _stamp(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
