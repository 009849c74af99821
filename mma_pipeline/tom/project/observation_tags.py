"""The toolkit's template tags of observations; a retracted target gets no buttons that lead to requests."""

from __future__ import annotations

from typing import Any

from django import template
from tom_observations.templatetags import observation_extras

from mma_pipeline.tom.targets import Status

register = template.Library()
register.tags = dict(observation_extras.register.tags)
register.filters = dict(observation_extras.register.filters)


@register.inclusion_tag("tom_observations/partials/observing_buttons.html")
def observing_buttons(target: Any) -> dict[str, Any]:
    """The buttons of all facilities, or that there are none because every alert of the target was retracted."""
    found: dict[str, Any] = observation_extras.observing_buttons(target)
    return found | {"retracted": target.extra_fields.get("alert status") == Status.RETRACTED}
