"""Compares a notice with the schema of its stream, and describes the differences.

`igwn.gwalert`: the schema in the package igwn-gwalert-schema. IceCube: no package contains the published schema, so our own
version of it is in `notices/schemas`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import jsonschema
    from jsonschema.protocols import Validator

#: Greatest number of departures listed; a message could have thousands.
MAX_LISTED = 20
LVK = ("igwn_gwalert_schema", "igwn.alerts.Alert.schema.json")
ICECUBE = ("mma_pipeline.notices", "schemas/icecube-lvk-nu-track-search.schema.json")


def schema_drift(record: Mapping[str, Any], schema: tuple[str, str]) -> list[str]:
    """One sentence per departure, in the order of the document; empty if the notice follows the schema.

    `schema` is `LVK` or `ICECUBE`: a package and the name of the file in it.
    """
    found = sorted(
        _validator(*schema).iter_errors(dict(record)), key=lambda error: [str(part) for part in error.absolute_path]
    )
    return [f"{error.json_path}: {_brief(error)}" for error in found[:MAX_LISTED]]


def _brief(error: jsonschema.ValidationError) -> str:
    """The error without the instance, which may be a map of a megabyte."""
    import jsonschema

    # A union fails as a whole; report the reason of the branch that fits best.
    nearest = jsonschema.exceptions.best_match([error])
    message = nearest.message if nearest is not None else error.message
    return message if len(message) <= 200 else f"{message[:80]} … {message[-80:]}"


@cache
def _validator(package: str, name: str) -> Validator:
    import jsonschema

    text = files(package).joinpath(name).read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))
