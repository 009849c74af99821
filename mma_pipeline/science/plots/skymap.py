"""Pictures of a sky map: the whole sky, and the region close by, with 50 and 90 % contours and the peak.

Matplotlib through its object interface, so that threads do not share state; the same input gives the same bytes.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.plots.projections import Azimuthal, mollweide, sky_raster
from mma_pipeline.science.skymaps.credible import greedy
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import index29, separation, to_radec, unit_vectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Polylines in degrees, each of shape (K, 2) as right ascension and declination.
Lines = Sequence[npt.ArrayLike]

_DPI = 100
_SIZE_IN = (15.0, 6.2)
#: The zoom never shows less or more than this, degrees from its centre to its edge.
_ZOOM_MIN_DEG, _ZOOM_MAX_DEG = 1.0, 60.0
_STYLES: dict[int, dict[str, Any]] = {
    50: {"color": "#7a0f0f", "linewidth": 1.4},
    90: {"color": "#c0392b", "linewidth": 1.1},
}
_GRID: dict[str, Any] = {"color": "#9aa5b1", "linewidth": 0.6, "alpha": 0.7, "zorder": 2}
_LABEL: dict[str, Any] = {"color": "#3b4754", "fontsize": 8}


@dataclass(frozen=True)
class Marker:
    """A position to show, such as a galaxy or a candidate."""

    ra: float
    """Degrees."""
    dec: float
    """Degrees."""
    label: str = ""


def sky_plot(
    skymap: SkyMap, contours: Mapping[int, Lines], *, title: str, note: str = "", markers: Iterable[Marker] = ()
) -> bytes:
    """PNG of the whole sky (Mollweide, RA to the left) beside the region close by (azimuthal equal-area).

    `contours` maps credible levels in per cent to polylines in degrees. `note` is small print below the title.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=_SIZE_IN, dpi=_DPI, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    sky = figure.add_axes((0.01, 0.06, 0.585, 0.78))
    near = figure.add_axes((0.625, 0.1, 0.355, 0.76))
    top = float(skymap.probdensity.max())
    places = list(markers)
    _draw_sky(sky, skymap, contours, top, places)
    _draw_near(near, skymap, contours, places)
    figure.text(0.02, 0.945, title, fontsize=15, fontweight="bold", color="#1d2733")
    figure.text(0.02, 0.9, note, fontsize=10, color="#3b4754")
    canvas.draw()  # type: ignore[no-untyped-call]
    return _png(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]


def region_of(skymap: SkyMap, level: float = 0.9) -> tuple[float, float, float]:
    """Where to look: right ascension, declination and radius in degrees of a circle about the peak's surroundings.

    The centre is the probability-weighted mean direction of the densest rows that hold `level`; the radius reaches
    the farthest of them but for strays, within the bounds of a zoom.
    """
    rank, total = greedy(skymap)
    rows = rank[: int(np.searchsorted(total, level)) + 1]
    ra, dec = _centres(skymap, rows)
    weight = skymap.prob[rows]
    mean = (unit_vectors(ra, dec) * weight[:, None]).sum(axis=0)
    if np.linalg.norm(mean) < 0.5 * weight.sum():
        # Spread over more than a hemisphere, a mean points nowhere: look at the peak.
        centre_ra, centre_dec = float(ra[0]), float(dec[0])
    else:
        centre_ra, centre_dec = to_radec(mean)
    distance = separation(ra, dec, centre_ra, centre_dec)
    order = np.argsort(distance)
    inside = np.cumsum(weight[order]) <= 0.985 * weight.sum()
    radius = float(distance[order][inside].max(initial=0.0)) * 1.15
    return centre_ra, centre_dec, float(np.clip(radius, _ZOOM_MIN_DEG, _ZOOM_MAX_DEG))


