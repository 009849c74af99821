"""Pictures: neutrino error circles over a sky map, and two localisations with the combined one."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.coincidence.neutrinos import Overlap
from mma_pipeline.science.healpix import vec_to_index29
from mma_pipeline.science.plots.projections import Azimuthal, mollweide
from mma_pipeline.science.plots.skymap import _draw_near, _draw_sky, _png, region_of
from mma_pipeline.science.skymaps.credible import Ranking, credible_areas
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import index29

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_overlaps(m: SkyMap, found: Sequence[Overlap], title: str) -> bytes:
    """PNG of the whole sky (Mollweide, RA to the left) and of the map close by: density, 50 and 90 % outlines, numbered circles.

    Deterministic: the bytes depend on the arguments and the versions of matplotlib and NumPy only.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(15.0, 6.2), dpi=100, facecolor="white")
    canvas = FigureCanvasAgg(figure)
    sky, near = figure.add_axes((0.01, 0.06, 0.585, 0.78)), figure.add_axes((0.625, 0.1, 0.355, 0.76))
    ra, dec, _ = region_of(m)
    frame = Azimuthal(ra, dec)
    _draw_sky(sky, m, {}, float(m.probdensity.max()), [])
    _draw_near(near, m, {}, [])
    _levels(near, m, frame)
    for axes, project in ((sky, mollweide), (near, frame.forward)):
        longest = float(np.ptp(axes.get_xlim())) / 4
        for number, one in enumerate(found, start=1):
            if one.ra is None or one.dec is None:
                continue
            circle = np.stack(project(*_circle(one.ra, one.dec, one.radius or 0.5)), axis=1)
            jumps = np.flatnonzero(np.hypot(*np.diff(circle, axis=0).T) > longest) + 1
            for part in np.split(circle, jumps):
                axes.plot(*part.T, color="tab:blue", linewidth=1.4, zorder=6)
            (x,), (y,) = project(np.array([one.ra % 360]), np.array([one.dec]))
            # The circles of good tracks are half a degree wide: a cross makes them findable.
            axes.plot(x, y, marker="+", markersize=11, color="tab:blue", zorder=6)
            axes.annotate(
                str(number), (x, y), xytext=(6, 6), textcoords="offset points", color="tab:blue", annotation_clip=True
            )
    figure.text(0.02, 0.945, title, fontsize=13, fontweight="bold", color="#1d2733")
    figure.text(0.02, 0.9, "numbered: tracks with their error circles", fontsize=10, color="#3b4754")
    canvas.draw()  # type: ignore[no-untyped-call]
    return _png(np.asarray(canvas.buffer_rgba()))  # type: ignore[no-untyped-call]


def _levels(axes: Axes, m: SkyMap, frame: Azimuthal) -> None:
    """Outlines of the 50 and 90 % regions in a picture close by."""
    edge = axes.get_xlim()[1]
    along = np.linspace(-edge, edge, 321)
    index = index29(*(place.ravel() for place in frame.inverse(*np.meshgrid(along, along))))
    level = Ranking(m).searched_prob[m.row_of(index)].reshape(len(along), -1)
    for threshold, width in ((0.5, 1.4), (0.9, 1.0)):
        if level.min() < threshold < level.max():
            axes.contour(along, along, level, levels=[threshold], colors="#7a0f0f", linewidths=width)


def _circle(ra: float, dec: float, radius: float) -> tuple[FloatArray, FloatArray]:
    """Right ascension and declination, deg, along a circle on the sphere, shape (181,) each."""
    theta, phi = np.radians(radius), np.linspace(0.0, 2.0 * np.pi, 181)
    d, a = np.radians(dec), np.radians(ra)
    sin_dec = np.sin(d) * np.cos(theta) + np.cos(d) * np.sin(theta) * np.cos(phi)
    east = np.arctan2(np.sin(phi) * np.sin(theta) * np.cos(d), np.cos(theta) - np.sin(d) * sin_dec)
    return np.degrees(a + east) % 360.0, np.degrees(np.arcsin(np.clip(sin_dec, -1.0, 1.0)))


