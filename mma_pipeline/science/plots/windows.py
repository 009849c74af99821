"""A picture of a night: airmass of the most probable position, and probability above the limits, by site and hour."""

from __future__ import annotations

import io
from datetime import timedelta

import numpy as np

from mma_pipeline.science.observing.windows import SiteWindows, Windows
from mma_pipeline.science.sphere import separation

#: Places drawn, those with the most probability first; telescopes within so many degrees of each other are one place.
DRAWN = 8
_PLACE_DEG = 3.0
#: Telescopes of a place that its label names.
_NAMED = 3
_AIRMASS = 3.0


def draw_windows(w: Windows, title: str) -> bytes:
    """PNG: above, the airmass of the most probable pixel (thick where dark and within the limits); below, probability.

    Deterministic: the bytes depend on the arguments and the versions of matplotlib and NumPy only.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 6.4), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, gridspec_kw={"height_ratios": [3, 2], "hspace": 0.06})
    hours = w.minutes / 60
    chosen = _places(w)[:DRAWN]
    for number, (one, *others) in enumerate(chosen):
        colour = f"C{number}"
        high = np.where(one.airmass <= _AIRMASS, one.airmass, np.nan)
        upper.plot(hours, high, color=colour, linewidth=0.6, alpha=0.5)
        upper.plot(hours, np.where(_inside(one), high, np.nan), color=colour, linewidth=2.4, label=_label(one, *others))
        lower.plot(hours, np.where(one.dark, one.curve, np.nan), color=colour, linewidth=1.6)
    upper.set_ylim(_AIRMASS, 0.97)
    upper.set_ylabel("airmass of the peak")
    lower.set_ylabel("probability\nwithin limits")
    lower.set_ylim(0, 1.02)
    ticks = np.arange(0, hours[-1] + 0.1, 3)
    lower.set_xticks(ticks, [f"{w.begins + timedelta(hours=float(h)):%H:%M}" for h in ticks])
    lower.set_xlim(0, float(hours[-1]))
    lower.set_xlabel(f"UTC, from {w.begins:%Y-%m-%d %H:%M}")
    for axes in (upper, lower):
        axes.grid(alpha=0.3)
    if chosen:
        upper.legend(loc="upper left", bbox_to_anchor=(1.005, 1.0), fontsize=8, frameon=False)
    else:
        upper.text(0.5, 0.5, "no site can observe any of it", transform=upper.transAxes, ha="center", va="center")
    upper.set_title(title, fontsize=11)
    figure.subplots_adjust(left=0.075, right=0.77, bottom=0.085, top=0.94)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _inside(one: SiteWindows) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Whether the most probable pixel is within the site's limits at each time."""
    clear = (one.moon_altitude <= 0) | (one.moon_separation >= one.limits.moon_min_deg)
    sine = 1 / one.airmass
    low, high = np.sin(np.radians([one.lowest, one.highest]))
    return np.asarray(one.dark & clear & (sine >= low) & (sine <= high))


def _places(w: Windows) -> list[list[SiteWindows]]:
    """Sites that can observe anything by place, the most probability first: curves of one place would hide each other."""
    places: list[list[SiteWindows]] = []
    for one in sorted((s for s in w.sites if s.window), key=lambda s: (-s.probability, s.site.name)):
        for place in places:
            here, there = one.site, place[0].site
            if (
                float(separation(here.longitude_deg, here.latitude_deg, there.longitude_deg, there.latitude_deg))
                < _PLACE_DEG
            ):
                place.append(one)
                break
        else:
            places.append([one])
    return places


def _label(*place: SiteWindows) -> str:
    names = [one.site.name for one in place]
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return f"{place[0].probability:.0%}  " + ",\n          ".join(names[:_NAMED]) + more
