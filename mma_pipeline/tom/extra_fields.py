"""Fields of a target besides the toolkit's own. No Django here: settings import this before Django is ready."""

from __future__ import annotations

EXTRA_FIELDS = [
    {"name": "alert status", "type": "string"},
    {"name": "events", "type": "string"},
    {"name": "kilonova probability", "type": "number"},
    {"name": "other probability", "type": "number"},
    {"name": "posterior", "type": "number"},
    {"name": "credible level", "type": "number"},
    {"name": "magnitude", "type": "number"},
    {"name": "band", "type": "string"},
    {"name": "last observed", "type": "datetime"},
]
"""Value of the setting EXTRA_FIELDS: the names that `targets.refresh` writes, with the kinds they have."""
