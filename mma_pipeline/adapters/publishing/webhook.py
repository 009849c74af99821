"""Notifies people: an HTTP POST of JSON made by a template, as Slack and most chat servers accept it.

The address is a secret (whoever has it can post) and is never shown. A receiver that knows `Idempotency-Key` drops
repeats; others may show a message twice after a lost answer, which is better than not at all.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from mma_pipeline.adapters.archive.publications import Answer, Draft, Publication
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.http import client, refusal, timeouts, transport_error
from mma_pipeline.adapters.publishing.model import Note
from mma_pipeline.notices.source_words import percent
from mma_pipeline.notices.words import area, distance, false_alarms_in_words, figure, probability

VERSION, FAILURE = "version", "failure"
_FIGURES = """\
{%- set a = alert -%}
{%- if failure and failure.kind == "run" %}{{ failure.destination }} failed for {{ failure.event_id }}: {{ failure.error }}
{%- elif failure and failure.kind == "problem" %}{{ "OVER" if failure.destination == "over" else "PROBLEM" }}: {{ failure.error }}
{%- elif failure %}Publication to {{ failure.destination }} failed for {{ failure.event_id }}: {{ failure.error }}
{%- elif a.version.label == "Retraction" %}RETRACTED: {{ a.event_id }}
{%- else %}{{ a.event_id }} {{ a.version.label }}{% if a.role == "test" %} (mock){% endif -%}
{%- if a.event and a.event.classification %}: {% for name, p in a.event.classification | dictsort(by="value", reverse=true) if p >= 0.01 -%}
{{ "" if loop.first else ", " }}{{ name }} {{ p | percent }}{% endfor %}{% endif -%}
{%- if a.event and a.event.far | false_alarms %}; {{ a.event.far | false_alarms }}{% endif -%}
{%- if a.localisation and a.localisation.area_90 is defined %}; 90 % area {{ a.localisation.area_90 | area }} deg²{% endif -%}
{%- if a.localisation and a.localisation.distance_mean is defined %}; {{ a.localisation.distance_mean | distance(a.localisation.distance_std | default(none)) }} Mpc{% endif -%}
{%- if a.external %}; with {{ a.external.observatory }}{% endif -%}
{%- if bare %}; without its map's values, because their products failed{% endif -%}
{%- endif -%}
"""
#: What makes words of numbers, in the summary and for templates of one's own.
_FILTERS: Mapping[str, Callable[..., str]] = {
    "percent": percent,
    "probability": probability,
    "false_alarms": lambda far_hz: false_alarms_in_words(far_hz or None),
    "area": area,
    "distance": distance,
    "figure": figure,
}
#: Built-in templates: each renders to JSON.
TEMPLATES = {
    "generic": '{"text": {{ summary | tojson }}, "alert": {{ alert | tojson }}, "failure": {{ failure | tojson }}, '
    '"picture": {{ picture | tojson }}}',
    "slack": '{"text": {{ summary | tojson }}, "blocks": [{"type": "section", "text": {"type": "mrkdwn", '
    '"text": {{ summary | tojson }}}}'
    '{% if picture %}, {"type": "image", "image_url": {{ picture | tojson }}, '
    '"alt_text": {{ ("Sky map of " ~ alert.event_id) | tojson }}}{% endif %}]}',
}


@dataclass(slots=True)
class WebhookDestination:
    """One address as a destination.

    Payloads: {alert, picture} with the JSON of a `DerivedAlert` (kind `version`), or {failure} with destination,
    event_id and error (kind `failure`).

    Args:
        name: name of the destination.
        url: http or https address; secret.
        template: `generic` or `slack`.
        template_file: a Jinja template to use instead; it gets alert, failure, summary, picture and must
            render to JSON.
        per_minute: greatest number of messages in a minute.
    """

    name: str
    url: str = field(repr=False)
    template: str = "generic"
    template_file: str | None = None
    content_type: str = "application/json"
    per_minute: int | None = 10
    settle_s: float = 0.0
    timeout_s: float = 15.0

    def __post_init__(self) -> None:
        if urlparse(self.url).scheme not in {"http", "https"}:
            raise ConfigurationError(f"{self.name}: the webhook's address must begin with https:// or http://")
        if self.template_file is None and self.template not in TEMPLATES:
            raise ConfigurationError(f"{self.name}: template is one of {', '.join(TEMPLATES)}, or set template_file")

    def prepare(self, item: Publication) -> Mapping[str, Any]:  # noqa: ARG002 - nothing can be looked at
        """Nothing, because a webhook cannot be queried."""
        return {}

    def preview(self, item: Draft) -> Mapping[str, Any]:
        """The message; sends no request."""
        return {"body": self.render(item.payload)}

    def send(self, item: Publication, note: Note | None = None) -> Answer:  # noqa: ARG002 - nothing can be looked at
        """Post one message."""
        import httpx

        body = json.dumps(self.render(item.payload), ensure_ascii=False).encode()
        headers = {"Content-Type": self.content_type, "Idempotency-Key": f"{self.name}-{item.dedupe_key}"}
        try:
            with client(headers=headers) as http:
                answer = http.post(self.url, content=body, timeout=timeouts(self.timeout_s))
        except httpx.TransportError as error:
            raise transport_error(
                error, self.name, changes=True
            ) from None  # the cause's text repeats the secret address
        failure = refusal(answer, self.name, self._secrets(), changes=True)
        if failure is not None:
            raise failure
        return Answer(f"HTTP {answer.status_code}")

    def _secrets(self) -> list[str]:
        """The address and its parts, longest first, because an error page may repeat any of them."""
        parsed = urlparse(self.url)
        parts = [*parsed.path.split("/"), *parsed.query.replace("&", "=").split("=")]
        found = {self.url, parsed.path, parsed.query, *parts}
        return sorted((part for part in found if len(part) >= 6), key=len, reverse=True)

    def render(self, payload: Mapping[str, Any]) -> Any:
        """The message as JSON values; raises ConfigurationError if the template does not make JSON."""
        import jinja2
        from jinja2.sandbox import SandboxedEnvironment

        environment = SandboxedEnvironment(autoescape=False)
        environment.filters |= _FILTERS
        environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "ensure_ascii": False}
        values = {"alert": payload.get("alert"), "failure": payload.get("failure"), "picture": payload.get("picture")}
        values["bare"] = payload.get("bare", False)
        try:
            source = Path(self.template_file).read_text("utf-8") if self.template_file else TEMPLATES[self.template]
            summary = environment.from_string(_FIGURES).render(values)
            return json.loads(environment.from_string(source).render(values, summary=summary))
        except OSError as error:
            raise ConfigurationError(f"{self.name}: template_file cannot be read: {error.strerror}") from error
        except (jinja2.TemplateError, ValueError) as error:
            raise ConfigurationError(f"{self.name}: the template does not make JSON: {error}") from error
