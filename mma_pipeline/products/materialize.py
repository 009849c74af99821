"""Makes a product of a version, or copies its files if the same content was made before, and records them in the archive.

The address of the content decides: product, code version and all inputs (docs/product-framework.md).
Not here: how a materialisation is described in the UI (`defs/metadata.py`).
"""

from __future__ import annotations

import hashlib
import importlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from typing import Any

from threadpoolctl import ThreadpoolController

from mma_pipeline.adapters.archive import ProductRecord
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.products.declaration import FileSpec, Product
from mma_pipeline.products.inputs import ProductInput


@dataclass(frozen=True, slots=True)
class MaterializedProduct:
    """A product that was made or copied."""

    records: tuple[ProductRecord, ...]
    statistics: Mapping[str, Any]
    reused: bool
    seconds: float


def materialize(product: Product, source: ProductInput) -> MaterializedProduct:
    """Make a product, or copy its files if the same content was made before, and record them in the archive."""
    started = time.perf_counter()
    identity = json.dumps([product.name, product.code_version, *product.inputs(source)])
    address = hashlib.sha256(identity.encode()).hexdigest()
    known = _known(product, source, address)
    statistics, records = known if known is not None else make(product, source, address)
    source.archive.record_products(records)
    return MaterializedProduct(tuple(records), statistics, known is not None, time.perf_counter() - started)


def _known(
    product: Product, source: ProductInput, address: str
) -> tuple[Mapping[str, Any], list[ProductRecord]] | None:
    """Copy files of the same content made before to this version's keys; None if there are none."""
    by_version: dict[str, dict[str, ProductRecord]] = {}
    for record in source.archive.products_at(address):
        by_version.setdefault(record.partition_key, {})[record.name] = record
    own = source.record.partition_key
    for key in sorted(by_version, key=lambda k: k != own):
        found = by_version[key]
        specs = product.all_files(source.settings)
        if any(spec.name not in found and not spec.optional for spec in specs):
            continue
        try:
            records = [_adopt(source, spec, found[spec.name]) for spec in specs if spec.name in found]
        except NotFoundError:
            # The file was removed from the store: make it again.
            continue
        return found[product.files[0].name].statistics, records
    return None


def _adopt(source: ProductInput, spec: FileSpec, known: ProductRecord) -> ProductRecord:
    key = spec.key(source.record)
    there = source.store.stat(key)
    if there is None or there.sha256 != known.sha256:
        there = source.store.copy(known.store_key, key)
        if there.sha256 != known.sha256:
            raise NotFoundError(f"{known.store_key} differs from what was written there")
    return _record(
        source, spec, known.asset, known.code_version, known.address, known.sha256, known.size, known.statistics
    )


def make(product: Product, source: ProductInput, address: str) -> tuple[Mapping[str, Any], list[ProductRecord]]:
    """Make a product and write its files; returns statistics and the records for the archive."""
    with _linear_algebra().limit(limits=1, user_api="blas"):
        made = product.make(source)
    records = []
    for spec in product.all_files(source.settings):
        if spec.optional and spec.name not in made.files:
            continue
        data = made.files[spec.name]
        stored = source.store.put(
            spec.key(source.record),
            data,
            content_type=spec.content_type,
            metadata={
                "version": source.record.partition_key,
                "message": source.origin.coordinates,
                "code": f"{product.name}-{product.code_version}",
            },
        )
        digest = stored.sha256 or hashlib.sha256(data).hexdigest()
        records.append(
            _record(source, spec, product.name, product.code_version, address, digest, len(data), made.statistics)
        )
    return made.statistics, records


@cache
def _linear_algebra() -> ThreadpoolController:
    """Threads of the linear algebra of numpy and scipy, each of which brings a library of its own.

    For the small matrices of a product a second thread waits more than it computes: an alert took 2.5 s with two threads, 2.1 s
    with one, and the runs beside it want the other core.
    """
    importlib.import_module("scipy.linalg")
    return ThreadpoolController()


def _record(
    source: ProductInput,
    spec: FileSpec,
    asset: str,
    code_version: str,
    address: str,
    sha256: str,
    size: int,
    statistics: Mapping[str, Any],
) -> ProductRecord:
    return ProductRecord(
        partition_key=source.record.partition_key,
        name=spec.name,
        asset=asset,
        store_key=spec.key(source.record),
        sha256=sha256,
        size=size,
        content_type=spec.content_type,
        code_version=code_version,
        address=address,
        statistics=dict(statistics),
        written=datetime.now(UTC),
    )
