"""The products of a version, in the order in which they are made."""

from __future__ import annotations

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.defs.alerts.raw_alert import raw_alert
from mma_pipeline.defs.coincidences.assets import coincidences
from mma_pipeline.defs.neutrinos.assets import neutrino_coincidence, neutrino_notice
from mma_pipeline.defs.observing.coverage_ledger import coverage_ledger
from mma_pipeline.defs.observing.forecast import kilonova_forecast
from mma_pipeline.defs.observing.galaxies import galaxies
from mma_pipeline.defs.observing.observability import observability
from mma_pipeline.defs.observing.visibility import visibility
from mma_pipeline.defs.skymaps.contours import contours
from mma_pipeline.defs.skymaps.coverage import coverage
from mma_pipeline.defs.skymaps.flat_skymap import flat_skymap
from mma_pipeline.defs.skymaps.skymap import skymap
from mma_pipeline.defs.skymaps.skymap_plot import skymap_plot
from mma_pipeline.defs.skymaps.skymap_statistics import skymap_statistics
from mma_pipeline.defs.skymaps.version_difference import version_difference
from mma_pipeline.products.declaration import Product
from mma_pipeline.settings import Settings

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
    kilonova_forecast,
    observability,
    coverage_ledger,
    neutrino_notice,
    neutrino_coincidence,
    coincidences,
    version_difference,
)


def expected_files(record: VersionRecord, settings: Settings) -> set[str]:
    """Names of the files that a version has once all products are made that apply to it and are configured."""
    return {
        spec.name
        for product in PRODUCTS
        if product.need.met(record) and product.unconfigured(settings) is None
        for spec in product.files
        if not spec.optional
    }
