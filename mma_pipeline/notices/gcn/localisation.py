"""Where a notice says that a source is: an error circle, ellipse or rectangle, and what its errors leave out.

Here: reading the shape. Not here: the probability map that follows from it (`science.skymaps.localise`).
Fields follow GCN's core schema (nasa-gcn/gcn-schema, core/Localization): ICRS degrees, `ra_dec_error` as one radius or as
the semi-axes of an ellipse with the position angle of the first, and the older `position_a_error`, `ra_uncertainty`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import finite, kind_of, number_at, share

#: Changes when the map that follows from a shape of a kind does.
MODELS = {"circle": "1", "ellipse": "1", "rectangle": "2"}
#: Containment of an error whose notice states none (core/Localization: "if absent, default is 0.9").
CONTAINMENT = 0.9
#: One standard deviation of a Gaussian, as the probability inside it on a line: what "1 sigma" radii hold.
ONE_SIGMA = 0.6827
_RADIUS_KEYS = ("ra_dec_error", "position_a_error", "ra_uncertainty", "dec_uncertainty")
_SMALLEST_DEG, _LARGEST_DEG = 1e-5, 120.0


@dataclass(frozen=True, slots=True)
class Systematic:
    """The systematic error of an instrument's positions: a mixture of circular errors, as published."""

    components: tuple[tuple[float, float, float], ...]
    """Weight, radius in degrees and the probability inside that radius; weights sum to one."""
    source: str


@dataclass(frozen=True, slots=True)
class Shape:
    """A localisation by position and error."""

    ra: float
    """Right ascension, deg, 0 to 360."""
    dec: float
    """Declination, deg."""
    semi_major: float
    """First semi-axis (radius of a circle), deg."""
    semi_minor: float
    """Second semi-axis, deg."""
    position_angle: float
    """Of the first semi-axis, deg, from north through east."""
    containment: float
    """Probability inside the circle, ellipse or rectangle, 0 to 1."""
    corners: tuple[tuple[float, float], ...] = ()
    """Corners (RA, Dec) in degrees of a rectangle, in order around it; the axes then follow from them."""
    systematic: tuple[tuple[float, float, float], ...] = ()
    """Systematic error that the shape does not include: see `Systematic.components`."""
    source: str = ""
    """Where the systematic error is published."""

    @property
    def kind(self) -> str:
        """`circle`, `ellipse` or `rectangle`."""
        if self.corners:
            return "rectangle"
        return "circle" if self.semi_major == self.semi_minor else "ellipse"

    def to_json(self) -> dict[str, Any]:
        """JSON values, from which `from_json` builds the same shape."""
        record = asdict(self)
        record["corners"] = [list(corner) for corner in self.corners]
        record["systematic"] = [list(component) for component in self.systematic]
        return record

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> Shape:
        """The shape of `to_json`."""
        corners = tuple((float(ra), float(dec)) for ra, dec in record["corners"])
        systematic = tuple((float(w), float(r), float(p)) for w, r, p in record["systematic"])
        return cls(**{**record, "corners": corners, "systematic": systematic})

    @property
    def digest(self) -> str:
        """SHA-256 of the shape and the model: equal for equal maps."""
        canonical = json.dumps([MODELS[self.kind], self.to_json()], sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()


#: The systematic error to add to the shape of a decoded notice; None if none is published or the notice includes it.
SystematicOf = Callable[[Mapping[str, Any]], Systematic | None]


def read_shape(record: Mapping[str, Any], systematic: Systematic | None) -> Shape | None:
    """The shape of a decoded notice; None if it gives no position or no error. Raises NoticeError for wrong values."""
    position = read_position(record)
    if position is None:
        return None
    given = record.get("containment_probability")
    containment = CONTAINMENT if given is None else share(given, "containment_probability")
    if not 0.01 <= containment < 1:
        raise NoticeError(f"containment_probability is {containment!r}: no error follows from it")
    included = record.get("systematic_included")
    if included is not None and not isinstance(included, bool):
        raise NoticeError(
            f"systematic_included is a {kind_of(included)} where true or false belongs: the error is not known"
        )
    added = () if systematic is None or included else systematic.components
    source = systematic.source if systematic is not None and added else ""
    corners = _corners(record.get("rectangular_error_corners"))
    if corners:
        return Shape(*position, 0.0, 0.0, 0.0, containment, corners, added, source)
    axes = _axes(record)
    if axes is None:
        return None
    return Shape(*position, *axes, containment, (), added, source)


def read_position(record: Mapping[str, Any]) -> tuple[float, float] | None:
    """RA in [0, 360) and Dec of a decoded notice, deg; None if it gives none. Raises NoticeError for wrong values."""
    ra, dec = number_at(record, "ra", "ra"), number_at(record, "dec", "dec")
    if ra is None or dec is None:
        if ra is not None or dec is not None:
            raise NoticeError("only one of ra and dec is given")
        return None
    return _on_sphere(ra, dec, "")


def _on_sphere(ra: float, dec: float, name: str) -> tuple[float, float]:
    if not -90 <= dec <= 90:
        raise NoticeError(f"{name}dec is {dec}, not a declination in degrees")
    if not -360 <= ra <= 720:
        raise NoticeError(f"{name}ra is {ra}, not a right ascension in degrees")
    turned = ra % 360.0
    return (0.0 if turned == 360.0 else turned), dec  # -1e-20 % 360 is 360


def _axes(record: Mapping[str, Any]) -> tuple[float, float, float] | None:
    """Semi-axes and position angle, deg; None if the notice gives no error."""
    key = next((key for key in _RADIUS_KEYS if record.get(key) not in (None, [])), None)
    if key is None:
        return None
    value = record[key]
    values = [finite(v, key) for v in value] if isinstance(value, list) else [finite(value, key)]
    if key == "position_a_error":
        minor = number_at(record, "position_b_error", "position_b_error")
        angle = number_at(record, "position_error_pa", "position_error_pa")
        values += [] if minor is None else [minor, angle or 0.0]
    if len(values) > 3:
        raise NoticeError(f"{key} has {len(values)} values where a radius, or two semi-axes and an angle, belong")
    for size in values[:2]:
        if not _SMALLEST_DEG <= size <= _LARGEST_DEG:
            raise NoticeError(f"{key} is {value!r:.60}, not an error in degrees")
    major, minor = values[0], values[1] if len(values) > 1 else values[0]
    return major, minor, values[2] % 180.0 if len(values) > 2 else 0.0


def _corners(value: object) -> tuple[tuple[float, float], ...]:
    if value is None:
        return ()
    name = "rectangular_error_corners"
    if not isinstance(value, list) or len(value) != 4:
        raise NoticeError(f"{name} is a {kind_of(value)} where four corners belong")
    found = []
    for corner in value:
        if not isinstance(corner, list) or len(corner) != 2:
            raise NoticeError(f"{name} holds a {kind_of(corner)} where a right ascension and a declination belong")
        found.append(_on_sphere(finite(corner[0], name), finite(corner[1], name), f"{name}: "))
    if len(set(found)) != 4:
        raise NoticeError(f"{name} names a corner twice")
    return tuple(found)
