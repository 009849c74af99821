"""How every product of a version becomes a Dagster asset: addressed by content, written once, described alike.

A product declares its files and a function from `Source` to bytes and figures; this module does the rest. Where the
same content was made before by the same code, for whatever version, its files are copied instead of made.
"""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import ProductRecord, VersionRecord
from mma_pipeline.adapters.errors import NotFoundError, TransientError
from mma_pipeline.adapters.paths import site_key, version_key
from mma_pipeline.notices.key import ICECUBE_LABEL

from .ingest import MAX_REASON
from .order import withdrawn_by
from .partitions import alert_versions
from .resources import ArchiveResource, StoreResource
from .shown import picture as picture
from .shown import shown_value
from .source import Source

OWNERS = ["team:multi-messenger"]
#: Partitions that one run of a backfill takes: a process per alert would spend its time starting.
BATCH = 50
#: A store or database that is away for a moment is tried again within the run; the run itself is retried later.
RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

#: Tag of a run whose step failed for good: Dagster then leaves out the retries that a crash or an outage gets.
PERMANENT = {"dagster/retry_on_asset_or_op_failure": "false"}


@dataclass(frozen=True, slots=True)
class FileSpec:
    """One file of a product."""

    name: str
    """Unique among all products of a version."""
    key: Callable[[VersionRecord], str]
    """Where it lies in the store."""
    content_type: str
    picture: bool = False
    """Whether the UI shows it as a picture."""
    optional: bool = False
    """Whether a product may leave it out, as a region that is unknown; never the product's first file."""


@dataclass(frozen=True, slots=True)
class CheckSpec:
    """An inline asset check on the figures of a product."""

    name: str
    description: str
    test: Callable[[Mapping[str, Any]], bool | None]
    """True passed, False failed, None not applicable (passes)."""
    shows: tuple[str, ...] = ()
    """Figures to show with the result."""
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR
    blocking: bool = False


@dataclass(frozen=True, slots=True)
class Made:
    """What a product's function returns."""

    files: Mapping[str, bytes]
    """File name to content: the files declared, without optional ones that there is nothing to say in."""
    figures: Mapping[str, Any] = field(default_factory=dict)
    """Figures for people and for later products: JSON values, units in the names (`area_90_deg2`)."""


@dataclass(frozen=True, slots=True)
class Need:
    """What a version must bring for a product to apply; judged by what is archived, without reading files."""

    label: str
    met: Callable[[VersionRecord], bool]


NEEDS_NOTHING = Need("a message", lambda _: True)
NEEDS_ALERT = Need("a gravitational-wave alert", lambda record: record.version.label != ICECUBE_LABEL)
NEEDS_NEUTRINO_NOTICE = Need("a neutrino notice", lambda record: record.version.label == ICECUBE_LABEL)
NEEDS_MAP = Need("a sky map", lambda record: record.facts.get("skymap_sha256") is not None)


