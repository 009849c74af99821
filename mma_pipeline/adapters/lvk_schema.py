"""Where a notice departs from the published schema of `igwn.gwalert` (package igwn-gwalert-schema)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

import jsonschema
from jsonschema.protocols import Validator

#: Departures listed at most; a foreign message could have thousands.
MAX_LISTED = 20


def schema_drift(record: Mapping[str, Any]) -> list[str]:
    """One sentence per departure, in the order of the document; empty where the notice follows the schema."""
    found = sorted(
        _validator().iter_errors(dict(record)), key=lambda error: [str(part) for part in error.absolute_path]
    )
    return [f"{error.json_path}: {_brief(error)}" for error in found[:MAX_LISTED]]


def _brief(error: jsonschema.ValidationError) -> str:
    """The error without the instance, which may be a map of a megabyte."""
    # A union fails as a whole; what a person wants is the reason of the branch that came nearest.
    nearest = jsonschema.exceptions.best_match([error])
    message = nearest.message if nearest is not None else error.message
    return message if len(message) <= 200 else f"{message[:80]} … {message[-80:]}"


@cache
def _validator() -> Validator:
    text = files("igwn_gwalert_schema").joinpath("igwn.alerts.Alert.schema.json").read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))
