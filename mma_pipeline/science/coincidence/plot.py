"""A picture of neutrino error circles over a sky map."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.coincidence.neutrinos import Overlap
from mma_pipeline.science.skymaps.credible import Ranking
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import index29


def draw_overlaps(m: SkyMap, found: Sequence[Overlap], title: str) -> bytes:
    """PNG of the whole sky (Mollweide, RA to the left): density, 50 and 90 % outlines, circles, numbered.

    Deterministic: the bytes depend on the arguments and the versions of matplotlib and NumPy only.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lon, lat = np.linspace(-179.75, 179.75, 720), np.linspace(-89.75, 89.75, 360)
    grid_lon, grid_lat = np.meshgrid(lon, lat)
    row = m.row_of(index29((-grid_lon.ravel()) % 360.0, grid_lat.ravel()))
    density = m.probdensity[row].reshape(grid_lon.shape)
    level = Ranking(m).searched_prob[row].reshape(grid_lon.shape)
    figure = Figure(figsize=(9, 5), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(projection="mollweide")
    axes.pcolormesh(np.radians(lon), np.radians(lat), density, cmap="OrRd", rasterized=True)
    axes.contour(np.radians(lon), np.radians(lat), level, levels=[0.5, 0.9], colors="0.3", linewidths=0.8)
    for number, one in enumerate(found, start=1):
        if one.ra is None or one.dec is None:
            continue
        for ra, dec in _circle(one.ra, one.dec, one.radius or 0.5):
            axes.plot(np.radians(ra), np.radians(dec), color="tab:blue", linewidth=1.4)
        x = np.radians(-((one.ra + 180.0) % 360.0 - 180.0))
        # The circles of good tracks are half a degree wide: a cross makes them findable.
        axes.plot(x, np.radians(one.dec), marker="+", markersize=11, color="tab:blue")
        axes.annotate(
            str(number), (x, np.radians(one.dec)), xytext=(6, 6), textcoords="offset points", color="tab:blue"
        )
    axes.grid(alpha=0.3)
    hours = [f"{(360 - x) % 360}°" for x in range(-150, 180, 30)]
    axes.set_xticks(np.radians(range(-150, 180, 30)), hours, fontsize=7)
    axes.set_title(title, fontsize=10)
    figure.subplots_adjust(left=0.06, right=0.97, bottom=0.04, top=0.92)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _circle(ra: float, dec: float, radius: float) -> list[tuple[FloatArray, FloatArray]]:
    """Pieces of a circle on the sphere as plot coordinates (minus RA within ±180, Dec), deg, cut at the map's edge."""
    theta, phi = np.radians(radius), np.linspace(0.0, 2.0 * np.pi, 181)
    d, a = np.radians(dec), np.radians(ra)
    sin_dec = np.sin(d) * np.cos(theta) + np.cos(d) * np.sin(theta) * np.cos(phi)
    east = np.arctan2(np.sin(phi) * np.sin(theta) * np.cos(d), np.cos(theta) - np.sin(d) * sin_dec)
    x = -((np.degrees(a + east) + 180.0) % 360.0 - 180.0)
    y = np.degrees(np.arcsin(np.clip(sin_dec, -1.0, 1.0)))
    cuts = np.flatnonzero(np.abs(np.diff(x)) > 180.0) + 1
    return list(zip(np.split(x, cuts), np.split(y, cuts), strict=True))


def draw_pair(gw: SkyMap, other: SkyMap, combined: SkyMap | None, names: tuple[str, str], title: str) -> bytes:
    """PNG of the whole sky (Mollweide, RA to the left): two localisations and the combined one, 50 and 90 % outlines.

    Deterministic, as `draw_overlaps`. `names` are those of the two events, for the legend.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    lon, lat = np.linspace(-179.75, 179.75, 720), np.linspace(-89.75, 89.75, 360)
    grid_lon, grid_lat = np.meshgrid(lon, lat)
    index = index29((-grid_lon.ravel()) % 360.0, grid_lat.ravel())
    figure = Figure(figsize=(9, 5), dpi=100)
    FigureCanvasAgg(figure)
    axes = figure.add_subplot(projection="mollweide")
    row = gw.row_of(index)
    axes.pcolormesh(
        np.radians(lon), np.radians(lat), gw.probdensity[row].reshape(grid_lon.shape), cmap="OrRd", rasterized=True
    )
    drawn = [(gw, names[0], "tab:red", 0.9), (other, names[1], "tab:blue", 0.9), (combined, "both", "black", 1.5)]
    for m, name, colour, width in drawn:
        if m is None:
            continue
        row = m.row_of(index)
        level = Ranking(m).searched_prob[row].reshape(grid_lon.shape)
        if level.min() < 0.9:
            axes.contour(
                np.radians(lon), np.radians(lat), level, levels=[0.5, 0.9], colors=colour, linewidths=width,
                linestyles=["solid", "dashed"],
            )  # fmt: skip
        # A localisation of arc minutes falls between the grid's points: its peak is marked.
        ra, dec = Ranking(m).mode
        axes.plot(
            np.radians(-((ra + 180.0) % 360.0 - 180.0)), np.radians(dec), "+", color=colour, markersize=11, label=name
        )
    axes.grid(alpha=0.3)
    hours = [f"{(360 - x) % 360}°" for x in range(-150, 180, 30)]
    axes.set_xticks(np.radians(range(-150, 180, 30)), hours, fontsize=7)
    axes.set_title(title, fontsize=10)
    axes.legend(loc="lower right", fontsize=8)
    figure.subplots_adjust(left=0.06, right=0.97, bottom=0.04, top=0.92)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()
