"""A forecast as a picture: a panel for each band, with the 50 and 90 % bands over time and the depths."""

from __future__ import annotations

import io

import numpy as np

from mma_pipeline.science.forecast.bands import BANDS
from mma_pipeline.science.forecast.forecast import DEPTH_HOURS, HOURS, LEVELS, Forecast

_COLOURS = {
    "u": "#5f3dc4", "g": "#2b8a3e", "r": "#c92a2a", "i": "#862e9c", "z": "#343a40",
    "y": "#846358", "J": "#1864ab", "H": "#0b7285", "K": "#5c940d",
}  # fmt: skip
_AFTERGLOW = "#e67700"
_LOW, _Q25, _MEDIAN, _Q75, _HIGH = (LEVELS.index(level) for level in (0.05, 0.25, 0.5, 0.75, 0.95))
#: Nothing fainter than the median of the best telescopes' deep images is shown, mag.
_FAINTEST = 27.5


def forecast_png(found: Forecast, *, title: str, words: str) -> bytes:
    """PNG with nine panels, hours after the merger on a logarithmic axis. The same forecast gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.2), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    panels = figure.subplots(3, 3, sharex=True, sharey=True)
    figure.subplots_adjust(0.07, 0.085, 0.99, 0.92, wspace=0.04, hspace=0.06)
    brightest = float(np.min(found.kilonova.quantiles[_LOW]))
    for k, (band, axes) in enumerate(zip(BANDS, panels.flat, strict=True)):
        q, colour = found.kilonova.quantiles[:, k], _COLOURS[band]
        axes.fill_between(HOURS, q[_LOW], q[_HIGH], color=colour, alpha=0.15, lw=0)
        axes.fill_between(HOURS, q[_Q25], q[_Q75], color=colour, alpha=0.30, lw=0)
        axes.plot(HOURS, q[_MEDIAN], color=colour, lw=1.4)
        for seen, marker in ((0.5, "o"), (0.9, "v")):
            depths = [found.kilonova.depth(seen, hours)[band] for hours in DEPTH_HOURS]
            axes.plot(DEPTH_HOURS, depths, marker, ms=4, mfc="white", color=colour, ls="none")
        if found.afterglow is not None:
            glow = found.afterglow.quantiles[:, k]
            axes.plot(HOURS, glow[_MEDIAN], color=_AFTERGLOW, lw=1.2)
            for edge in (_LOW, _HIGH):
                axes.plot(HOURS, glow[edge], color=_AFTERGLOW, lw=0.7, ls="--")
            brightest = min(brightest, float(glow[_MEDIAN].min()))
        axes.text(0.97, 0.95, band, transform=axes.transAxes, ha="right", va="top", weight="bold", color=colour)
        axes.grid(color="#dee2e6", lw=0.5)
    first = panels.flat[0]
    first.set_xscale("log")
    first.set_xlim(HOURS[0], HOURS[-1])
    first.set_xticks([1, 6, 24, 72, 240], ["1", "6", "24", "72", "240"])
    first.minorticks_off()
    first.set_ylim(_FAINTEST if brightest < _FAINTEST - 3 else brightest + 10, brightest - 0.5)
    figure.suptitle(f"{title}\n{words}", fontsize=11)
    figure.supylabel("AB magnitude, without Galactic dust")
    note = "shaded: 50 and 90 % of models; circle and triangle: depth that shows 50 and 90 % of them"
    note += "; orange: afterglow seen on axis, median and 90 %" if found.afterglow is not None else ""
    figure.supxlabel(f"hours after the merger ({note})", fontsize=9)
    out = io.BytesIO()
    # The library's version in the file would change the bytes with every update.
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
