"""A forecast as a picture: a panel for each band, with the 50 and 90 % bands over time and the depths."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np

from mma_pipeline.science.forecast.bands import BANDS
from mma_pipeline.science.forecast.forecast import DEPTH_HOURS, HOURS, LEVELS, Forecast

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLOURS = {
    "u": "#5f3dc4", "g": "#2b8a3e", "r": "#c92a2a", "i": "#862e9c", "z": "#343a40",
    "y": "#846358", "J": "#1864ab", "H": "#0b7285", "K": "#5c940d",
}  # fmt: skip
_AFTERGLOW, _GRID = "#e67700", "#dee2e6"
_MARKED_HOURS = (1, 6, 24, 72, 240)
_LOW, _Q25, _MEDIAN, _Q75, _HIGH = (LEVELS.index(level) for level in (0.05, 0.25, 0.5, 0.75, 0.95))
#: Nothing fainter than the median of the best telescopes' deep images is shown, mag.
_FAINTEST = 27.5


def forecast_png(found: Forecast, *, title: str, words: str) -> bytes:
    """PNG with nine panels, hours after the merger on a logarithmic axis. The same forecast gives the same bytes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 8.2), dpi=100, facecolor="white")
    FigureCanvasAgg(figure)
    kilonova, afterglow = found.kilonova, found.afterglow
    brightest = float(np.min(kilonova.quantiles[_LOW]))
    if afterglow is not None:
        brightest = min(brightest, float(afterglow.quantiles[_MEDIAN].min()))
    limits = _FAINTEST if brightest < _FAINTEST - 3 else brightest + 10, brightest - 0.5
    x, x_depth = np.log10(HOURS), np.log10(DEPTH_HOURS)
    for k, band in enumerate(BANDS):
        axes = _panel(figure, k, limits)
        q, colour = kilonova.quantiles[:, k], _COLOURS[band]
        axes.fill_between(x, q[_LOW], q[_HIGH], color=colour, alpha=0.15, lw=0)
        axes.fill_between(x, q[_Q25], q[_Q75], color=colour, alpha=0.30, lw=0)
        axes.plot(x, q[_MEDIAN], color=colour, lw=1.4)
        for seen, marker in ((0.5, "o"), (0.9, "v")):
            depths = [kilonova.depth(seen, hours)[band] for hours in DEPTH_HOURS]
            axes.plot(x_depth, depths, marker, ms=4, mfc="white", color=colour, ls="none")
        if afterglow is not None:
            glow = afterglow.quantiles[:, k]
            axes.plot(x, glow[_MEDIAN], color=_AFTERGLOW, lw=1.2)
            for edge in (_LOW, _HIGH):
                axes.plot(x, glow[edge], color=_AFTERGLOW, lw=0.7, ls="--")
        axes.text(0.97, 0.95, band, transform=axes.transAxes, ha="right", va="top", weight="bold", color=colour)
    figure.suptitle(f"{title}\n{words}", fontsize=11)
    figure.supylabel("AB magnitude, without Galactic dust")
    note = "shaded: 50 and 90 % of models; circle and triangle: depth that shows 50 and 90 % of them"
    note += "; orange: afterglow seen on axis, median and 90 %" if afterglow is not None else ""
    figure.supxlabel(f"hours after the merger ({note})", fontsize=9)
    out = io.BytesIO()
    # The library's version in the file would change the bytes with every update.
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


def _panel(figure: Figure, number: int, limits: tuple[float, float]) -> Axes:
    """One of nine panels. Ticks take most of a picture's time, so that only the outer panels have them."""
    row, column = divmod(number, 3)
    axes = figure.add_axes((0.07 + 0.3095 * column, 0.085 + 0.2835 * (2 - row), 0.301, 0.268))
    axes.set(xlim=np.log10([HOURS[0], HOURS[-1]]), ylim=limits)
    faint, bright = limits
    magnitudes = np.arange(2 * np.ceil(bright / 2), faint, 2)
    axes.hlines(magnitudes, *axes.get_xlim(), color=_GRID, lw=0.5, zorder=0)
    axes.vlines(np.log10(_MARKED_HOURS), *limits, color=_GRID, lw=0.5, zorder=0)
    axes.set_xticks(
        np.log10(_MARKED_HOURS) if row == 2 else [], [str(hour) for hour in _MARKED_HOURS] if row == 2 else []
    )
    axes.set_yticks(magnitudes if column == 0 else [])
    return axes
