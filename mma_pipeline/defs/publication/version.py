"""Publishes one version to the destinations of one kind: decide, write to the outbox, send, report."""

# No postponed annotations here: Dagster reads the real types of an asset function's parameters.
import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.publishing.compose import GALAXIES
from mma_pipeline.adapters.publishing.config import GWTM, HOPSKOTCH, WEBHOOK
from mma_pipeline.adapters.publishing.decision import Extras
from mma_pipeline.adapters.publishing.service import Publications
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.publication.readiness import Finding, failed_checks, may_be_published
from mma_pipeline.defs.publication.shown import (
    all_received,
    answer_metadata,
    release_metadata,
    report_others,
    states,
    why_of,
)
from mma_pipeline.products.inputs import ProductInput

GROUP = "publication"
PUBLISHABLE = "publishable"
#: Asset of each kind of destination.
ASSETS = {GWTM: "gwtm_publication", HOPSKOTCH: "hopskotch_publication", WEBHOOK: "webhook_publication"}


def extras_of(source: ProductInput, findings: Sequence[Finding] = ()) -> Extras:
    """What a version has beyond its alert: ranked galaxies, unless the list fails its own check.

    A version without a map says nothing about galaxies.
    """
    found = source.archive.product(source.record.partition_key, GALAXIES)
    if found is None or not found.content_type.endswith("json"):
        return Extras()
    if any(finding.check.startswith(f"{GALAXIES}.") for finding in findings):
        return Extras()
    listed = json.loads(source.store.get(found.store_key))
    entries = listed.get("galaxies", ()) if isinstance(listed, dict) else listed
    return Extras(galaxies=tuple(entry for entry in entries if isinstance(entry, dict)))


def publish_version(
    context: dg.AssetExecutionContext, published: Publications, source: ProductInput, kind: str
) -> Iterator[dg.MaterializeResult[Any] | dg.AssetObservation]:
    """Decide, write to the outbox, send, and report the receivers' answers.

    Raises dg.Failure with the receiver's answer if a publication failed for good.
    """
    configs, key, asset = published.of_kind(kind), source.record.partition_key, ASSETS[kind]
    if not configs:
        context.log.info(f"no {kind} destination is configured")
        return
    now, findings = datetime.now(UTC), failed_checks(source.archive.products(key))
    fit = may_be_published(published, context.instance, now, source.settings)
    decisions = published.decide(source.record, configs, extras_of(source, findings), fit)
    why = {**why_of(decisions, findings), **release_metadata(published.block(key))}
    if any(decision.bare for decision in decisions) and not published.dry_run:
        why["bare"] = _bare(source, [d.destination for d in decisions if d.bare and d.drafts])
    if published.dry_run:
        would = [dict(published.preview(draft)) for decision in decisions for draft in decision.drafts]
        shown: dict[str, Any] = {**why, "dry run": True, "would send": dg.MetadataValue.json(would)}
        yield dg.AssetObservation(asset, partition=key, metadata=shown)
        return
    names = [config.name for config in configs]
    tried = [item for name in names for item in published.publisher.run(name, event_id=source.record.version.event_id)]
    report_others(context, asset, key, tried)
    items = published.of_version(key, names)
    if not items or any(item.state not in {State.DONE, State.FAILED} for item in items):
        yield dg.AssetObservation(asset, partition=key, metadata={**why, **states(items)})
    given_up = [item for item in items if item.state is State.FAILED]
    if given_up:
        words = "; ".join(f"{item.destination} {item.kind}: {item.error}" for item in given_up)
        raise dg.Failure(
            words, metadata={**why, "retry with": f"mma publication retry {given_up[0].id}"}, allow_retries=False
        )
    if all_received(items):
        yield dg.MaterializeResult(asset_key=asset, metadata={**answer_metadata(items[0]), **why, **states(items)})


def _bare(source: ProductInput, names: Sequence[str]) -> str:
    """Text about a version that is published without its map's values."""
    key = source.record.partition_key
    lacking = expected_files(source.record, source.settings) - {
        product.name for product in source.archive.products(key)
    }
    where = f"sent to {', '.join(names)} without its map's values" if names else "not sent"
    return f"{where}: {', '.join(sorted(lacking))} failed for good; completed when they are made (mma backfill {key})"