def _draw_sky(axes: Axes, skymap: SkyMap, contours: Mapping[int, Lines], top: float, markers: list[Marker]) -> None:
    inside, pixels = sky_raster()
    density = np.full(inside.shape, np.nan)
    density[inside] = skymap.probdensity[skymap.row_of(pixels)]
    _image(axes, density, (-2, 2, -1, 1), top)
    for meridian in range(30, 360, 30):
        axes.plot(*mollweide(np.full(181, float(meridian)), np.linspace(-90, 90, 181)), **_GRID)
        if meridian % 60 == 0:
            at_x, at_y = mollweide(np.array([float(meridian)]), np.array([0.0]))
            axes.text(at_x[0], at_y[0] + 0.015, f"{meridian // 15}h", ha="center", va="bottom", zorder=5, **_LABEL)
    for parallel in range(-60, 61, 30):
        axes.plot(*mollweide(np.linspace(1e-6, 360 - 1e-6, 361), np.full(361, float(parallel))), **_GRID)
        at_x, at_y = mollweide(np.array([360 - 1e-6]), np.array([float(parallel)]))
        axes.text(at_x[0] - 0.03, at_y[0], _degrees(parallel), ha="right", va="center", zorder=5, **_LABEL)
    edge = np.linspace(0, 2 * np.pi, 400)
    axes.plot(2 * np.cos(edge), np.sin(edge), color="#3b4754", linewidth=1.0, zorder=4)
    for level, lines in contours.items():
        for line in lines:
            points = np.asarray(line, dtype=float)
            px, py = mollweide(points[:, 0], points[:, 1])
            _broken(axes, px, py, 0.5, zorder=3, **_STYLES.get(level, _STYLES[90]))
    for marker in markers:
        mx, my = mollweide(np.array([marker.ra % 360]), np.array([marker.dec]))
        axes.plot(mx, my, marker="x", color="#154360", markersize=6, zorder=6)
    centre = region_of(skymap)
    if centre[2] < 8:
        # Too small to be seen on the whole sky: say where it is.
        cx, cy = mollweide(np.array([centre[0]]), np.array([centre[1]]))
        axes.plot(cx, cy, marker="o", markersize=22, markerfacecolor="none", color="#154360", linewidth=1, zorder=6)
    axes.set_xlim(-2.18, 2.02)
    axes.set_ylim(-1.03, 1.03)
    axes.set_aspect("equal")
    axes.set_axis_off()


def _draw_near(axes: Axes, skymap: SkyMap, contours: Mapping[int, Lines], markers: list[Marker]) -> None:
    ra0, dec0, radius = region_of(skymap)
    frame = Azimuthal(ra0, dec0)
    edge = 2 * np.sin(np.radians(radius) / 2)
    width = 500  # a little more than the pixels of the frame
    grid = (np.arange(width) + 0.5) / width * 2 * edge - edge
    x, y = np.meshgrid(grid, grid)
    density = _density(skymap, *frame.inverse(x, y))
    # A region smaller than a pixel of the picture may fall between them all.
    _image(axes, density, (-edge, edge, -edge, edge), float(density.max()) or float(skymap.probdensity.max()))
    step = _step(radius)
    parallels = np.arange(-90 + step, 90, step)
    shown = parallels[np.abs(parallels - dec0) < radius * 1.6 + step]
    spread = (
        180 if abs(dec0) + radius > 80 else min(180.0, 1.6 * radius / np.cos(np.radians(min(abs(dec0) + radius, 85))))
    )
    ra_step = _step(spread)
    first = np.floor((ra0 - spread) / ra_step) * ra_step
    meridians = np.unique(np.arange(first, ra0 + spread + ra_step, ra_step) % 360)
    taken: list[tuple[float, float]] = []
    for parallel in shown:
        line_x, line_y = frame.forward(ra0 + np.linspace(-spread, spread, 241), np.full(241, parallel))
        axes.plot(line_x, line_y, **_GRID)
        _edge_label(axes, line_x, line_y, edge, _degrees(parallel, _digits(step)), taken, side="right")
    for meridian in meridians:
        dec = np.clip(np.linspace(dec0 - 1.7 * radius, dec0 + 1.7 * radius, 241), -90, 90)
        line_x, line_y = frame.forward(np.full(241, meridian), dec)
        axes.plot(line_x, line_y, **_GRID)
        _edge_label(axes, line_x, line_y, edge, f"{meridian:.{_digits(ra_step)}f}°", taken, side="bottom")
    for level, lines in contours.items():
        style = _STYLES.get(level, _STYLES[90])
        for line in lines:
            points = np.asarray(line, dtype=float)
            px, py = frame.forward(points[:, 0], points[:, 1])
            _broken(axes, px, py, edge, zorder=3, **style)
        axes.plot([], [], label=f"{level} %", **style)
    row = int(np.argmax(skymap.probdensity))
    peak_ra, peak_dec = (float(value[0]) for value in _centres(skymap, np.array([row])))
    peak_x, peak_y = frame.forward(np.array([peak_ra]), np.array([peak_dec]))
    axes.plot(peak_x, peak_y, marker="+", color="#154360", markersize=11, linestyle="none", zorder=6, label="peak")
    for marker in markers:
        mx, my = frame.forward(np.array([marker.ra]), np.array([marker.dec]))
        if max(abs(mx[0]), abs(my[0])) < edge:
            axes.plot(mx, my, marker="x", color="#154360", markersize=6, zorder=6)
            axes.annotate(marker.label, (mx[0], my[0]), xytext=(4, 4), textcoords="offset points", fontsize=8, zorder=6)
    axes.legend(loc="upper right", fontsize=8, framealpha=0.85)
    # The equal-area plane is mirrored so that east, and with it right ascension, is to the left.
    axes.set_xlim(-edge, edge)
    axes.set_ylim(-edge, edge)
    axes.set_aspect("equal")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(
        f"{2 * radius:.{0 if radius > 5 else 1}f}° across, about RA {ra0:.2f}°, Dec {dec0:+.2f}°", fontsize=10
    )