@dataclass(frozen=True, slots=True)
class Product:
    """A product as declared by its module."""

    name: str
    about: str
    code_version: str
    files: tuple[FileSpec, ...]
    inputs: Callable[[Source], Sequence[str]]
    """Everything the files depend on beside the code, as text."""
    make: Callable[[Source], Made]
    deps: tuple[str, ...] = ()
    group: str = "skymap"
    kinds: frozenset[str] = frozenset({"python"})
    checks: tuple[CheckSpec, ...] = ()
    need: Need = NEEDS_MAP
    unconfigured: Callable[[], str | None] = lambda: None
    """Why nothing can be made here, as without a catalog, and what to do; said by a materialisation without files."""

    def asset(self) -> dg.AssetsDefinition:
        """The Dagster asset."""
        product = self

        # A multi-asset of one: only there may an asset with checks yield nothing, as it must for a retraction.
        @dg.multi_asset(
            name=self.name,
            specs=[
                dg.AssetSpec(
                    self.name,
                    description=self.about,
                    deps=list(self.deps),
                    group_name=self.group,
                    kinds=set(self.kinds),
                    owners=OWNERS,
                    code_version=self.code_version,
                    skippable=True,
                )
            ],
            can_subset=True,
            partitions_def=alert_versions,
            retry_policy=RETRY,
            backfill_policy=dg.BackfillPolicy.multi_run(BATCH),
            check_specs=[
                dg.AssetCheckSpec(c.name, asset=self.name, description=c.description, blocking=c.blocking)
                for c in self.checks
            ],
        )
        def _asset(
            context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource
        ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
            yield from _materialise(product, context, archive, store)

        return _asset


def site_file(name: str, suffix: str, content_type: str, *, picture: bool = False) -> FileSpec:
    """A file that the GWTM site reads: `{graceid}-{Type}{n}` and a suffix."""
    return FileSpec(name, lambda record: site_key(record.stem, suffix), content_type, picture)


def own_file(name: str, filename: str, content_type: str, *, picture: bool = False) -> FileSpec:
    """A further file of a version."""
    return FileSpec(name, lambda record: version_key(record.version, filename), content_type, picture)


def of_the_map(source: Source) -> Sequence[str]:
    """Inputs of a product that depends on the sky map alone."""
    return [str(source.skymap_sha256)]


def made_again(product: Product, source: Source) -> dict[str, Any]:
    """Make a product of a version outside its own asset's run; returns the metadata of its materialisation."""
    return _metadata(product, source, _produce(product, source))


@dataclass(frozen=True, slots=True)
class _Produced:
    records: tuple[ProductRecord, ...]
    figures: Mapping[str, Any]
    reused: bool
    seconds: float


def _materialise(
    product: Product, context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    opened, target = archive.open(), store.open()
    done: list[_Produced] = []
    lacking = product.unconfigured()
    told = False
    failed: dict[str, Exception] = {}
    keys = context.partition_keys
    for key in keys:
        source = Source(opened, target, key)
        if not product.need.met(source.record):
            context.log.info(f"{key} has no {product.name}: that needs {product.need.label}")
            if len(keys) > 1:
                # A batch is materialised as a whole, so the partition must say that there is nothing in it.
                missing = {"applies": False, "reason": f"needs {product.need.label}"}
                context.add_asset_metadata(missing, partition_key=key)
            continue
        if lacking is not None:
            context.log.info(f"{key} has no {product.name}: {lacking}")
            context.add_asset_metadata({"applies": False, "reason": lacking}, partition_key=key)
            told = True
            continue
        try:
            produced = _produce(product, source)
        except TransientError:
            raise
        except Exception as error:
            context.log.exception(f"{key}: {product.name} could not be made")
            failed[key] = error
            continue
        done.append(produced)
        context.add_asset_metadata(_metadata(product, source, produced), partition_key=key)
    if failed:
        # Trying the same again cannot help. The other versions of a batch have their files; the step says which has not.
        context.instance.add_run_tags(context.run_id, PERMANENT)
        reasons = "; ".join(f"{key}: {error}" for key, error in failed.items())
        raise dg.Failure(f"{product.name} could not be made for {reasons}"[:MAX_REASON], allow_retries=False) from (
            next(iter(failed.values()))
        )
    if done or told:
        digests = hashlib.sha256("".join(r.sha256 for p in done for r in p.records).encode()).hexdigest()
        yield dg.MaterializeResult(
            asset_key=product.name,
            data_version=dg.DataVersion(digests[:16]),
            check_results=[_check(product, check, done) for check in product.checks],
        )


def _produce(product: Product, source: Source) -> _Produced:
    started = time.perf_counter()
    identity = json.dumps([product.name, product.code_version, *product.inputs(source)])
    address = hashlib.sha256(identity.encode()).hexdigest()
    known = _known(product, source, address)
    figures, records = known if known is not None else _make(product, source, address)
    for record in records:
        source.archive.record_product(record)
    return _Produced(tuple(records), figures, known is not None, time.perf_counter() - started)


def _known(product: Product, source: Source, address: str) -> tuple[Mapping[str, Any], list[ProductRecord]] | None:
    """Files of the same content made before, put where this version's files belong; None where there are none."""
    by_version: dict[str, dict[str, ProductRecord]] = {}
    for record in source.archive.products_at(address):
        by_version.setdefault(record.partition_key, {})[record.name] = record
    own = source.record.partition_key
    for key in sorted(by_version, key=lambda k: k != own):
        found = by_version[key]
        if any(spec.name not in found and not spec.optional for spec in product.files):
            continue
        try:
            records = [_adopt(source, spec, found[spec.name]) for spec in product.files if spec.name in found]
        except NotFoundError:
            # Somebody removed the file from the store: it is made again.
            continue
        return found[product.files[0].name].figures, records
    return None


def _adopt(source: Source, spec: FileSpec, known: ProductRecord) -> ProductRecord:
    key = spec.key(source.record)
    there = source.store.stat(key)
    if there is None or there.sha256 != known.sha256:
        there = source.store.copy(known.store_key, key)
        if there.sha256 != known.sha256:
            raise NotFoundError(f"{known.store_key} is not what was written there")
    return _record(
        source, spec, known.asset, known.code_version, known.address, known.sha256, known.size, known.figures
    )


def _make(product: Product, source: Source, address: str) -> tuple[Mapping[str, Any], list[ProductRecord]]:
    made = product.make(source)
    records = []
    for spec in product.files:
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
            _record(source, spec, product.name, product.code_version, address, digest, len(data), made.figures)
        )
    return made.figures, records


def _record(
    source: Source,
    spec: FileSpec,
    asset: str,
    code_version: str,
    address: str,
    sha256: str,
    size: int,
    figures: Mapping[str, Any],
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
        figures=dict(figures),
        written=datetime.now(UTC),
    )


def _metadata(product: Product, source: Source, produced: _Produced) -> dict[str, Any]:
    """What a materialisation says about itself."""
    origin = source.origin
    pictures = {
        record.name: picture(source.store, record.store_key)
        for record in produced.records
        if any(spec.picture and spec.name == record.name for spec in product.files)
    }
    links = "\n".join(
        f"- [{record.store_key}]({source.store.url(record.store_key)}) ({record.size} bytes)"
        for record in produced.records
    )
    return {
        **pictures,
        **_withdrawal(source),
        **{name: shown_value(value) for name, value in produced.figures.items() if value is not None},
        "files": dg.MetadataValue.md(links),
        "stream": origin.stream,
        "topic": origin.topic,
        "partition": origin.partition,
        "offset": origin.offset,
        "created": source.record.version.created.isoformat(),
        "received": origin.received.isoformat(timespec="milliseconds"),
        "message sha256": origin.sha256,
        "content sha256": ", ".join(record.sha256 for record in produced.records),
        "code version": product.code_version,
        "made before, copied": produced.reused,
        "seconds": round(produced.seconds, 4),
    }


def _withdrawal(source: Source) -> dict[str, Any]:
    """What a materialisation says of an event that was retracted before it was made."""
    retraction = withdrawn_by(source.archive, source.record)
    if retraction is None or retraction.version.alert_type is source.record.version.alert_type:
        return {}
    return {"retracted": True, "retracted by": retraction.partition_key}


def _check(product: Product, check: CheckSpec, done: Sequence[_Produced]) -> dg.AssetCheckResult:
    results = [check.test(produced.figures) for produced in done]
    last = done[-1].figures if done else {}
    shown = {name: last[name] for name in check.shows if last.get(name) is not None}
    return dg.AssetCheckResult(
        passed=all(result is not False for result in results),
        check_name=check.name,
        asset_key=product.name,
        severity=check.severity,
        metadata={name: shown_value(value) for name, value in shown.items()}
        | ({} if any(r is not None for r in results) else {"applies": False}),
    )
