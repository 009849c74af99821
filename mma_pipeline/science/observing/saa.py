"""Where Fermi GBM switches off: the South Atlantic Anomaly as polygons in latitude and longitude.

Source: the boundaries that the GBM flight software used, with the times of their use, as published in the Fermi GBM
Data Tools (USRA-STI/gdt-fermi, `gdt/missions/fermi/gbm/saa.py`). Outside these polygons particle flux may still
be high; inside them no GBM data exist.
"""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np

Polygon = tuple[tuple[float, float], ...]
"""Corners as (latitude, east longitude), deg."""

_ORIGINAL: Polygon = (
    (-30.0, 33.9), (-22.6, 24.5), (2.5, -18.6), (5.2, -25.7), (5.2, -36.0), (4.6, -42.0), (0.7, -58.8),
    (-8.6, -93.1), (-9.9, -97.5), (-12.5, -98.5), (-21.7, -92.1), (-30.0, -86.1),
)  # fmt: skip
_JUNE_2010: Polygon = (
    (-30.0, 21.0), (-21.67, 0.0), (-13.33, -21.0), (-5.0, -42.0), (-6.0, -50.0), (-7.0, -58.0), (-9.0, -65.0),
    (-11.0, -72.0), (-14.0, -76.0), (-17.0, -80.0), (-23.5, -80.0), (-30.0, -80.0),
)  # fmt: skip
_JUNE_2010_LARGER: Polygon = (
    (-30.0, 26.0), (-14.5, -2.0), (-9.3, -11.3), (1.0, -30.0), (2.0, -37.5), (3.0, -45.0), (-2.0, -62.5),
    (-7.0, -80.0), (-11.0, -85.0), (-15.0, -90.0), (-22.5, -88.5), (-30.0, -87.0),
)  # fmt: skip
_JULY_2010: Polygon = (
    (-30.0, 40.0), (-2.0, -27.0), (-0.5, -35.0), (0.5, -47.0), (1.0, -60.0), (1.0, -65.0), (0.0, -75.0),
    (-2.0, -82.0), (-7.5, -90.0), (-11.5, -94.0), (-16.5, -97.0), (-30.0, -92.0),
)  # fmt: skip
_STANDARD: Polygon = (
    (-30.0, 33.9), (-19.867, 12.398), (-9.733, -9.103), (0.4, -30.605), (2.0, -38.4), (2.0, -45.0), (-1.0, -65.0),
    (-6.155, -84.0), (-8.88, -89.2), (-14.22, -94.3), (-18.404, -94.3), (-30.0, -86.1),
)  # fmt: skip
_JUNE_2022: Polygon = (
    (-30.0, -5.0), (-19.867, -16.398), (-9.733, -28.103), (-3.4, -35.605), (-2.0, -38.4), (-2.0, -45.0),
    (-5.0, -65.0), (-10.155, -84.0), (-12.88, -89.2), (-16.22, -90.3), (-22.404, -90.3), (-30.0, -86.1),
)  # fmt: skip
_AUGUST_2022: Polygon = (
    (-30.0, 0.0), (-19.867, -11.398), (-9.733, -23.103), (-3.4, -30.605), (0.0, -36.4), (0.0, -43.0), (-3.0, -65.0),
    (-8.155, -84.0), (-10.88, -89.2), (-16.22, -90.3), (-22.404, -90.3), (-30.0, -86.1),
)  # fmt: skip
_NOVEMBER_2023: Polygon = (
    (-24.395, 22.0), (-30.0, 22.0), (-30.0, -86.1), (-24.06, -90.3), (-16.22, -90.3), (-8.638, -88.738),
    (-6.155, -84.0), (-1.0, -65.0), (2.0, -45.0), (2.0, -38.4), (-3.4, -30.605), (-19.571, -11.999),
)  # fmt: skip
_AUGUST_2024: Polygon = (
    (-24.395, 22.0), (-30.0, 22.0), (-30.0, -86.1), (-22.646, -91.3), (-16.22, -91.8), (-9.404, -89.7),
    (-6.155, -84.0), (-1.0, -65.0), (2.0, -45.0), (2.0, -38.4), (-3.65, -30.605), (-20.136, -8.016),
)  # fmt: skip
_AUGUST_2024_EAST: Polygon = (*_AUGUST_2024[:-1], (-17.868, -11.123))


def _t(year: int, month: int, day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, second, tzinfo=UTC)


#: Start of use and polygon, in order of time.
GBM: tuple[tuple[datetime, Polygon], ...] = (
    (_t(2008, 6, 11), _ORIGINAL),
    (_t(2010, 6, 9, 18, 30, 9), _JUNE_2010),
    (_t(2010, 6, 10, 17, 41, 58), _JUNE_2010_LARGER),
    (_t(2010, 7, 8, 13, 34), _JULY_2010),
    (_t(2010, 7, 20, 14, 13), _STANDARD),
    (_t(2022, 6, 7, 14, 20), _JUNE_2022),
    (_t(2022, 6, 9, 19, 35), _STANDARD),
    (_t(2022, 8, 3, 18, 10, 45), _AUGUST_2022),
    (_t(2022, 8, 11, 17, 59, 26), _STANDARD),
    (_t(2023, 11, 15, 16, 50), _NOVEMBER_2023),
    (_t(2023, 11, 17, 18, 27), _STANDARD),
    (_t(2024, 7, 23, 19, 15), _NOVEMBER_2023),
    (_t(2024, 8, 6, 19, 15), _AUGUST_2024),
    (_t(2024, 8, 8), _AUGUST_2024_EAST),
    (_t(2024, 9, 30, 19, 20, 45), _STANDARD),
)


def in_gbm_saa(latitude: float, longitude: float, time: datetime) -> bool:
    """Whether a point over the Earth (deg, longitude east) lies in the polygon in use at that time (UTC)."""
    polygon = _ORIGINAL
    for start, used in GBM:
        if start <= time:
            polygon = used
    return inside(polygon, latitude, longitude)


def inside(polygon: Polygon, latitude: float, longitude: float) -> bool:
    """Even-odd rule on the latitude-longitude plane; no polygon here crosses the date line or a pole (degrees)."""
    lat, lon = np.array(polygon).T
    lat2, lon2 = np.roll(lat, -1), np.roll(lon, -1)
    east = (longitude + 180.0) % 360.0 - 180.0
    crosses = (lat > latitude) != (lat2 > latitude)
    with np.errstate(divide="ignore", invalid="ignore"):
        at = lon + (latitude - lat) / (lat2 - lat) * (lon2 - lon)
    return bool(np.count_nonzero(crosses & (east < at)) % 2)