def draw_pair(gw: SkyMap, other: SkyMap, combined: SkyMap | None, names: tuple[str, str], title: str) -> bytes:
    """PNG of two localisations and the combined one, 50 % (solid) and 90 % (dashed) outlines: the whole sky, and the place.

    The whole sky is a Mollweide map with RA in hours to the left, about the meridian of the last map's peak, so that no edge
    splits the region; the place a tangent plane around that peak, north up and east to the left. Deterministic, as
    `draw_overlaps`. `names` are those of the two events, for the legend.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    maps = [(gw, names[0], "tab:red"), (other, names[1], "tab:blue")]
    if combined is not None:
        maps.append((combined, "both", "black"))
    rankings = [Ranking(m) for m, _, _ in maps]
    figure = Figure(figsize=(12, 4.6), dpi=100)
    FigureCanvasAgg(figure)
    sky = figure.add_axes((0.04, 0.08, 0.56, 0.8), projection="mollweide")
    lon, lat = np.linspace(-179.75, 179.75, 720), np.linspace(-89.75, 89.75, 360)
    grid_lon, grid_lat = np.meshgrid(lon, lat)
    ra, dec = rankings[-1].mode
    index = index29((ra - grid_lon.ravel()) % 360.0, grid_lat.ravel())
    _outlines(sky, np.radians(lon), np.radians(lat), index, maps, rankings)
    sky.grid(alpha=0.3)
    # Whole hours, as on the sky maps, wherever the centre is.
    hours = {hour: (ra - 15.0 * hour + 180.0) % 360.0 - 180.0 for hour in range(0, 24, 2)}
    shown = sorted((x, f"{hour}h") for hour, x in hours.items() if abs(x) < 172.0)
    sky.set_xticks(np.radians([x for x, _ in shown]), [words for _, words in shown], fontsize=7)
    sky.tick_params(axis="y", labelsize=7)
    areas = [credible_areas(ranking, [0.9])[0] for ranking in rankings]
    half = float(np.clip(1.3 * np.sqrt(min(areas[:2]) / np.pi), 1.0, 40.0))
    place = figure.add_axes((0.66, 0.11, 0.32, 0.77))
    along = np.linspace(-half, half, 321)
    x, y = np.meshgrid(np.tan(np.radians(along)), np.tan(np.radians(along)))
    _outlines(place, along, along, _tangent(ra, dec, -x.ravel(), y.ravel()), maps, rankings)
    place.set_aspect("equal")
    place.grid(alpha=0.3)
    place.set_xlabel(f"deg west of RA {ra:.2f}°", fontsize=8)
    place.set_ylabel(f"deg north of Dec {dec:+.2f}°", fontsize=8)
    place.tick_params(labelsize=7)
    for ranking, (_, name, colour) in zip(rankings, maps, strict=True):
        # A localisation of arc minutes falls between the grid's points: its peak is marked.
        at_ra, at_dec = ranking.mode
        at = np.radians((ra - at_ra + 180.0) % 360.0 - 180.0), np.radians(at_dec)
        sky.plot(*at, "+", color=colour, markersize=9, label=name)
    for words, style in (("50 %", "solid"), ("90 %", "dashed")):
        sky.plot([], [], color="dimgray", linewidth=1.0, linestyle=style, label=f"{words} region")
    sky.legend(loc="lower right", bbox_to_anchor=(1.06, -0.06), fontsize=8)
    figure.suptitle(title, fontsize=10)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    return buffer.getvalue()


def _outlines(
    axes: Any,
    x: FloatArray,
    y: FloatArray,
    index: IntArray,
    maps: Sequence[tuple[SkyMap, str, str]],
    rankings: Sequence[Ranking],
) -> None:
    """Density of the first map and outlines of all, on a grid whose places `index` names (order-29 NESTED, row by row)."""
    shape = (len(y), len(x))
    first = maps[0][0]
    axes.pcolormesh(x, y, first.probdensity[first.row_of(index)].reshape(shape), cmap="OrRd", rasterized=True)
    for (m, _, colour), ranking in zip(maps, rankings, strict=True):
        level = ranking.searched_prob[m.row_of(index)].reshape(shape)
        for threshold, style in ((0.5, "solid"), (0.9, "dashed")):
            if level.min() < threshold < level.max():
                axes.contour(x, y, level, levels=[threshold], colors=colour, linewidths=1.0, linestyles=style)


def _tangent(ra: float, dec: float, east: FloatArray, north: FloatArray) -> IntArray:
    """Order-29 NESTED indices of places in the plane that touches the sphere at (ra, dec) deg, in units of its radius."""
    a, d = np.radians(ra), np.radians(dec)
    centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
    to_east = np.array([-np.sin(a), np.cos(a), 0.0])
    to_north = np.cross(centre, to_east)
    places = centre + east[:, np.newaxis] * to_east + north[:, np.newaxis] * to_north
    return vec_to_index29(places / np.linalg.norm(places, axis=1, keepdims=True))
