"""The part of the sky that an instrument in orbit saw at the time of an event, and how much of a map lies in it.

Two kinds of field of view: all that the Earth does not hide (Fermi GBM, and any all-sky monitor), and a cap around
the boresight (Fermi LAT). Both are true spherical caps. A field of view is known, off (the detectors do not run in
the South Atlantic Anomaly) or unknown; an unknown one has no region at all, never the whole sky.

Which instruments there are is configuration: a list of `Instrument`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

import numpy as np

from mma_pipeline.notices.times import DAY_S
from mma_pipeline.science.arrays import FloatArray
from mma_pipeline.science.observing.orbit import ElementSet, OrbitError, SatellitePosition, propagate
from mma_pipeline.science.observing.saa import in_gbm_saa
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import cap_rows, separation, to_radec, unit_vectors

MOC_ORDER = 9
#: A spacecraft that seems to turn faster (deg/s) did not: the samples around the time do not belong together.
_FASTEST_TURN = 0.5


class State(StrEnum):
    """Whether a field of view is known."""

    KNOWN = "known"
    OFF = "off"
    UNKNOWN = "unknown"


class InstrumentError(ValueError):
    """A configured instrument that makes no sense; the message says what is wrong."""


@dataclass(frozen=True)
class Instrument:
    """One instrument in orbit, as configured."""

    name: str
    """For people, such as `Fermi-GBM`."""
    file: str
    """Stem of the product's name, `{event}-{file}.json`."""
    norad_id: int
    """Catalogue number of the satellite."""
    view: str
    """`unocculted` (all but the Earth's disk) or `cap` (around the boresight)."""
    radius: float | None = None
    """Radius of a cap, deg."""
    saa: str | None = None
    """`gbm`: off inside the polygons of GBM; `pointing`: as the pointing file says; None: never off."""
    pointing: str | None = None
    """Name of the source of boresights; needed for a cap."""
    max_element_age: float = 5.0
    """Elements farther in time than so many days are not used."""

    def __post_init__(self) -> None:
        """Raises InstrumentError if the fields contradict each other."""
        if self.view not in {"unocculted", "cap"}:
            raise InstrumentError(f"{self.name}: view {self.view!r} is neither 'unocculted' nor 'cap'")
        if self.view == "cap" and not (self.radius and 0 < self.radius < 180 and self.pointing):
            raise InstrumentError(f"{self.name}: a cap needs a radius (0 to 180 deg) and a pointing source")
        if self.saa not in {None, "gbm", "pointing"}:
            raise InstrumentError(f"{self.name}: saa {self.saa!r} is neither 'gbm' nor 'pointing'")
        if not self.file or not all(c.isalnum() or c in "_-" for c in self.file):
            raise InstrumentError(f"{self.name}: file stem {self.file!r} may hold letters, digits, - and _ only")


FERMI_GBM = Instrument("Fermi-GBM", "Fermi", 33053, "unocculted", saa="gbm")
FERMI_LAT = Instrument("Fermi-LAT", "LAT", 33053, "cap", radius=65.0, saa="pointing", pointing="fermi-ft2")
DEFAULT_INSTRUMENTS = (FERMI_GBM, FERMI_LAT)


def instruments_from_json(text: str) -> tuple[Instrument, ...]:
    """Instruments from a JSON list of objects with the fields of `Instrument`.

    Raises InstrumentError with the place of the mistake.
    """
    try:
        entries = json.loads(text)
    except ValueError as error:
        raise InstrumentError(f"the list of instruments is not JSON: {error}") from error
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise InstrumentError("the list of instruments must be a JSON list of objects")
    found = []
    for entry in entries:
        try:
            found.append(Instrument(**entry))
        except TypeError as error:
            raise InstrumentError(f"instrument {entry.get('name', '?')}: {error}") from error
    if len({i.file for i in found}) != len(found):
        raise InstrumentError("two instruments have the same file stem")
    return tuple(found)


@dataclass(frozen=True, eq=False)
class Pointing:
    """Where a spacecraft looked: samples in order of time, arrays of shape (N,)."""

    start: FloatArray
    """Unix time of each sample, s; the last interval ends with `stop`."""
    stop: FloatArray
    """Unix time at which each sample ends, s."""
    ra: FloatArray
    """Right ascension of the boresight at `start`, deg."""
    dec: FloatArray
    """Declination of the boresight at `start`, deg."""
    in_saa: np.ndarray[Any, np.dtype[np.bool_]] | None
    """Whether the spacecraft was in the South Atlantic Anomaly, None if the file does not say."""
    source: str
    """Name of the file."""

    def at(self, time: datetime) -> tuple[float, float, bool | None] | None:
        """Boresight (deg) and SAA flag at a time, on the great circle between samples; None if not covered."""
        t = time.timestamp()
        i = int(np.searchsorted(self.start, t, side="right")) - 1
        if i < 0 or t > self.stop[i]:
            return None
        saa = None if self.in_saa is None else bool(self.in_saa[i])
        if i + 1 == self.start.size:
            return float(self.ra[i]), float(self.dec[i]), saa
        span = float(self.start[i + 1] - self.start[i])
        if span > self.stop[i] - self.start[i] + 1.0:
            return None  # a gap
        angle = float(separation(self.ra[i], self.dec[i], self.ra[i + 1], self.dec[i + 1]))
        if angle > _FASTEST_TURN * span:
            return None
        a, b = unit_vectors(self.ra[i : i + 2], self.dec[i : i + 2])
        fraction, theta = (t - self.start[i]) / span, np.radians(angle)
        if theta < 1e-9:
            return float(self.ra[i]), float(self.dec[i]), saa
        vector = (np.sin((1 - fraction) * theta) * a + np.sin(fraction * theta) * b) / np.sin(theta)
        return *to_radec(vector), saa


