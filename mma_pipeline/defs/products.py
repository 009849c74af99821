"""The products of a version, in the order in which they are made."""

from __future__ import annotations

from mma_pipeline.adapters.archive import VersionRecord

from .assets.contours import contours
from .assets.coverage import coverage
from .assets.flat_skymap import flat_skymap
from .assets.galaxies import galaxies
from .assets.neutrinos import neutrino_coincidence, neutrino_notice
from .assets.raw_alert import raw_alert
from .assets.skymap import skymap
from .assets.skymap_plot import skymap_plot
from .assets.skymap_statistics import skymap_statistics
from .assets.version_difference import version_difference
from .assets.visibility import visibility
from .product import Product

PRODUCTS: tuple[Product, ...] = (
    raw_alert,
    skymap,
    flat_skymap,
    skymap_statistics,
    coverage,
    contours,
    skymap_plot,
    galaxies,
    visibility,
    neutrino_notice,
    neutrino_coincidence,
    version_difference,
)


def expected_files(record: VersionRecord) -> set[str]:
    """Names of the files that a version has once everything that applies to it is made."""
    return {
        spec.name
        for product in PRODUCTS
        if product.need.met(record) and product.unconfigured() is None
        for spec in product.files
        if not spec.optional
    }
