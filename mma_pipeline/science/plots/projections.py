"""The two projections of the pictures, and the raster of the whole sky."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.sphere import index29, unit_vectors


@cache
def sky_raster() -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Which points of the picture lie on the sky, shape (440, 880), and the order-29 pixels of those that do.

    The same for every map, so a warm process works it out once.
    """
    width = 880  # what the whole sky takes of the picture, pixels
    x, y = np.meshgrid((np.arange(width) + 0.5) / width * 4 - 2, (np.arange(width // 2) + 0.5) / width * 4 - 1)
    # Inverse Mollweide, Snyder 1987 (USGS PP 1395), eq. 31-6 to 31-8, in units of √2 R; RA grows to the left about 180°.
    inside = (x / 2) ** 2 + y**2 < 1
    theta = np.arcsin(np.clip(y, -1, 1))
    sine = np.clip((2 * theta + np.sin(2 * theta)) / np.pi, -1, 1)
    dec = np.degrees(np.arcsin(sine))
    with np.errstate(divide="ignore", invalid="ignore"):
        ra = 180 - 90 * x / np.cos(theta)
    return inside, index29(ra[inside], dec[inside])


class Azimuthal:
    """Azimuthal equal-area projection about a point, east to the left (Snyder 1987, eq. 22-4 and 24-2)."""

    def __init__(self, ra: float, dec: float) -> None:
        """Project about a point, degrees."""
        a, d = np.radians([ra, dec])
        self.centre = np.array([np.cos(d) * np.cos(a), np.cos(d) * np.sin(a), np.sin(d)])
        self.east = np.array([-np.sin(a), np.cos(a), 0.0])
        self.north = np.cross(self.centre, self.east)

    def forward(self, ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Plane coordinates, in units of the sphere's radius, of positions in degrees; shapes are kept."""
        vectors = unit_vectors(np.asarray(ra) % 360, dec)
        scale = np.sqrt(2 / np.maximum(1 + vectors @ self.centre, 1e-9))
        return -scale * (vectors @ self.east), scale * (vectors @ self.north)

    def inverse(self, x: FloatArray, y: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Right ascension and declination, degrees, of points of the plane; shapes are kept."""
        squared = np.minimum(x**2 + y**2, 4)
        along = 1 - squared / 2
        scale = np.sqrt(1 - squared / 4)
        vectors = (
            along[..., None] * self.centre + (scale * -x)[..., None] * self.east + (scale * y)[..., None] * self.north
        )
        return (
            np.degrees(np.arctan2(vectors[..., 1], vectors[..., 0])) % 360,
            np.degrees(np.arcsin(np.clip(vectors[..., 2], -1, 1))),
        )


def mollweide(ra: FloatArray, dec: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Mollweide plane of positions in degrees: x in -2 to 2, growing as RA falls, y in -1 to 1, in units of √2 R.

    Source: Snyder 1987 (USGS PP 1395), eq. 31-1 to 31-4.
    """
    target = np.pi * np.sin(np.radians(dec))
    theta = np.radians(dec) * 0.9
    for _ in range(30):
        slope = np.maximum(2 + 2 * np.cos(2 * theta), 1e-9)
        theta = np.clip(theta - (2 * theta + np.sin(2 * theta) - target) / slope, -np.pi / 2, np.pi / 2)
    return (180 - np.asarray(ra)) / 90 * np.cos(theta), np.sin(theta)
