"""What the windows of 20 sites cost and how exact they are, beside astropy and astroplan; one JSON line for each figure.

The map has about 20,000 rows and is spread over a hemisphere. Ours is the least of three calls after imports and one call on a small
map, on one thread. The other way transforms every row with astropy's AltAz, as astroplan's `AltitudeConstraint` does; it would
take minutes for all sites and times, so it is measured for one site and nine of the 289 times, and `cpu_s_scaled` is that times
20 sites and 289 steps. The plans of DECam on S230922g come from ../shared/data; without it that line says so.

    PYTHONPATH=. python benchmarks/windows.py
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np

from benchmarks.measured import ROOT, in_a_process, peak_mb

PLANS = ROOT.parent / "shared" / "data" / "plans"
BEGINS = datetime(2023, 9, 22, 3, tzinfo=UTC)
SITES, STEPS, OTHER_STEPS = 20, 289, 9
LIMIT_S = 600


def _map() -> Any:
    from benchmarks.event_inputs import _bayestar_like

    return _bayestar_like(4, 1500, narrow=8.0, wide=2.0, share=3.0)


def _ours() -> Callable[[], object]:
    from mma_pipeline.science.observing.sites import shipped_sites
    from mma_pipeline.science.observing.windows import windows

    m = _map()
    return lambda: windows(m, shipped_sites()[:SITES], BEGINS)


def _other() -> Callable[[], object]:
    import astropy.units as u
    import healpy
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body
    from astropy.time import Time

    from mma_pipeline.adapters.earth_orientation import use_packaged_tables

    use_packaged_tables()
    m = _map()
    ra, dec = healpy.pix2ang(1 << m.order, m.ipix, nest=True, lonlat=True)
    rows, where = SkyCoord(ra * u.deg, dec * u.deg), EarthLocation.from_geodetic(-70.815, -30.165, 2215)

    def run() -> object:
        found = []
        for hours in np.linspace(0, 24, OTHER_STEPS):
            frame = AltAz(obstime=Time(BEGINS.replace(tzinfo=None)) + hours * u.hour, location=where)
            sun, moon = (get_body(body, frame.obstime, where).transform_to(frame) for body in ("sun", "moon"))
            here = rows.transform_to(frame)
            inside = (here.secz < 2.5) & (here.alt > 0) & (here.separation(moon) > 20 * u.deg)
            found.append(m.prob[inside].sum() if sun.alt.deg < -18 else 0.0)
        return found

    return run


def _measure(which: str) -> None:
    work = {"ours": _ours, "other": _other}[which]()
    work()
    least = np.inf
    for _ in range(3 if which == "ours" else 1):
        began = time.process_time()
        work()
        least = min(least, time.process_time() - began)
    print(json.dumps({"cpu_s": round(float(least), 4), "peak_mb": round(peak_mb(), 1)}))


def _exactness() -> dict[str, Any]:
    """Largest departures from astropy at 1,000 random times and places: deg."""
    import astropy.units as u
    from astropy.coordinates import AltAz, EarthLocation, SkyCoord, get_body
    from astropy.time import Time

    from mma_pipeline.adapters.earth_orientation import orientation_at, use_packaged_tables
    from mma_pipeline.science.observing.ephemeris import altitude, sky, unit
    from mma_pipeline.science.sphere import unit_vectors

    use_packaged_tables()
    count, rng = 1000, np.random.default_rng(7)
    starts = [datetime(2005, 1, 1, tzinfo=UTC) + timedelta(days=float(d)) for d in rng.uniform(0, 40 * 365.25, count)]
    lat, lon = np.degrees(np.arcsin(rng.uniform(-1, 1, count))), rng.uniform(-180, 180, count)
    height, offsets = rng.uniform(0, 5000, count), rng.uniform(0, 86400, count)
    ra, dec = rng.uniform(0, 360, count), np.degrees(np.arcsin(rng.uniform(-1, 1, count)))
    found: dict[str, list[float]] = {"star": [], "sun": [], "moon": []}
    for i, start in enumerate(starts):
        earth = orientation_at(start)
        here = sky(start, [0.0, offsets[i], 86400.0], ut1_utc=earth.ut1_utc, pole=earth.pole)
        overhead, place = here.zenith(lat[i], lon[i])[1], here.observer(lat[i], lon[i], height[i])[1]
        star = here.apparent(unit_vectors(ra[i : i + 1], dec[i : i + 1]))[0]
        for name, direction in (
            ("star", star),
            ("sun", unit(here.sun[1] - place)),
            ("moon", unit(here.moon[1] - place)),
        ):
            found[name].append(float(altitude(direction, overhead)))
    where = EarthLocation.from_geodetic(lon * u.deg, lat * u.deg, height * u.m)
    then = Time([s.replace(tzinfo=None) for s in starts], scale="utc") + offsets * u.s
    frame = AltAz(obstime=then, location=where)
    truth = {"star": SkyCoord(ra * u.deg, dec * u.deg).transform_to(frame).alt.deg}
    truth |= {body: get_body(body, then, where).transform_to(frame).alt.deg for body in ("sun", "moon")}
    return {f"{name}_deg": round(float(np.abs(np.array(found[name]) - truth[name]).max()), 5) for name in found}


def _plans() -> dict[str, Any]:
    """Visits of each plan, those outside the window of its night, and the least hours that one is inside."""
    if not PLANS.is_dir():
        return {"skipped": f"{PLANS} is not there"}
    from mma_pipeline.science.observing.sites import named, shipped_sites
    from mma_pipeline.science.observing.targets import observable
    from mma_pipeline.science.observing.windows import windows
    from mma_pipeline.science.skymaps.model import decode_skymap

    m, site = decode_skymap(next(PLANS.glob("*.fits")).read_bytes()), named(shipped_sites(), "DECam")
    found = {}
    for path in sorted(PLANS.glob("*.csv")):
        plan = np.genfromtxt(path, delimiter=",", names=True, dtype=None, encoding="utf-8")
        night = datetime.fromisoformat(path.name[9:19]).replace(tzinfo=UTC)
        w = windows(m, [site], night + timedelta(hours=12 - site.longitude_deg / 15))
        window = w.sites[0].window
        assert window is not None
        hours = observable(w, w.sites[0], plan["ra"], plan["dec"])[0][window[0] : window[1] + 1].sum(axis=0) / 12
        outside = [f"{v['ra']:.3f} {v['dec']:+.3f}" for v in plan[hours == 0]]
        found[path.name[9:19]] = {
            "visits": int(plan.size),
            "outside": outside,
            "least_hours": round(float(hours.min()), 2),
        }
    return found


def main() -> None:
    """Print one JSON line per figure, or measure one way alone."""
    warnings.simplefilter("ignore")
    if len(sys.argv) > 1:
        _measure(sys.argv[1])
        return
    ours, other = (in_a_process(__file__, which, limit_s=LIMIT_S) for which in ("ours", "other"))
    line: dict[str, Any] = {"figure": f"windows, {SITES} sites, {len(_map().prob)} rows, {STEPS} times", "goal_s": 1.0}
    line |= {"ours": ours, "astropy_one_site_9_times": other}
    if not isinstance(ours, str) and not isinstance(other, str):
        scaled = other["cpu_s"] * SITES * STEPS / OTHER_STEPS
        line |= {"cpu_s_scaled": round(scaled, 1), "cpu_ratio": round(scaled / ours["cpu_s"])}
    print(json.dumps(line))
    print(
        json.dumps({"figure": "altitudes beside astropy, largest of 1,000", "goal_deg": [0.01, 0.05], **_exactness()})
    )
    print(json.dumps({"figure": "DECam plans of S230922g inside the windows", **_plans()}))


if __name__ == "__main__":
    main()
