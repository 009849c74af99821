"""A forecast as a document, as tables (ECSV, VOTable), and as the summary for lists and messages."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.forecast.bands import AB_MINUS_VEGA, BANDS, EXTINCTION, WAVELENGTH_UM
from mma_pipeline.science.forecast.ejecta import LEAST_MASS
from mma_pipeline.science.forecast.forecast import DEPTH_HOURS, HOURS, LEVELS, Forecast, LightCurves
from mma_pipeline.science.forecast.outlook import Outlook

if TYPE_CHECKING:
    from astropy.table import Table

#: What the numbers come from.
SOURCES = (
    "Half of the kilonovae have three grey components (Villar et al. 2017, ApJL 851 L21), half are homologous shells, some "
    "with a cooling cocoon (Metzger 2019, LRR 23 1; Piro & Kollmeier 2018, ApJ 855 103). Heating: Korobkin et al. 2012, "
    "MNRAS 426 1940; thermalisation: Barnes et al. 2016, ApJ 829 110.",
    "Distance: all rows of the sky map together (Singer et al. 2016, ApJL 829 L15). Redshift: H0 = 70 km/s/Mpc, Om = 0.3.",
)
MASSES_SOURCE = (
    "Masses: the notice's chirp mass and classes; fits of Krüger & Foucart 2020, PRD 101 103002, and Foucart et al. 2018, "
    "PRD 98 081501; radius of neutron stars 11.75 ± 0.51 km (Dietrich et al. 2020, Science 370 1450); 0.1 to 0.5 of a disc "
    "leaves as wind."
)
AFTERGLOW_SOURCE = (
    "Afterglow: a jet seen on axis (Granot & Sari 2002, ApJ 568 820) with the energies and densities of short bursts (Fong et "
    "al. 2015, ApJ 815 102)."
)
LIMITS = (
    "Without Galactic dust: add A = coefficient × E(B-V).",
    "Black bodies at one wavelength for a band: u and g are too bright where lines absorb, and nobody has seen the first ten hours.",
    "No viewing angle. AB magnitudes.",
)
#: Hours of the short table of medians.
SHORT_HOURS = (1, 6, 12, 24, 48, 96, 168)
_COLUMNS = tuple(f"mag_{round(100 * level):02d}" for level in LEVELS)


def document(found: Forecast, expected: Outlook) -> dict[str, Any]:
    """Everything as JSON values: hours, wavelengths (um), quantiles of the magnitude by band, depths, masses, sources."""
    body: dict[str, Any] = {
        "applies": True,
        "words": expected.words,
        "has_remnant": expected.has_remnant,
        "p_kilonova": expected.p_kilonova,
        "hours": HOURS.tolist(),
        "bands": {
            band: {
                "wavelength_um": round(float(um), 4),
                "extinction_per_ebv": float(dust),
                **({"ab_minus_vega": AB_MINUS_VEGA[band]} if band in AB_MINUS_VEGA else {}),
            }
            for band, um, dust in zip(BANDS, WAVELENGTH_UM, EXTINCTION, strict=True)
        },
        "kilonova": _by_band(found.kilonova),
        "depths": depths(found.kilonova),
        "distance_mpc": _named(found.distance_mpc),
        "models": found.models,
        "masses": masses(found),
        "sources": list(sources(found)),
        "limits": list(LIMITS),
    }
    if found.afterglow is not None:
        body |= {"afterglow": _by_band(found.afterglow), "afterglow_depths": depths(found.afterglow)}
    return body


def depths(curves: LightCurves) -> list[dict[str, float]]:
    """Depth (mag) at which 50 and 90 % of the sources are seen, one entry for each hour and share."""
    return [
        {"hours": hours, "seen": seen, **{band: round(depth, 2) for band, depth in curves.depth(seen, hours).items()}}
        for hours in DEPTH_HOURS
        for seen in (0.5, 0.9)
    ]


def medians(curves: LightCurves) -> list[dict[str, float]]:
    """Median magnitude at SHORT_HOURS, one entry for each."""
    return [
        {"hours": hours, **{band: round(mag, 2) for band, mag in curves.depth(0.5, hours).items()}}
        for hours in SHORT_HOURS
    ]


def sources(found: Forecast) -> tuple[str, ...]:
    """Where the numbers of this forecast come from."""
    more = (MASSES_SOURCE,) if found.masses is not None else ()
    return SOURCES + more + ((AFTERGLOW_SOURCE,) if found.afterglow is not None else ())


def masses(found: Forecast) -> dict[str, Any]:
    """Which masses of ejecta (solar masses) the models have, and where they come from."""
    if found.masses is None:
        return {"from": "families"}
    drawn = found.masses
    return {
        "from": "notice",
        "dynamical_msun": _named(np.quantile(drawn.dynamical, [0.05, 0.5, 0.95]), 5),
        "wind_msun": _named(np.quantile(drawn.wind, [0.05, 0.5, 0.95]), 5),
        "share_with_ejecta": round(drawn.share, 4),
        "least_msun": LEAST_MASS,
    }


def table(found: Forecast, **about: object) -> Table:
    """One row for each kind of source, band and hour, with units and descriptions; `about` is the table's meta."""
    from astropy.table import Column, Table

    curves = {"kilonova": found.kilonova} | ({} if found.afterglow is None else {"afterglow": found.afterglow})
    bands, times = len(BANDS), len(HOURS)
    made = Table(meta=dict(sorted(about.items())))
    made["source"] = Column(np.repeat(list(curves), bands * times), description="Kind of source")
    made["band"] = Column(np.tile(np.repeat(BANDS, times), len(curves)), description="Band")
    made["wavelength"] = Column(
        np.tile(np.repeat(WAVELENGTH_UM, times), len(curves)), unit="um", description="Wavelength", format=".4f"
    )
    made["hours"] = Column(
        np.tile(HOURS, bands * len(curves)), unit="h", description="Time after the merger", format=".1f"
    )
    for k, (name, level) in enumerate(zip(_COLUMNS, LEVELS, strict=True)):
        values = np.concatenate([c.quantiles[k].ravel() for c in curves.values()])
        text = f"AB magnitude than which {level:.0%} of the models are brighter"
        made[name] = Column(np.round(values, 3), unit="mag", description=text, format=".3f")
    return made


def _by_band(curves: LightCurves) -> dict[str, dict[str, list[float]]]:
    return {
        band: {name: np.round(curves.quantiles[k, b], 2).tolist() for k, name in enumerate(_COLUMNS)}
        for b, band in enumerate(BANDS)
    }


def _named(values: FloatArray, digits: int = 2) -> dict[str, float]:
    low, median, high = (round(float(value), digits) for value in values)
    return {"05": low, "50": median, "95": high}
