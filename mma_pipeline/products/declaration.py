"""Declaration of a product of a version: its files, its checks, and the function that makes it from a `ProductInput`.

Not here: making it once (`materialize`), and the Dagster asset (`defs.product_asset`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.store.paths import treasure_map_key, version_key
from mma_pipeline.notices.key import ICECUBE_LABEL
from mma_pipeline.products.inputs import ProductInput

if TYPE_CHECKING:
    from mma_pipeline.settings import Settings


class Severity(StrEnum):
    """Severity of a failed check, with Dagster's values."""

    WARN = "WARN"
    ERROR = "ERROR"


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file of a product."""

    name: str
    """Unique among all products of a version."""
    key: Callable[[VersionRecord], str]
    """Its key in the store."""
    content_type: str
    plot: bool = False
    """Whether the UI shows it as a plot."""
    optional: bool = False
    """Whether a product may omit it, such as an unknown region; never the product's first file."""


#: Rounding error of sums of a few hundred thousand numbers: a stricter check would report rounding, not faults.
ROUNDING = 1e-9


def is_share(value: float | None) -> bool:
    """Whether a statistic lies between 0 and 1 within rounding; True if it is absent."""
    return value is None or -ROUNDING <= value <= 1 + ROUNDING


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """An inline asset check on the statistics of a product.

    Severity WARN, the default, shows that something is odd. ERROR keeps the version from being published until a person
    releases it, and is for values that would mislead observers: docs/publication.md says which and why.
    """

    name: str
    description: str
    test: Callable[[Mapping[str, Any]], bool | None]
    """True passed, False failed, None not applicable (passes)."""
    shows: tuple[str, ...] = ()
    """Names of statistics to show with the result."""
    severity: Severity = Severity.WARN
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class ProductFiles:
    """Result of a product's function."""

    files: Mapping[str, bytes]
    """Content by file name: the declared files; optional ones may be missing."""
    statistics: Mapping[str, Any] = field(default_factory=dict)
    """Values for people and for later products: JSON types, units in the names (`area_90_deg2`)."""


@dataclass(frozen=True, slots=True)
class Need:
    """Condition for a product to apply to a version; decided from the archive, without reading files."""

    label: str
    met: Callable[[VersionRecord], bool]


NEEDS_NOTHING = Need("a message", lambda _: True)
NEEDS_ALERT = Need(
    "an alert, and not a search for neutrinos from one", lambda record: record.version.label != ICECUBE_LABEL
)
NEEDS_NEUTRINO_NOTICE = Need("a neutrino notice", lambda record: record.version.label == ICECUBE_LABEL)
NEEDS_MAP = Need("a sky map that can be used", lambda record: record.has_map)


def needs_map_for(product: str) -> Need:
    """A usable sky map of a source of which the product makes sense: `left_out` of its notice says where it does not."""
    return Need(
        "a sky map of a source for which it makes sense",
        lambda record: record.has_map and product not in (record.facts.get("left_out") or {}),
    )


@dataclass(frozen=True, slots=True)
class Product:
    """A product as declared by its module."""

    name: str
    about: str
    code_version: str
    files: tuple[FileSpec, ...]
    inputs: Callable[[ProductInput], Sequence[str]]
    """Everything besides the code that the files depend on, as text."""
    make: Callable[[ProductInput], ProductFiles]
    deps: tuple[str, ...] = ()
    group: str = "skymap"
    kinds: frozenset[str] = frozenset({"python"})
    checks: tuple[CheckSpec, ...] = ()
    need: Need = NEEDS_MAP
    priority: int = 0
    """Of the products of a version that can be made next, that of the highest priority is."""
    unconfigured: Callable[[Settings], str | None] = lambda _: None
    """Why the product cannot be made, such as a missing catalog, and what to do; shown by a materialisation without files."""
    configured_files: Callable[[Settings], tuple[FileSpec, ...]] = lambda _: ()
    """Further optional files, which depend on the settings, such as one for each configured instrument."""

    def all_files(self, settings: Settings) -> tuple[FileSpec, ...]:
        """The files of a product that is made by these settings."""
        return (*self.files, *self.configured_files(settings))


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
