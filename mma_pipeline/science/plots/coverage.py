"""The sky map with what pointings have covered of it, and the probability covered over time."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.coverage.cells import Places
from mma_pipeline.science.coverage.footprint import plane_corners
from mma_pipeline.science.coverage.ledger import Ledger
from mma_pipeline.science.healpix import MAX_ORDER, vec_to_lonlat
from mma_pipeline.science.plots.projections import Azimuthal, mollweide, sky_raster
from mma_pipeline.science.plots.skymap import _draw_near, _draw_sky, _png, region_of
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import index29

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Right ascension and declination, degrees, to coordinates of a plane.
Projection = Callable[[FloatArray, FloatArray], tuple[FloatArray, FloatArray]]
#: A region of a smaller radius, degrees, is shown close by, too; points along a side of that picture.
_SMALL_DEG, _NEAR = 25.0, 400
#: Outlines that are drawn; of more pointings the coloured area alone is shown.
_MOST_OUTLINES = 3000


def coverage_plot(
    skymap: SkyMap, ledger: Ledger, completed: Places, planned: Places, *, title: str, note: str
) -> bytes:
    """PNG: the whole sky with the map, the covered part shaded and outlines of fields (planned ones dashed); right the curve.

    Between them, where the region is too small to be seen on the whole sky, the same close by.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.0, 6.2), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    ra, dec, radius = region_of(skymap)
    small = radius < _SMALL_DEG
    sky = figure.add_axes((0.01, 0.06, 0.355 if small else 0.585, 0.78))
    curve = figure.add_axes((0.735, 0.13, 0.205, 0.68) if small else (0.655, 0.13, 0.28, 0.68))
    _draw_sky(sky, skymap, {}, float(skymap.probdensity.max()), [])
    drawn: list[tuple[Axes, Projection]] = [(sky, mollweide)]
    inside, pixels = sky_raster()
    _shade(sky, ledger, inside, pixels, (-2, 2, -1, 1))
    if small:
        near, frame = figure.add_axes((0.37, 0.08, 0.3, 0.74)), Azimuthal(ra, dec)
        _draw_near(near, skymap, {}, [])
        edge = near.get_xlim()[1]
        grid = (np.arange(_NEAR) + 0.5) / _NEAR * 2 * edge - edge
        places = frame.inverse(*np.meshgrid(grid, grid))
        everywhere = np.ones((_NEAR, _NEAR), dtype=bool)
        _shade(near, ledger, everywhere, index29(places[0].ravel(), places[1].ravel()), (-edge, edge, -edge, edge))
        drawn.append((near, frame.forward))
    for axes, project in drawn:
        for fields, style in ((completed, "solid"), (planned, "dashed")):
            _outlines(axes, project, fields.unique()[0], style)
    _draw_curve(curve, ledger)
    figure.text(0.02, 0.945, title, fontsize=15, fontweight="bold", color="#1d2733")
    figure.text(0.02, 0.9, note, fontsize=10, color="#3b4754")
    canvas.draw()  # type: ignore[no-untyped-call]
    return _png(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]


def _shade(
    axes: Axes,
    ledger: Ledger,
    inside: npt.NDArray[np.bool_],
    pixels: IntArray,
    extent: tuple[float, float, float, float],
) -> None:
    """Colour what is covered of a picture, of whose points those `inside` (H, W) have these order-29 pixels."""
    from matplotlib.colors import ListedColormap

    covered = np.full(inside.shape, np.nan)
    if len(ledger.covered.ipix):
        shift = 2 * (MAX_ORDER - ledger.covered.order)
        begin = np.sort(ledger.covered.ipix << shift)
        size = np.int64(1) << shift
        end = begin + size[np.argsort(ledger.covered.ipix << shift)]
        cell = np.searchsorted(begin, pixels, side="right") - 1
        hit = (cell >= 0) & (pixels < end[np.maximum(cell, 0)])
        covered[inside] = np.where(hit, 1.0, np.nan)
    axes.imshow(
        covered, extent=extent, origin="lower", cmap=ListedColormap(["#1f77b4"]), alpha=0.35, interpolation="nearest",
        zorder=2,
    )  # fmt: skip


def _outlines(axes: Axes, project: Projection, places: Places, style: str) -> None:
    """Outlines of the fields: the hull of all CCDs of each pointing."""
    from matplotlib.collections import LineCollection

    if not 0 < len(places) <= _MOST_OUTLINES:
        return
    lines: list[FloatArray] = []
    hulls = [_hull(places, number) for number in range(len(places.footprints))]
    for axes_of_place, number in zip(places.axes(), places.footprint.tolist(), strict=True):
        ra, dec = vec_to_lonlat(hulls[number] @ axes_of_place.T)
        line = np.stack(project(ra, dec), axis=1)
        jumps = np.flatnonzero(np.hypot(*np.diff(line, axis=0).T) > 0.5) + 1
        lines += [part for part in np.split(line, jumps) if len(part) > 1]
    axes.add_collection(LineCollection(lines, colors="#154360", linewidths=0.4, linestyles=style, zorder=4))


def _hull(places: Places, number: int) -> FloatArray:
    """Directions (K, 3) along the outline of a footprint in its own frame: east, north, ahead."""
    footprint = places.footprints[number]
    if footprint.radius is not None:
        turn = np.linspace(0, 2 * np.pi, 49)
        r = np.radians(footprint.radius)
        return np.stack([np.sin(r) * np.cos(turn), np.sin(r) * np.sin(turn), np.full(49, np.cos(r))], axis=1)
    from scipy.spatial import ConvexHull

    corners = np.concatenate(plane_corners(footprint))
    ring = corners[ConvexHull(corners).vertices]
    ring = np.concatenate([ring, ring[:1]])
    points = np.concatenate([ring, np.ones((len(ring), 1))], axis=1)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def _draw_curve(axes: Axes, ledger: Ledger) -> None:
    """Probability covered over the time after the event."""
    axes.set_xlabel("hours after the event")
    axes.set_ylabel("probability covered")
    axes.grid(color="#9aa5b1", alpha=0.4)
    axes.set_ylim(0, 1)
    if not ledger.curve:
        axes.text(0.5, 0.5, "no completed pointing with a time", ha="center", va="center", transform=axes.transAxes)
        return
    hours, probability, area = (np.asarray(values) for values in zip(*ledger.curve, strict=True))
    axes.step(hours, probability, where="post", color="#1f77b4")
    right = axes.twinx()
    right.step(hours, area, where="post", color="#7f8c8d", linestyle="dotted")
    right.set_ylabel("area covered, deg² (dotted)")
    right.set_ylim(0, None)
