"""Whether a version is ready for publication: whether its products exist or will be made, and whether a check blocks it.

Reads the archive and Dagster's runs; nothing here decides or sends anything.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord
from mma_pipeline.adapters.publishing.compose import COINCIDENCE, is_bare
from mma_pipeline.adapters.publishing.service import Publications, Readiness
from mma_pipeline.adapters.store import Store
from mma_pipeline.defs.alerts.unfinished import given_up
from mma_pipeline.defs.all_products import PRODUCTS, expected_files
from mma_pipeline.products.declaration import CheckSpec, Severity
from mma_pipeline.settings import Settings

#: How long a neutrino notice waits for a map of its event, from its first comparison without one.
MAP_WAIT = timedelta(minutes=10)
PASSED, FILES, THERE = "product_checks_passed", "files_are_in_the_store", "products_are_there"
#: Checks of `publishable`, with the name under which the UI shows what they found.
CHECKS = {PASSED: "failed", FILES: "missing", THERE: "lacking"}


@dataclass(frozen=True, slots=True)
class Finding:
    """A check that a version does not pass."""

    check: str
    """Product and check, `skymap.map_is_whole`."""
    about: str
    """What should hold."""
    values: Mapping[str, Any]
    """What was found, as JSON values."""
    blocks: bool = True
    """Whether the version is not published because of it."""

    def to_json(self) -> dict[str, Any]:
        """JSON values for the archive and for scripts."""
        return {"check": self.check, "about": self.about, "values": dict(self.values), "blocks": self.blocks}

    def __str__(self) -> str:
        return describe(self.to_json())


def describe(finding: Mapping[str, Any]) -> str:
    """A finding in words: the check, its values, and what should hold."""
    values = ", ".join(f"{name} {_value(value)}" for name, value in finding["values"].items())
    return f"{finding['check']} ({values or 'no values'}): {finding['about']}"


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def readiness(
    record: VersionRecord,
    products: Mapping[str, ProductRecord],
    instance: dg.DagsterInstance,
    now: datetime,
    settings: Settings,
    doubtful: Container[str] | None = None,
) -> Readiness:
    """Whether a version is ready, from its products by name; a neutrino notice also waits a while for its event's map.

    `doubtful`: partition keys with failed runs (`unfinished.failing`), for callers that ask about many versions.
    """
    key = record.partition_key
    if expected_files(record, settings) - products.keys():
        over = (doubtful is None or key in doubtful) and given_up(instance, key, now)
        return Readiness.GIVEN_UP if over else Readiness.WAITING
    return Readiness.WAITING if _awaits_a_map(products, now) else Readiness.READY


def _awaits_a_map(products: Mapping[str, ProductRecord], now: datetime) -> bool:
    compared = products.get(COINCIDENCE)
    return compared is not None and compared.statistics.get("map_version") is None and now - compared.written < MAP_WAIT


def failed_checks(written: Iterable[ProductRecord]) -> list[Finding]:
    """Checks that a version's archived statistics do not pass, including those that only warn."""
    written = list(written)
    failed = []
    for product in PRODUCTS:
        names = {spec.name for spec in product.files}
        statistics = next((p.statistics for p in written if p.name in names), None)
        if statistics is None:
            continue
        for check in product.checks:
            if _fails(check, statistics):
                values = {name: statistics[name] for name in check.shows if statistics.get(name) is not None}
                blocks = check.severity is Severity.ERROR
                failed.append(Finding(f"{product.name}.{check.name}", check.description, values, blocks))
    return failed


def _fails(check: CheckSpec, statistics: Mapping[str, Any]) -> bool:
    try:
        return check.test(statistics) is False
    except KeyError:  # made by code older than the check, without the statistic that the check uses
        return False


def missing_files(archive: Archive, store: Store, record: VersionRecord) -> list[str]:
    """Files recorded for a version that the store does not have with the recorded digest."""
    missing = []
    for product in archive.products(record.partition_key):
        found = store.stat(product.store_key)
        if found is None or found.size != product.size or found.sha256 not in {None, product.sha256}:
            missing.append(product.store_key)
    return missing


def may_be_published(
    published: Publications, instance: dg.DagsterInstance, now: datetime, settings: Settings
) -> Callable[[VersionRecord], bool]:
    """Whether a version may be published in its present state, for versions that must precede another one."""

    def fit(record: VersionRecord) -> bool:
        block = published.block(record.partition_key)
        if block is not None and block.released is None:
            return False
        products = {product.name: product for product in published.archive.products(record.partition_key)}
        if block is None and any(finding.blocks for finding in failed_checks(products.values())):
            return False
        state = readiness(record, products, instance, now, settings)
        return state is not Readiness.WAITING and not is_bare(record, products)

    return fit
