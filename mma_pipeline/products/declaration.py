"""Declaration of a product of a version: its files, its checks, and the function that makes it from a `ProductInput`.

Not here: making it once (`materialize`), and the Dagster asset (`defs.product_asset`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.store.paths import treasure_map_key, version_key
from mma_pipeline.notices.key import ICECUBE_LABEL
from mma_pipeline.products.inputs import ProductInput


class Severity(StrEnum):
    """What a failed check means; spelled as Dagster spells it."""

    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file of a product."""

    name: str
    """Unique among all products of a version."""
    key: Callable[[VersionRecord], str]
    """Where it lies in the store."""
    content_type: str
    plot: bool = False
    """Whether the UI shows it as a picture."""
    optional: bool = False
    """Whether a product may leave it out, as a region that is unknown; never the product's first file."""


#: What sums of a few hundred thousand numbers may be off by: a check that is stricter finds rounding, not faults.
ROUNDING = 1e-9


def is_share(value: float | None) -> bool:
    """Whether a figure is a probability or a share, 0 to 1 within rounding; True if it is absent."""
    return value is None or -ROUNDING <= value <= 1 + ROUNDING


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """An inline asset check on the figures of a product.

    Severity WARN, the default, shows that something is odd. ERROR keeps the version from being published until a
    person lets it pass, and is for figures that would mislead observers: docs/publication.md says which and why.
    """

    name: str
    description: str
    test: Callable[[Mapping[str, Any]], bool | None]
    """True passed, False failed, None not applicable (passes)."""
    shows: tuple[str, ...] = ()
    """Figures to show with the result."""
    severity: Severity = Severity.WARN
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class ProductFiles:
    """What a product's function returns."""

    files: Mapping[str, bytes]
    """File name to content: the files declared, without optional ones that there is nothing to say in."""
    statistics: Mapping[str, Any] = field(default_factory=dict)
    """Figures for people and for later products: JSON values, units in the names (`area_90_deg2`)."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a version must bring for a product to apply; judged by what is archived, without reading files."""

    label: str
    met: Callable[[VersionRecord], bool]


NEEDS_NOTHING = Need("a message", lambda _: True)
NEEDS_ALERT = Need("a gravitational-wave alert", lambda record: record.version.label != ICECUBE_LABEL)
NEEDS_NEUTRINO_NOTICE = Need("a neutrino notice", lambda record: record.version.label == ICECUBE_LABEL)
NEEDS_MAP = Need("a sky map that can be used", lambda record: record.has_map)


@dataclass(frozen=True, slots=True)
class Product:
    """A product as declared by its module."""

    name: str
    about: str
    code_version: str
    files: tuple[FileSpec, ...]
    inputs: Callable[[ProductInput], Sequence[str]]
    """Everything the files depend on beside the code, as text."""
    make: Callable[[ProductInput], ProductFiles]
    deps: tuple[str, ...] = ()
    group: str = "skymap"
    kinds: frozenset[str] = frozenset({"python"})
    checks: tuple[CheckSpec, ...] = ()
    need: Need = NEEDS_MAP
    unconfigured: Callable[[], str | None] = lambda: None
    """Why nothing can be made here, as without a catalog, and what to do; said by a materialisation without files."""


def treasure_map_file(name: str, suffix: str, content_type: str, *, plot: bool = False) -> FileSpec:
    """A file that the Treasure Map (GWTM) reads: `{graceid}-{Type}{n}` and a suffix."""
    return FileSpec(name, lambda record: treasure_map_key(record.stem, suffix), content_type, plot)


def own_file(name: str, filename: str, content_type: str, *, plot: bool = False) -> FileSpec:
    """Another file of a version."""
    return FileSpec(name, lambda record: version_key(record.version, filename), content_type, plot)


def schema_check(name: str, description: str) -> CheckSpec:
    """A check of `schema_drift`: changes of the sender's schema, which only warn."""
    return CheckSpec(
        name,
        f"{description}; drift is shown here and blocks nothing.",
        lambda statistics: not statistics["schema_drift"],
        shows=("schema_drift",),
    )


def degraded_check(name: str) -> CheckSpec:
    """A check of `degraded`: parts of the notice that are absent because they are wrong, which only warn."""
    return CheckSpec(
        name,
        "Every part of the notice could be used; those that could not are named here and block nothing.",
        lambda statistics: not statistics.get("degraded"),
        shows=("degraded",),
        severity=Severity.WARN,
    )


def of_the_map(source: ProductInput) -> Sequence[str]:
    """Inputs of a product that depends on the sky map alone."""
    return [str(source.skymap_sha256)]
