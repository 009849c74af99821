"""The text of a sensor's cursor: offsets up to which a stream was read, and the identity of their topics."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from mma_pipeline.adapters.errors import PermanentError

#: topic -> partition -> next offset to read.
Offsets = dict[str, dict[int, int]]
#: topic -> the identity that the broker gave it when it was created.
TopicIds = Mapping[str, str]
_ID = "id"


def encode_offsets(offsets: Offsets, topic_ids: TopicIds | None = None) -> str:
    """Cursor text for offsets: JSON with sorted keys; a topic's identity stands beside its partitions if known."""
    found: dict[str, dict[str, Any]] = {t: {str(p): o for p, o in parts.items()} for t, parts in offsets.items()}
    for topic, identity in (topic_ids or {}).items():
        if topic in found:
            found[topic][_ID] = identity
    return json.dumps(found, sort_keys=True)


def decode_offsets(cursor: str | None) -> Offsets:
    """Offsets from cursor text; empty without a cursor. Raises PermanentError for text that is not a cursor."""
    try:
        return {
            str(topic): {int(p): int(o) for p, o in parts.items() if p != _ID}
            for topic, parts in _decoded(cursor).items()
        }
    except (ValueError, AttributeError, TypeError, OverflowError, RecursionError) as error:
        raise PermanentError(
            f"the sensor's cursor {str(cursor)[:80]!r} is not a map of topic to partition to offset: reset it in the UI"
        ) from error


def decode_topic_ids(cursor: str | None) -> TopicIds:
    """The topics' identities from cursor text that `decode_offsets` accepts; empty if it has none."""
    return {topic: str(parts[_ID]) for topic, parts in _decoded(cursor).items() if parts.get(_ID)}


def _decoded(cursor: str | None) -> dict[str, dict[str, Any]]:
    return json.loads(cursor) if cursor else {}
