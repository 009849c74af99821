"""Plot of a candidate's light curve with the range of magnitudes expected of kilonovae at the event's distance."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.bands import BANDS, EXTINCTION, WAVELENGTH_UM, band_index
from mma_pipeline.science.kilonova.lightcurve import Event, LightCurve, weak_as_limits
from mma_pipeline.science.kilonova.simulation import villar
from mma_pipeline.science.kilonova.simulation.radiation import lnu_to_absolute, modulus

_COLOURS = {"g": "#2b8a3e", "r": "#c92a2a", "i": "#862e9c", "z": "#343a40"}
_MODELS = 300
_SEED = 17


def expectation(t_day: FloatArray, distance_mpc: float, *, ebv: float = 0.0) -> FloatArray:
    """Apparent AB magnitudes of simulated kilonovae: 5, 50 and 95 % quantiles, shape (3, 4 bands, T).

    Family 1 (Villar et al. 2017), at t_day days after the merger, shape (T,), dimmed by Galactic E(B-V) in mag.
    """
    models = villar.draw(np.random.default_rng(_SEED), _MODELS)
    times = np.tile(t_day, (_MODELS, 1))
    shift = modulus(np.array(distance_mpc))
    bands = []
    for um, dust in zip(WAVELENGTH_UM, EXTINCTION, strict=True):
        mags = lnu_to_absolute(villar.lnu(models, times, np.full(times.shape, um))) + shift + dust * ebv
        bands.append(np.percentile(mags, [5, 50, 95], axis=0))
    return np.stack(bands, axis=1)


def light_curve_png(
    curve: LightCurve, event: Event, history: list[Mapping[str, Any]], *, title: str, simulated: bool = False
) -> bytes:
    """A PNG: magnitudes and limits by band over days since the merger, the expected range, and P(kilonova) below.

    `history` are entries of `nightly_scores`. The same input gives the same bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    t = curve.mjd - event.merger_mjd
    index = np.array([band_index(b) for b in curve.band], dtype=int)
    magnitude, limit = weak_as_limits(curve.magnitude, curve.error, curve.upper_limit)
    shown = (index >= 0) & (t >= 0) & np.isfinite(magnitude)
    end = float(np.clip(t[shown].max() * 1.15 if shown.any() else 10.0, 4.0, 30.0))
    figure = Figure(figsize=(8, 7), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    grid = np.linspace(0.1, end, 80)
    if event.distance_mpc is not None:
        bands = expectation(grid, event.distance_mpc, ebv=event.ebv or 0.0)
        for k, name in enumerate(BANDS):
            if (index[shown] == k).any():
                axes.fill_between(grid, bands[0, k], bands[2, k], color=_COLOURS[name], alpha=0.10, lw=0)
                axes.plot(grid, bands[1, k], color=_COLOURS[name], lw=0.8, ls=":")
    for k, name in enumerate(BANDS):
        rows = shown & (index == k) & ~limit
        error = np.where(np.isfinite(curve.error[rows]) & (curve.error[rows] > 0), curve.error[rows], 0.0)
        if rows.any():
            axes.errorbar(t[rows], magnitude[rows], error, fmt="o", ms=4, color=_COLOURS[name], label=name)
        limits = shown & (index == k) & limit
        axes.plot(t[limits], magnitude[limits], "v", ms=5, mfc="none", color=_COLOURS[name], alpha=0.6)
    if shown.any():
        axes.set_ylim(magnitude[shown].max() + 1.0, magnitude[shown].min() - 1.0)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(title="shaded: 90 % of models", ncols=4, fontsize=9)
    axes.set_ylabel("AB magnitude")
    axes.set_title(f"{title} (simulated)" if simulated else title)
    days = [h["days"] for h in history]
    below.plot(days, [h["p_phot"] for h in history], "-", color="#1864ab", lw=1)
    for entry in history:
        below.plot(
            entry["days"], entry["p_phot"], "o", color="#1864ab", mfc="#1864ab" if entry["sufficient"] else "white"
        )
    below.set_ylim(-0.03, 1.03)
    below.set_xlim(0, end)
    below.set_ylabel("P(kilonova)")
    below.set_xlabel("days since the merger (open: insufficient data)")
    out = io.BytesIO()
    # The library's version in the file would change the bytes with every update.
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()