def _density(skymap: SkyMap, ra: FloatArray, dec: FloatArray) -> FloatArray:
    rows = skymap.row_of(index29(ra.ravel(), dec.ravel()))
    return np.asarray(skymap.probdensity[rows]).reshape(ra.shape)


def _centres(skymap: SkyMap, rows: npt.NDArray[np.int64]) -> tuple[FloatArray, FloatArray]:
    from mma_pipeline.science.sphere import pixel_centres

    return pixel_centres(skymap.order[rows], skymap.ipix[rows])


def _image(axes: Axes, density: FloatArray, extent: tuple[float, float, float, float], top: float) -> None:
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("sky", ["#ffffff", "#fdebd0", "#f5b041", "#dc7633", "#922b21"])
    axes.imshow(
        np.sqrt(density / top), extent=extent, origin="lower", cmap=colours, vmin=0, vmax=1, interpolation="nearest"
    )


def _broken(axes: Axes, x: FloatArray, y: FloatArray, longest: float, **style: Any) -> None:
    """A line that is broken where it would jump across the map."""
    jumps = np.flatnonzero(np.hypot(np.diff(x), np.diff(y)) > longest) + 1
    axes.plot(np.insert(x, jumps, np.nan), np.insert(y, jumps, np.nan), **style)


def _edge_label(
    axes: Axes, x: FloatArray, y: FloatArray, edge: float, text: str, taken: list[tuple[float, float]], *, side: str
) -> None:
    """Write a grid line's value where the line meets the frame's right or lower edge, unless a label is there."""
    across, along = (x, y) if side == "right" else (y, x)
    target = edge if side == "right" else -edge
    crossing = np.flatnonzero((across[:-1] - target) * (across[1:] - target) < 0)
    for i in crossing[:1]:
        place = along[i] + (along[i + 1] - along[i]) * (target - across[i]) / (across[i + 1] - across[i])
        spot = (target, place)
        if abs(place) > 0.97 * edge or any(np.hypot(*np.subtract(spot, other)) < 0.14 * edge for other in taken):
            continue
        taken.append(spot)
        if side == "right":
            axes.text(edge * 1.015, place, text, ha="left", va="center", **_LABEL)
        else:
            axes.text(place, -edge * 1.02, text, ha="center", va="top", **_LABEL)


def _degrees(value: float, digits: int = 0) -> str:
    return f"{value:+.{digits}f}°" if value else "0°"


def _step(radius: float) -> float:
    """Grid spacing, degrees, that gives some four lines."""
    choices = np.array([0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 45])
    return float(choices[np.argmin(np.abs(choices - radius / 2))])


def _digits(step: float) -> int:
    return 0 if step >= 1 else 1


def _png(pixels: npt.NDArray[np.uint8]) -> bytes:
    """PNG with a palette of 256 colours: a third of the size, for pictures that travel in metadata.

    The palette that covers the colours best has the smallest largest error, and is made faster than that of the median.
    """
    from PIL import Image

    buffer = io.BytesIO()
    image = (
        Image.fromarray(pixels)
        .convert("RGB")
        .quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    )
    image.save(buffer, format="PNG")
    return buffer.getvalue()
