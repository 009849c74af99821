"""The sky map at one resolution: a flat HEALPix file for programs that cannot read multi-order maps.

The file that the GWTM site reads as `{graceid}-{Type}{n}.fits.gz`, made from the alert's own map: never downloaded, so it
is always that of this version. The resolution follows the size of the region, within bounds.
"""

from __future__ import annotations

from mma_pipeline.defs.product import Made, Product, of_the_map, site_file
from mma_pipeline.defs.source import Source


def _make(source: Source) -> Made:
    from mma_pipeline.science.flat import flatten

    flat = flatten(source.skymap)
    return Made({"flat": flat.data}, {"nside": flat.nside})


flat_skymap = Product(
    name="flat_skymap",
    about=__doc__ or "",
    code_version="1",
    kinds=frozenset({"healpix", "fits"}),
    deps=("skymap",),
    files=(site_file("flat", ".fits.gz", "application/gzip"),),
    inputs=of_the_map,
    make=_make,
)
