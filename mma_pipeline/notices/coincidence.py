"""The part of a derived alert that speaks of a pair of events of different messengers, and its JSON schema.

The message's event is the gravitational wave, its version the one that was compared, and its localisation that of both
events together. It is withdrawn like every message, with kind `retraction`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from typing import Any


@dataclass(frozen=True, slots=True)
class Coincidence:
    """A pair; absent values are unknown."""

    other_event: str
    """Id of the other event, such as `Fermi_745121685`."""
    other_version: str
    """Its version that was compared: event, label, creation time, digest of the content."""
    search: str
    """Kinds of the two events, such as `CBC with GRB`."""
    time_difference: float
    """t_gw - t_other, s."""
    far: float
    """Joint false-alarm rate by which the pair is claimed, Hz: the greatest of those below that use most."""
    messenger: str | None = None
    """What arrived: `gamma rays`, `X-rays`, `radio`, `neutrinos`."""
    instruments: tuple[str, ...] = ()
    window: tuple[float, ...] = ()
    """Least and greatest t_gw - t_other of the search, s."""
    method: str | None = None
    """`untargeted` or `targeted`."""
    overlap: float | None = None
    """4π ∫ p_gw p_other dΩ, dimensionless; above one place speaks for a common source."""
    time_coincidence_far: float | None = None
    """Joint false-alarm rate in time by the search's method, Hz."""
    time_sky_position_coincidence_far: float | None = None
    """The same in time and space, Hz."""
    sure_time_coincidence_far: float | None = None
    """The same in time with the gravitational wave taken for sure, Hz; only for significant ones."""
    sure_time_sky_position_coincidence_far: float | None = None
    """The same in time and space, Hz."""
    chance: float | None = None
    """Probability that one unrelated pair within the window ranks as high, 0 to 1."""
    chance_of_all: float | None = None
    """The same for at least one of the pairs looked at so far, 0 to 1."""
    pairs_looked_at: int | None = None


def with_coincidence(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of the derived alert with the kind and the part of this module."""
    text = resources.files(__package__).joinpath("schemas/derived-alert-coincidence-2.1.schema.json").read_text("utf-8")
    properties = dict(schema["properties"])
    kinds = [*properties["kind"]["enum"], "coincidence"]
    properties |= {"kind": {**properties["kind"], "enum": kinds}, "coincidence": json.loads(text)}
    return {**schema, "properties": properties}
