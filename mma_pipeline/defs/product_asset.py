"""Makes a Dagster asset with its checks from each product of a version."""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import hashlib
import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.store import Store
from mma_pipeline.defs.jobs import REPORTED, keys_of, tag_event
from mma_pipeline.defs.metadata import materialization_metadata, metadata_value
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource, StoreResource
from mma_pipeline.products.declaration import NEEDS_NEUTRINO_NOTICE, CheckSpec, Product
from mma_pipeline.products.ingest import MAX_REASON
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import MaterializedProduct, materialize
from mma_pipeline.settings import Settings

OWNERS = ["team:multi-messenger"]
#: Number of partitions in one run of a backfill: a process per alert would spend most of its time starting.
BATCH = 50
#: After a short outage of store or database the step is retried within the run; the run itself is retried later.
RETRY = dg.RetryPolicy(max_retries=3, delay=2, backoff=dg.Backoff.EXPONENTIAL, jitter=dg.Jitter.PLUS_MINUS)

#: Metadata of a failed step: the partitions whose product could not be made.
FAILED_PARTITIONS = "failed_partitions"
#: Tag of a run whose step failed for good: Dagster then skips the retries that follow a crash or an outage.
PERMANENT = {"dagster/retry_on_asset_or_op_failure": "false"}


def product_asset(product: Product) -> dg.AssetsDefinition:
    """The Dagster asset of a product."""

    # A multi-asset of one, because only there an asset with checks may yield nothing, as it must where a product makes no sense.
    @dg.multi_asset(
        name=product.name,
        specs=[
            dg.AssetSpec(
                product.name,
                description=product.about,
                deps=list(product.deps),
                group_name=product.group,
                kinds=set(product.kinds),
                owners=OWNERS,
                code_version=product.code_version,
                metadata=_code_reference(product),
                skippable=True,
            )
        ],
        can_subset=True,
        partitions_def=alert_versions,
        op_tags={"dagster/priority": str(product.priority)},
        retry_policy=RETRY,
        backfill_policy=dg.BackfillPolicy.multi_run(BATCH),
        check_specs=[
            dg.AssetCheckSpec(c.name, asset=product.name, description=c.description, blocking=c.blocking)
            for c in product.checks
        ],
    )
    def _asset(
        context: dg.AssetExecutionContext, archive: ArchiveResource, store: StoreResource, settings: SettingsResource
    ) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
        yield from _materialise(product, context, archive.open(), store.open(), settings.get())

    return _asset


def _code_reference(product: Product) -> dict[str, Any]:
    """Where the product is made, for the UI: its own function, not the factory that all products share."""
    code = inspect.unwrap(product.make).__code__
    reference = dg.LocalFileCodeReference(file_path=code.co_filename, line_number=code.co_firstlineno)
    return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[reference])}


def _materialise(
    product: Product, context: dg.AssetExecutionContext, archive: Archive, store: Store, settings: Settings
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetCheckResult]:
    done: list[MaterializedProduct] = []
    lacking = product.unconfigured(settings)
    told = False
    failed: dict[str, Exception] = {}
    keys = keys_of(context)
    tag_event(context)
    for key in keys:
        source = ProductInput(archive, store, key, settings)
        if not product.need.met(source.record):
            context.log.info(f"{key} has no {product.name}, which needs {product.need.label}")
            withdrawn = source.record.version.is_retraction and product.need is not NEEDS_NEUTRINO_NOTICE
            if len(keys) > 1 or withdrawn:
                # A batch is materialised as a whole, so the metadata must say that this partition has no product. For a
                # retraction alone the same is said, or the UI shows the products that it cannot have as missing.
                missing = {"applies": False, "reason": f"needs {product.need.label}"}
                _add_metadata(context, missing, key, keys)
                told = told or withdrawn
            continue
        if lacking is not None:
            context.log.info(f"{key} has no {product.name}: {lacking}")
            _add_metadata(context, {"applies": False, "reason": lacking}, key, keys)
            told = True
            continue
        try:
            produced = materialize(product, source)
        except TransientError:
            raise
        except Exception as error:
            context.log.exception(f"{key}: {product.name} could not be made")
            failed[key] = error
            continue
        done.append(produced)
        _add_metadata(context, materialization_metadata(product, source, produced), key, keys)
    if failed:
        # A retry cannot help. The other versions of a batch have their files; the step names those that do not, and
        # `failed_batches_sensor` requests what comes after this step, with a run for each of them that fails by itself.
        context.instance.add_run_tags(context.run_id, PERMANENT | (REPORTED if len(keys) > 1 else {}))
        reasons = "; ".join(f"{key}: {error}" for key, error in failed.items())
        raise dg.Failure(
            f"{product.name} could not be made for {reasons}"[:MAX_REASON],
            metadata={FAILED_PARTITIONS: dg.MetadataValue.json(sorted(failed))},
            allow_retries=False,
        ) from (next(iter(failed.values())))
    if done or told:
        digests = hashlib.sha256("".join(r.sha256 for p in done for r in p.records).encode()).hexdigest()
        yield dg.MaterializeResult(
            asset_key=product.name,
            data_version=dg.DataVersion(digests[:16]),
            check_results=[_check(product, check, done) for check in product.checks],
        )


def _add_metadata(
    context: dg.AssetExecutionContext, metadata: Mapping[str, Any], key: str, keys: Sequence[str]
) -> None:
    """Metadata of a partition's materialisation; where there is one only, Dagster need not look it up."""
    if len(keys) == 1:
        context.add_asset_metadata(metadata)
    else:
        context.add_asset_metadata(metadata, partition_key=key)


def _check(product: Product, check: CheckSpec, done: Sequence[MaterializedProduct]) -> dg.AssetCheckResult:
    results = [check.test(produced.statistics) for produced in done]
    last = done[-1].statistics if done else {}
    shown = {name: last[name] for name in check.shows if last.get(name) is not None}
    return dg.AssetCheckResult(
        passed=all(result is not False for result in results),
        check_name=check.name,
        asset_key=product.name,
        severity=dg.AssetCheckSeverity(check.severity),
        metadata={name: metadata_value(value) for name, value in shown.items()}
        | ({} if any(r is not None for r in results) else {"applies": False}),
    )
