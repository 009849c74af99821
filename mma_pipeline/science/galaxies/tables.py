"""A galaxy list as a file for people (ECSV), as entries for other services, and as a table for the UI."""

from __future__ import annotations

import json
import math

import numpy as np

from mma_pipeline.science.galaxies.ranking import GalaxyList
from mma_pipeline.science.skymaps.model import FloatArray


def galaxies_ecsv(found: GalaxyList, **about: object) -> bytes:
    """The list as ECSV with units and descriptions; `about` goes into its header. Deterministic."""
    unit = {"mass": "solMass", "luminosity": "solLum"}.get(found.weight_kind or "", "")
    columns: list[tuple[str, FloatArray, str, str, str]] = [
        ("ra", found.ra, "deg", "Right ascension, ICRS", "%.6f"),
        ("dec", found.dec, "deg", "Declination, ICRS", "%.6f"),
        ("distance", found.distance, "Mpc", "Luminosity distance", "%.6g"),
        ("score", found.score, "", "Share of the whole; all galaxies considered sum to one", "%.6e"),
        ("position", found.position, "deg-2", "Probability per area at the galaxy", "%.6e"),
        ("distance_density", found.distance_density, "Mpc-3", "Probability per volume on that line of sight", "%.6e"),
        ("weight", found.weight, unit, f"{found.weight_kind or 'No'} weight", "%.6e"),
        ("detectability", found.detectability, "", "Share of the expected luminosities that can be seen", "%.4f"),
        ("level_2d", found.level_2d, "", "Credible level of the region that ends here", "%.4f"),
        ("level_3d", found.level_3d, "", "Credible level of the volume that ends here", "%.4f"),
    ]
    lines = ["# %ECSV 1.0", "# ---", "# datatype:"]
    lines.append("# - {name: rank, datatype: int64, description: Order of the score}")
    lines.append("# - {name: name, datatype: string, description: Name in the catalog}")
    for name, _, units, text, _ in columns:
        shown = f"unit: {units}, " if units else ""
        lines.append(f"# - {{name: {name}, {shown}datatype: float64, description: {json.dumps(text)}}}")
    lines.append(f"# meta: {json.dumps(dict(sorted(about.items())))}")
    lines.append("# schema: astropy-2.0")
    lines.append(" ".join(["rank", "name", *(c[0] for c in columns)]))
    texts = [[("nan" if math.isnan(v) else f % v) for v in values.tolist()] for _, values, _, _, f in columns]
    names = ['"' + name.strip().replace('"', "'") + '"' for name in found.name]
    rows = zip(found.rank.tolist(), names, *texts, strict=True)
    lines += [" ".join(map(str, row)) for row in rows]
    return ("\n".join(lines) + "\n").encode()


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
