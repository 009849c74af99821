"""Settings of the old GWTM listener's galaxy list, read from the file that it used."""

from __future__ import annotations

from configparser import ConfigParser
from configparser import Error as IniError
from dataclasses import dataclass
from math import log10
from pathlib import Path

from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError

_NUMBERS = ("credzone", "ngalaxies", "sensitivity", "maxl", "minl", "mindistfactor")


@dataclass(frozen=True)
class GwtmGalaxySettings:
    """Values of the old listener's `gal_catalog_config.ini`, in this project's units; None for those it does not set."""

    catalog_path: str | None = None
    level: float | None = None
    """Credible level (CREDZONE), 0 to 1."""
    limit: int | None = None
    """Longest list (NGALAXIES)."""
    limiting_magnitude: float | None = None
    """mag (SENSITIVITY)."""
    brightest: float | None = None
    """Absolute magnitude of MAXL."""
    faintest: float | None = None
    """Absolute magnitude of MINL."""
    floor: float | None = None
    """MINDISTFACTOR, 0 to 1."""


def read_gwtm_settings(path: Path | str) -> GwtmGalaxySettings:
    """Read a `gal_catalog_config.ini`. Luminosities in erg/s become bolometric absolute magnitudes (IAU 2015 B2).

    COMPLETENESSP, NSIGMAS_IN_D, MINGALAXIES and the Schechter parameters are ignored: the credible volume replaces the first
    three, and the old listener itself did not use the others.

    Raises NotFoundError for a missing file, ConfigurationError for one that cannot be understood.
    """
    parser = ConfigParser(inline_comment_prefixes=(";", "#"))
    try:
        if not parser.read(path):
            raise NotFoundError(f"there is no galaxy catalog configuration {path}")
        section = parser["GALAXIES"]
        numbers = {key: float(section[key]) for key in _NUMBERS if key in section}
        brightest, faintest = _magnitude(numbers.get("maxl")), _magnitude(numbers.get("minl"))
    except (IniError, KeyError, ValueError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not a galaxy catalog configuration: {error}") from error
    limit = numbers.get("ngalaxies")
    return GwtmGalaxySettings(
        catalog_path=section.get("catalog_path"),
        level=numbers.get("credzone"),
        limit=int(limit) if limit is not None else None,
        limiting_magnitude=numbers.get("sensitivity"),
        brightest=brightest,
        faintest=faintest,
        floor=numbers.get("mindistfactor"),
    )


def _magnitude(luminosity: float | None) -> float | None:
    if luminosity is None:
        return None
    if not luminosity > 0:
        raise ValueError(f"a luminosity of {luminosity} erg/s")
    return 71.197425 - 2.5 * log10(luminosity * 1e-7)