@dataclass(frozen=True, eq=False)
class FieldOfView:
    """What an instrument saw at one time. The region is None unless the state is known or off."""

    instrument: Instrument
    state: State
    reason: str
    """Why it is off or unknown, or what it was computed from: one sentence."""
    ra: float | None = None
    """Centre of the cap: the Earth's centre (`unocculted`) or the boresight (`cap`), deg."""
    dec: float | None = None
    """deg"""
    radius: float | None = None
    """Radius of the cap, deg."""

    def probability(self, m: SkyMap) -> float | None:
        """Probability of the map inside the field of view, 0 to 1; zero when off, None when unknown."""
        if self.state is State.UNKNOWN:
            return None
        if self.state is State.OFF or self.ra is None or self.dec is None or self.radius is None:
            return 0.0
        inside = cap_rows(m.order, m.ipix, self.ra, self.dec, self.radius)
        share = inside if self.instrument.view == "cap" else 1.0 - inside
        return float(np.clip(np.sum(m.prob * share), 0.0, 1.0))

    def sees(self, ra: float, dec: float) -> bool | None:
        """Whether a position (deg) is inside; None when unknown."""
        if self.state is State.UNKNOWN:
            return None
        if self.state is State.OFF or self.ra is None or self.dec is None or self.radius is None:
            return False
        near = bool(separation(ra, dec, self.ra, self.dec) <= self.radius)
        return near if self.instrument.view == "cap" else not near

    def moc_json(self) -> bytes | None:
        """The region as MOC JSON, {order: [ipix, …]} to order 9 (IVOA MOC 2.0); empty when off, None when unknown."""
        if self.state is State.UNKNOWN:
            return None
        cells: Mapping[str, list[int]] = {str(MOC_ORDER): []}
        if self.state is State.KNOWN:
            import astropy.units as u
            from mocpy import MOC

            # Two orders deeper first, so that a cell is in by touching the cap, not by touching its surroundings.
            moc = MOC.from_cone(
                lon=self.ra * u.deg,
                lat=self.dec * u.deg,
                radius=self.radius * u.deg,
                max_depth=MOC_ORDER,
                delta_depth=2,
            )
            if self.instrument.view == "unocculted":
                moc = moc.complement()
            cells = moc.serialize("json")
        return json.dumps(cells, separators=(",", ":"), sort_keys=True).encode()


def unknown(instrument: Instrument, reason: str) -> FieldOfView:
    """A field of view that cannot be told, with the reason."""
    return FieldOfView(instrument, State.UNKNOWN, reason)


def field_of_view(
    instrument: Instrument, time: datetime, *, elements: ElementSet | None = None, pointing: Pointing | None = None
) -> FieldOfView:
    """The field of view at a time (timezone-aware) from what is known of orbit and pointing; never raises for that."""
    if instrument.view == "cap":
        return _cap(instrument, time, pointing)
    if elements is None:
        return unknown(instrument, f"no orbital elements of {instrument.norad_id} are known for {time:%Y-%m-%d}")
    age = abs((elements.epoch - time).total_seconds()) / DAY_S
    if age > instrument.max_element_age:
        return unknown(
            instrument,
            f"the nearest orbital elements are {age:.0f} days off, more than the {instrument.max_element_age:g} allowed",
        )
    try:
        position = propagate(elements, time)
    except OrbitError as error:
        return unknown(instrument, str(error))
    return _unocculted(instrument, time, position, age)


def _unocculted(instrument: Instrument, time: datetime, position: SatellitePosition, age: float) -> FieldOfView:
    ra, dec = position.earth_centre
    state, reason = State.KNOWN, f"orbital elements {age:.1f} days from the event"
    if instrument.saa == "gbm" and in_gbm_saa(position.latitude, position.longitude, time):
        state = State.OFF
        reason = (
            f"inside the South Atlantic Anomaly at {position.latitude:.1f}, {position.longitude:.1f} deg: switched off"
        )
    return FieldOfView(instrument, state, reason, ra, dec, position.earth_radius)


def _cap(instrument: Instrument, time: datetime, pointing: Pointing | None) -> FieldOfView:
    if pointing is None:
        return unknown(instrument, f"no pointing of {instrument.name} is known for {time:%Y-%m-%d %H:%M}")
    found = pointing.at(time)
    if found is None:
        return unknown(instrument, f"{pointing.source} does not say where {instrument.name} pointed at {time:%H:%M:%S}")
    ra, dec, in_saa = found
    if instrument.saa == "pointing" and in_saa:
        return FieldOfView(instrument, State.OFF, "inside the South Atlantic Anomaly", ra, dec, instrument.radius)
    return FieldOfView(instrument, State.KNOWN, f"pointing of {pointing.source}", ra, dec, instrument.radius)
