"""What the UI shows of decisions and publications: metadata of the publishing assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from mma_pipeline.adapters.archive.blocks import Block
from mma_pipeline.adapters.archive.publications import Publication, State
from mma_pipeline.adapters.publishing.decision import Decision
from mma_pipeline.defs.publication.readiness import Finding


def answer_metadata(item: Publication) -> dict[str, Any]:
    """A publication for the UI: the receiver's answer, when, after how many attempts."""
    shown = {"destination": item.destination, "kind": item.kind, "state": str(item.state), "attempts": item.attempts}
    if item.finished is not None:
        shown["published"] = item.finished.isoformat(timespec="milliseconds")
    if item.error:
        shown["error"] = item.error
    answer = {name: _value(value) for name, value in item.answer.items() if value not in (None, [], {})}
    return {**shown, **answer}


def _value(value: Any) -> Any:
    return dg.MetadataValue.json(value) if isinstance(value, dict | list) else value


def reasons_markdown(decisions: Sequence[Decision]) -> dg.MarkdownMetadataValue:
    """Why something is or is not sent, as a table."""
    lines = ["| destination | criterion | found | |", "|---|---|---|---|"]
    for decision in decisions:
        for reason in decision.reasons:
            mark = "yes" if reason.passed else "**no**"
            lines.append(f"| {decision.destination} | {reason.criterion} | {reason.found} | {mark} |")
    return dg.MetadataValue.md("\n".join(lines))


def why_of(decisions: Sequence[Decision], findings: Sequence[Finding]) -> dict[str, Any]:
    """Why something is or is not sent, and the checks that the version does not pass."""
    why: dict[str, Any] = {"decision": reasons_markdown(decisions)}
    if findings:
        why["checks not passed"] = findings_markdown(findings)
    return why


def findings_markdown(findings: Sequence[Finding]) -> dg.MarkdownMetadataValue:
    """Checks that a version does not pass, as a list."""
    return dg.MetadataValue.md("\n".join(f"- {finding}" for finding in findings) or "none")


def release_metadata(block: Block | None) -> dict[str, Any]:
    """When and why a person released a version despite its checks, for the UI."""
    if block is None or block.released is None:
        return {}
    return {"released": f"{block.released.isoformat(timespec='seconds')}: {block.reason}"}


def all_received(items: Sequence[Publication]) -> bool:
    """Whether there are publications, and the receivers have all of them."""
    return bool(items) and all(item.state is State.DONE for item in items)


def states(items: Sequence[Publication]) -> Mapping[str, dg.JsonMetadataValue]:
    """State and answer of each publication."""
    return {f"{item.destination} {item.kind}": dg.MetadataValue.json(_json(item)) for item in items}


def report_others(context: dg.AssetExecutionContext, asset: str, key: str, tried: Sequence[Publication]) -> None:
    """Report on an asset what was sent of earlier versions of the event, which may have waited for their turn."""
    for item in tried:
        if item.partition_key not in {None, key} and item.state is State.DONE:
            context.log_event(
                dg.AssetMaterialization(asset, partition=item.partition_key, metadata=answer_metadata(item))
            )


def _json(item: Publication) -> dict[str, Any]:
    """A publication as JSON values."""
    plain = {"state": str(item.state), "attempts": item.attempts, "error": item.error, **item.answer}
    return {k: v for k, v in plain.items() if v is not None} | {"enqueued": item.created.isoformat()}
