"""The API held against its own OpenAPI description: what it says of parameters, bodies and answers is so."""

from __future__ import annotations

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis.checks import CHECKS, load_all_checks

from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import Portal
from tests.homes import Home

load_all_checks()
#: The stream does not end; it is tested elsewhere.
OPERATIONS = [
    (method, path)
    for path, methods in create_app(Portal(None, None)).openapi()["paths"].items()  # type: ignore[arg-type]
    for method in methods
    if not path.endswith("/stream")
]
WANTED = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance",
    "response_schema_conformance", "negative_data_rejection", "unsupported_method",
)  # fmt: skip


@pytest.fixture(scope="module")
def described(filled: Home) -> Any:
    """The description of the portal over the small archive, and the portal to ask."""
    return schemathesis.openapi.from_asgi("/api/v1/openapi.json", create_app(Portal(filled.archive, filled.store)))


@pytest.mark.parametrize(("method", "path"), OPERATIONS)
@pytest.mark.parametrize("mode", list(schemathesis.GenerationMode))
def test_answers_are_as_described(described: Any, method: str, path: str, mode: schemathesis.GenerationMode) -> None:
    """Every request, allowed by the description or not, is answered as it says, never with an error of the portal's own."""
    operation = described[path][method]
    events = []

    @settings(max_examples=6, suppress_health_check=list(HealthCheck), deadline=None, derandomize=True, database=None)
    @given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        # Ids of events that are made up are unknown, so that every second one is made known.
        if mode is schemathesis.GenerationMode.POSITIVE and "event" in (case.path_parameters or {}) and len(events) % 2:
            case.path_parameters["event"] = "S240301a"
        events.append(case)
        case.call_and_validate(checks=CHECKS.get_by_names(list(WANTED)))

    ask()
    assert events
