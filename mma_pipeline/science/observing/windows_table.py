"""The windows of an event's sites as JSON values, as a table, and as short figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mma_pipeline.science.observing.targets import Visit
from mma_pipeline.science.observing.windows import SiteWindows, Windows

if TYPE_CHECKING:
    from astropy.table import Table

#: Sites in the short figures of pages and messages.
SHORT = 10
#: Targets named there.
TARGETS = 3


def document(w: Windows, orders: Mapping[str, Sequence[Visit]]) -> dict[str, Any]:
    """Everything, sites by name in their own order; times as ISO 8601 text in UTC, units in the names."""
    return {
        "begins": stamp(w.begins),
        "minutes": [round(float(m), 3) for m in w.minutes],
        "probability_any_site": round(w.probability, 6),
        "sites": [{**row(w, one), **_rest(w, one, orders.get(one.site.name, ()))} for one in w.sites],
    }


def row(w: Windows, one: SiteWindows) -> dict[str, Any]:
    """The figures of a site that fit on a line; None where there is nothing to say."""
    night, window, best = one.night, one.window, one.best
    return {
        "site": one.site.name,
        "probability": round(one.probability, 6),
        "begins": None if window is None else stamp(w.time(window[0])),
        "ends": None if window is None else stamp(w.time(window[1])),
        "best": None if best is None else stamp(w.time(best)),
        "best_probability": None if best is None else round(float(one.curve[best]), 6),
        "peak_airmass": None if best is None else _airmass(float(one.airmass[best])),
        "moon_separation_deg": None if best is None else round(float(one.moon_separation[best]), 2),
        "moon_altitude_deg": None if best is None else round(float(one.moon_altitude[best]), 2),
        "moon_illumination": None if best is None else round(float(one.moon_illumination[best]), 4),
        "sunset": _stamp(night.sunset),
        "dusk": _stamp(night.dusk),
        "dawn": _stamp(night.dawn),
        "sunrise": _stamp(night.sunrise),
        "dark": night.dark,
        "field_deg2": one.site.field_deg2,
        "depth_mag": one.site.depth_mag,
        "depth_band": one.site.depth_band,
    }


def short(w: Windows, orders: Mapping[str, Sequence[Visit]]) -> list[dict[str, Any]]:
    """Rows of the sites that can observe anything, at most ten: the most probability (whole per cent) first, then the earliest."""
    seeing = sorted((one for one in w.sites if one.window is not None), key=_rank)
    return [
        {**row(w, one), "first_targets": first_targets([_visit(v) for v in orders.get(one.site.name, ())])}
        for one in seeing[:SHORT]
    ]


def first_targets(order: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the three visits of a site's `order` that are worth most, the likeliest first.

    The order itself goes by time: the best hours of the likeliest are seldom the first.
    """
    return [str(visit["name"]) for visit in sorted(order, key=lambda visit: -visit["weight"])[:TARGETS]]


def site_table(w: Windows, **about: Any) -> Table:
    """One line per site, with units."""
    import astropy.units as u
    from astropy.table import Table

    rows = [row(w, one) for one in w.sites]
    units = {"deg": u.deg, "deg2": u.deg**2, "mag": u.ABmag}
    masked = Table(rows=[tuple(r.values()) for r in rows], names=list(rows[0]), masked=True)
    for name in masked.colnames:
        unit = units.get(name.rpartition("_")[2])
        values = [r[name] for r in rows]
        kind = next((type(v) for v in values if v is not None), str)
        empty = "" if kind is str else kind(0)
        column = Table.MaskedColumn([empty if v is None else v for v in values], mask=[v is None for v in values])
        column.unit = unit
        masked[name] = column
    masked.meta.update({"begins": stamp(w.begins), **about})
    return masked


def _rank(one: SiteWindows) -> tuple[float, int, str]:
    return -round(one.probability, 2), one.window[0] if one.window else 0, one.site.name


def stamp(time: datetime) -> str:
    """A time as text, to the second, UTC."""
    return f"{time:%Y-%m-%dT%H:%M:%SZ}"


def _stamp(time: datetime | None) -> str | None:
    return None if time is None else stamp(time)


def _airmass(value: float) -> float | None:
    """None below the horizon."""
    return round(value, 3) if value < 100 else None


def _rest(w: Windows, one: SiteWindows, visits: Sequence[Visit]) -> dict[str, Any]:
    return {
        "spells": [[stamp(w.time(first)), stamp(w.time(last))] for first, last in one.spells],
        "limits": asdict(one.limits) | {"altitude_min_deg": round(one.lowest, 3), "altitude_max_deg": one.highest},
        "place": {k: v for k, v in asdict(one.site).items() if k in _PLACE},
        "curve": [round(float(p), 5) for p in one.curve],
        "airmass_of_peak": [_airmass(float(a)) for a in one.airmass],
        "order": [_visit(v) for v in visits],
    }


_PLACE = frozenset(("latitude_deg", "longitude_deg", "altitude_m", "source"))


def _visit(visit: Visit) -> dict[str, Any]:
    target = visit.target
    return {
        "name": target.name,
        "kind": target.kind,
        "ra_deg": target.ra,
        "dec_deg": target.dec,
        "weight": target.weight,
        "time": stamp(visit.time),
        "airmass": round(visit.airmass, 3),
        "begins": stamp(visit.begins),
        "ends": stamp(visit.ends),
    }
