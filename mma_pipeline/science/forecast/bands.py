"""Bands of the forecast: names, effective wavelengths and what Galactic dust takes in them."""

from __future__ import annotations

import numpy as np

from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.kilonova.bands import BANDS as GRIZ
from mma_pipeline.science.kilonova.bands import EXTINCTION as GRIZ_EXTINCTION
from mma_pipeline.science.kilonova.bands import WAVELENGTH_UM as GRIZ_UM

#: Bands in the order of every array axis called "band" in this package; all magnitudes are AB.
BANDS: tuple[str, ...] = ("u", *GRIZ, "y", "J", "H", "K")

#: Effective wavelengths in micrometres: u of SDSS (Fukugita et al. 1996, AJ 111 1748), grizy of Pan-STARRS1 (Tonry et al.
#: 2012, ApJ 750 99), JHKs of 2MASS (Cohen et al. 2003, AJ 126 1090). Each band is taken at this one wavelength.
WAVELENGTH_UM: FloatArray = np.array([0.3557, *GRIZ_UM, 0.9633, 1.235, 1.662, 2.159])

#: A_band / E(B-V) for R_V = 3.1 (Schlafly & Finkbeiner 2011, ApJ 737 103, table 6: SDSS u, Pan-STARRS1, 2MASS).
EXTINCTION: FloatArray = np.array([4.239, *GRIZ_EXTINCTION, 1.087, 0.723, 0.460, 0.310])

#: AB minus Vega magnitude of JHKs in 2MASS (Blanton & Roweis 2007, AJ 133 734), for those who observe in Vega magnitudes.
AB_MINUS_VEGA = {"J": 0.91, "H": 1.39, "K": 1.85}
