"""Rules that select the versions for a destination: criteria, each with its result as text.

A rule is a set of limits; a version passes if it meets every one that is set. A value that the notice does not give does
not meet its limit. Retractions and retracted events are decided elsewhere (`decision`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.notices.derived import DerivedAlert


@dataclass(frozen=True, slots=True)
class Reason:
    """One criterion and how a version meets it."""

    criterion: str
    passed: bool
    found: str
    """The version's value, as text."""

    def to_json(self) -> dict[str, Any]:
        """JSON values for the archive."""
        return {"criterion": self.criterion, "passed": self.passed, "found": self.found}


@dataclass(frozen=True, slots=True)
class Rule:
    """Limits of one destination; None or empty means no limit."""

    roles: tuple[str, ...] = ("observation",)
    """`observation` for real events, `test` for mock and test ones."""
    labels: tuple[str, ...] = ()
    """Kinds of notice, such as `Initial` or `Update-ExtCoinc`."""
    groups: tuple[str, ...] = ()
    """`CBC`, `Burst`."""
    significant: bool | None = None
    """The collaboration's own flag."""
    far_max: float | None = None
    """Largest false alarm rate, Hz."""
    area_90_max: float | None = None
    """Largest 90 % credible area, deg²."""
    distance_max: float | None = None
    """Largest mean luminosity distance, Mpc."""
    classes_min: Mapping[str, float] = field(default_factory=dict)
    """Smallest probability by class or source property; one of them suffices."""
    kilonova_min: float | None = None
    """Smallest kilonova probability of a candidate, by its light curve."""
    posterior_min: float | None = None
    """Smallest probability of a candidate after vetting; that of the light curve where there is no other."""

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any], where: str) -> Rule:
        """Read a rule from configuration; raises ConfigurationError that names what is wrong and where."""
        kinds = {f.name: str(f.type) for f in fields(cls)}
        unknown = sorted(set(values) - set(kinds))
        if unknown:
            raise ConfigurationError(f"{where}: no such criterion {', '.join(unknown)}; there are {', '.join(kinds)}")
        read: dict[str, Any] = {}
        for name, value in values.items():
            read[name] = _read(kinds[name], value, f"{where}.{name}")
        return cls(**read)

    def judge(self, alert: DerivedAlert) -> tuple[Reason, ...]:
        """Every criterion that is set, with its result; the version is accepted if all passed."""
        return tuple(self._judge(alert))

    def _judge(self, alert: DerivedAlert) -> Iterator[Reason]:
        event, place = alert.event, alert.localisation
        yield _one_of("role", self.roles, str(alert.role))
        if self.labels:
            yield _one_of("label", self.labels, alert.version.label if alert.version else None)
        if self.groups:
            yield _one_of("group", self.groups, event.group if event else None)
        if self.significant is not None:
            found = event.significant if event else None
            yield Reason(f"significant is {self.significant}", found is self.significant, _said(found))
        limits = (
            ("false alarm rate", self.far_max, event.far if event else None, "Hz"),
            ("90 % area", self.area_90_max, place.area_90 if place else None, "deg²"),
            ("distance", self.distance_max, place.distance_mean if place else None, "Mpc"),
        )
        for name, limit, found_number, unit in limits:
            if limit is not None:
                passed = found_number is not None and found_number <= limit
                yield Reason(f"{name} at most {limit:g} {unit}", passed, _said(found_number, unit))
        if self.classes_min:
            probabilities = {**event.classification, **event.properties} if event else {}
            passed = any(probabilities.get(name, -1.0) >= least for name, least in self.classes_min.items())
            wanted = " or ".join(f"{name} at least {least:g}" for name, least in self.classes_min.items())
            shown = ", ".join(f"{n} {probabilities[n]:.3g}" for n in self.classes_min if n in probabilities)
            yield Reason(wanted, passed, shown or "not stated")
        if self.kilonova_min is not None and alert.candidate is not None:
            probability = alert.candidate.kilonova_probability
            passed = probability >= self.kilonova_min
            yield Reason(f"kilonova probability at least {self.kilonova_min:g}", passed, f"{probability:.3g}")
        if self.posterior_min is not None and alert.candidate is not None:
            probability = alert.candidate.best_probability
            passed = probability >= self.posterior_min
            yield Reason(f"probability after vetting at least {self.posterior_min:g}", passed, f"{probability:.3g}")


def _one_of(name: str, wanted: tuple[str, ...], found: str | None) -> Reason:
    return Reason(f"{name} is {' or '.join(wanted)}", found in wanted, _said(found))


def _said(value: object, unit: str = "") -> str:
    if value is None:
        return "not stated"
    return f"{value:.4g} {unit}".strip() if isinstance(value, float) else str(value)


def _read(kind: str, value: Any, where: str) -> Any:
    """A configured value in the field's type; raises ConfigurationError."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if kind.startswith("tuple") and isinstance(value, list) and all(isinstance(v, str) for v in value):
        return tuple(value)
    if kind.startswith("Mapping") and isinstance(value, dict):
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in value.values()):
            return {str(k): float(v) for k, v in value.items()}
    elif (kind.startswith("bool") and isinstance(value, bool)) or (kind.startswith("float") and is_number):
        return float(value) if is_number else value
    wanted = {"t": "a list of strings", "M": "a table of numbers", "b": "true or false", "f": "a number"}[kind[0]]
    raise ConfigurationError(f"{where} must be {wanted}, not {value!r:.60}")
