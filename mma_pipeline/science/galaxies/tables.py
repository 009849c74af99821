"""A galaxy list as files for people (ECSV, VOTable), as entries for other services, and as a table for the UI."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.galaxies.ranking import GalaxyList

if TYPE_CHECKING:
    from astropy.table import Table


def galaxies_table(found: GalaxyList, **about: object) -> Table:
    """The list as a table of one row per galaxy, best first, with units, descriptions and formats; `about` is its meta."""
    from astropy.table import Column, Table

    unit = {"mass": "solMass", "luminosity": "solLum"}.get(found.weight_kind or "")
    columns: list[tuple[str, FloatArray, str | None, str, str]] = [
        ("ra", found.ra, "deg", "Right ascension, ICRS", ".6f"),
        ("dec", found.dec, "deg", "Declination, ICRS", ".6f"),
        ("distance", found.distance, "Mpc", "Luminosity distance", ".6g"),
        ("score", found.score, None, "Share of the whole; all galaxies considered sum to one", ".6e"),
        ("position", found.position, "deg-2", "Probability per area at the galaxy", ".6e"),
        ("distance_density", found.distance_density, "Mpc-3", "Probability per volume on that line of sight", ".6e"),
        ("weight", found.weight, unit, f"{found.weight_kind or 'No'} weight", ".6e"),
        ("detectability", found.detectability, None, "Share of the expected luminosities that can be seen", ".4f"),
        ("level_2d", found.level_2d, None, "Credible level of the region that ends here", ".4f"),
        ("level_3d", found.level_3d, None, "Credible level of the volume that ends here", ".4f"),
    ]
    names = np.array([name.strip() for name in found.name], dtype=str)
    table = Table(meta=dict(sorted(about.items())))
    table["rank"] = Column(found.rank.astype(np.int64), description="Order of the score")
    table["name"] = Column(names, description="Name in the catalog")
    for name, values, units, text, shown in columns:
        table[name] = Column(np.asarray(values, dtype=np.float64), unit=units, description=text, format=shown)
    return table


def galaxy_entries(found: GalaxyList, limit: int) -> list[dict[str, object]]:
    """The best `limit` galaxies as JSON values: name, ra and dec (deg), score, rank and info, best first."""
    entries: list[dict[str, object]] = []
    label = {"mass": "Stellar mass [Msun]", "luminosity": "Luminosity [Lsun]"}.get(found.weight_kind or "")
    for i in range(min(limit, len(found))):
        info = {"Distance [Mpc]": _finite(found.distance[i]), "Credible level (3-D)": _finite(found.level_3d[i])}
        if label:
            info[label] = _finite(found.weight[i])
        entries.append(
            {
                "name": found.name[i].strip(),
                "ra": float(found.ra[i]),
                "dec": float(found.dec[i]),
                "score": float(found.score[i]),
                "rank": int(found.rank[i]),
                "info": {name: value for name, value in info.items() if value is not None},
            }
        )
    return entries


def galaxies_markdown(found: GalaxyList, limit: int = 20) -> str:
    """The head of the list as a Markdown table."""
    head = "| # | galaxy | RA, deg | Dec, deg | Mpc | score | 3-D level |\n|--|--|--|--|--|--|--|\n"
    rows = [
        f"| {found.rank[i]} | {found.name[i].strip().replace('|', '/') or '-'} | {found.ra[i]:.4f} | {found.dec[i]:.4f} | "
        f"{_shown(found.distance[i], '.1f')} | {found.score[i]:.4g} | {_shown(found.level_3d[i], '.3f')} |"
        for i in range(min(limit, len(found)))
    ]
    return head + "\n".join(rows) + "\n"


def _finite(value: np.floating | float) -> float | None:
    number = float(value)
    return number if math.isfinite(number) else None


def _shown(value: np.floating | float, spec: str) -> str:
    number = _finite(value)
    return "-" if number is None else format(number, spec)
