"""A night of a survey's alerts, invented: variables, supernovae, galactic nuclei, flares, asteroids, artefacts, and one kilonova.

Positions, times and objects are drawn anew from a seed, with the sizes of ZTF's public alert stream as a guide. Records
have the names of ZTF's alert packets. Nothing here says how such a packet is written (`adapters.surveys.ztf_packet`).

An object keeps its name, place and magnitudes from night to night, so that the history in a packet repeats what the
packets of earlier nights said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from mma_pipeline.notices.times import JD_OF_MJD_ZERO
from mma_pipeline.science.arrays import FloatArray, IntArray
from mma_pipeline.science.kilonova.counterpart import SimulatedKilonova

#: 5-sigma depth of a difference image by band, mag: of 30 s, and of the 300 s with which an event's region is searched.
_DEPTH = {1: 20.8, 2: 20.6}
_DEEP = 1.1
_ZERO_POINT = {1: 26.3, 2: 26.2}
#: Days before the night that a packet's history covers, and days between two visits of a field.
_HISTORY_DAYS, _CADENCE_DAYS = 30, 2
#: Side of a field, deg, and the southernmost one.
_FIELD_DEG, _SOUTH_DEG = 7.0, -28.0
#: Hours of darkness, and fields that are visited before they are visited again in the other band.
_NIGHT_HOURS, _BLOCK = 8.5, 30
_FIRST_HOUR = 3.5
#: Alerts per visit of a field, as ZTF's 300,000 alerts of a night make on 400 fields.
_PER_VISIT = 375
_MOST_FIELDS = 400
#: Share of a visit's alerts that belong to lasting objects; the rest are asteroids and artefacts.
_LASTING, _ASTEROIDS = 0.6, 0.25
#: Of the lasting objects: variable stars, galactic nuclei, supernovae, flaring dwarfs.
_KINDS = ("star", "nucleus", "supernova", "flare")
_SHARES = (0.72, 0.14, 0.12, 0.02)
#: Seconds of an exposure and its overhead.
_STEP_S = 40.0


@dataclass(frozen=True, slots=True)
class SurveyNight:
    """Which night is drawn."""

    merger_mjd: float
    """Time of the merger whose kilonova is hidden, MJD in days."""
    night: int
    """Whole days of the MJD (UTC) on which the night falls."""
    alerts: int
    """How many, exactly."""
    seed: int
    """The same seed and merger give the same sky on every night."""


#: Number of the field of a kilonova south of the grid; the grid's are higher.
_SOUTHERN = 199
#: Names of one seed, and how many seeds have names of their own.
_NAMES, _SEEDS = 15_000_000, 500


@dataclass(frozen=True, eq=False)
class _Field:
    number: int
    ra: float
    dec: float


@dataclass(frozen=True, eq=False)
class _Objects:
    """Lasting objects of a field, arrays of shape (N,)."""

    field: _Field
    kind: IntArray
    ra: FloatArray
    dec: FloatArray
    base: FloatArray
    """Mean magnitude of the difference, or the peak's."""
    amplitude: FloatArray
    period: FloatArray
    phase: FloatArray
    start: FloatArray
    """First light of a supernova or flare, MJD."""
    first: FloatArray
    """First detection ever of a star or nucleus, MJD."""
    score: FloatArray
    """How star-like the nearest source is."""
    near: FloatArray
    """Its separation, arcsec."""


def night_of_alerts(what: SurveyNight, kilonova: SimulatedKilonova, name: str) -> Iterator[dict[str, Any]]:
    """Records of a night's alerts by time of the exposure, `what.alerts` of them; memory stays that of some fields.

    Args:
        what: the night.
        kilonova: hidden among them; it gives no alert where it is too faint or not there yet.
        name: the survey's name of it.
    """
    plan = _Plan(what, kilonova)
    fields = plan.fields(what.night)
    visits = 2 * len(fields)
    visit = 0
    for low in range(0, len(fields), _BLOCK):
        block = [(field, _objects(what, field)) for field in fields[low : low + _BLOCK]]
        for band in (1, 2):
            for field, objects in block:
                quota = what.alerts * (visit + 1) // visits - what.alerts * visit // visits
                hidden = (kilonova, name) if field.number == plan.home.number else None
                yield from _visit(what, plan, objects, band, hidden, quota)
                visit += 1


class _Plan:
    """Which fields are visited on which night, and when."""

    def __init__(self, what: SurveyNight, kilonova: SimulatedKilonova) -> None:
        self._what = what
        grid = []
        for row in range(int((90 - _SOUTH_DEG) / _FIELD_DEG)):
            dec = _SOUTH_DEG + _FIELD_DEG * (row + 0.5)
            columns = max(1, math.ceil(360 * math.cos(math.radians(dec)) / _FIELD_DEG))
            grid += [(360.0 * (column + 0.5) / columns, dec) for column in range(columns)]
        every = [_Field(200 + number, ra, dec) for number, (ra, dec) in enumerate(grid)]
        home = max(every, key=lambda field: _cosine(field.ra, field.dec, kilonova.ra, kilonova.dec))
        if _cosine(home.ra, home.dec, kilonova.ra, kilonova.dec) < math.cos(math.radians(_FIELD_DEG)):
            # South of what the telescope sees: a field of its own, since somebody wants to see how it is found.
            home = _Field(_SOUTHERN, kilonova.ra, kilonova.dec)
            every.append(home)
        self.home = home
        """The field of the kilonova, visited on every night."""
        self._others = [field for field in every if field.number != home.number]
        self._number = max(1, min(_MOST_FIELDS, what.alerts // (2 * _PER_VISIT), len(every)))
        self._places: dict[int, dict[int, int]] = {}

    def fields(self, night: int) -> list[_Field]:
        """Fields of a night in the order in which they are visited."""
        rng = np.random.default_rng([self._what.seed, night])
        chosen = rng.choice(len(self._others), size=self._number - 1, replace=False)
        return sorted([self.home, *(self._others[i] for i in chosen)], key=lambda field: field.number)

    def time(self, night: int, field: _Field, band: int) -> float | None:
        """When a field is visited in a band (MJD, days); None if it is not that night. Long before the event, every second night."""
        start = night + _FIRST_HOUR / 24
        step = min(_STEP_S / 86400, _NIGHT_HOURS / 24 / (2 * self._number))
        if night < self._what.merger_mjd - 1:
            if (night + field.number) % _CADENCE_DAYS:
                return None
            return start + (field.number % _MOST_FIELDS) * step + 0.03 * (band - 1)
        if night not in self._places:
            self._places[night] = {one.number: place for place, one in enumerate(self.fields(night))}
        place = self._places[night].get(field.number)
        if place is None:
            return None
        block, within = divmod(place, _BLOCK)
        size = min(_BLOCK, self._number - block * _BLOCK)
        return start + (2 * block * _BLOCK + (band - 1) * size + within) * step


def _cosine(ra: float, dec: float, other_ra: float, other_dec: float) -> float:
    a, b, c = (math.radians(x) for x in (dec, other_dec, ra - other_ra))
    return math.sin(a) * math.sin(b) + math.cos(a) * math.cos(b) * math.cos(c)


def _scattered(rng: np.random.Generator, field: _Field, n: int) -> tuple[FloatArray, FloatArray]:
    dec = np.clip(field.dec + rng.uniform(-0.5, 0.5, n) * _FIELD_DEG, -89.99, 89.99)
    ra = (field.ra + rng.uniform(-0.5, 0.5, n) * _FIELD_DEG / np.cos(np.radians(dec))) % 360.0
    return np.round(ra, 7), np.round(dec, 7)


def _objects(what: SurveyNight, field: _Field) -> _Objects:
    rng = np.random.default_rng([what.seed, 1, field.number])
    n = math.ceil(_PER_VISIT * 1.3 * _LASTING)
    ra, dec = _scattered(rng, field, n)
    kind = rng.choice(len(_KINDS), size=n, p=_SHARES).astype(np.int64)
    star, nucleus, supernova, flare = (kind == k for k in range(len(_KINDS)))
    base = np.select([star, nucleus, supernova], [rng.uniform(15, 20.4, n), rng.uniform(18, 20.6, n), rng.uniform(17.8, 20.2, n)], rng.uniform(17, 20, n))  # fmt: skip
    # A night of its own for every flare; supernovae before and after the merger, evenly.
    start = np.where(flare, what.merger_mjd + rng.uniform(0, 12, n), what.merger_mjd + rng.uniform(-60, 12, n))
    return _Objects(
        field, kind, ra, dec, base,
        amplitude=np.where(star, rng.uniform(0.05, 0.6, n), np.where(nucleus, 0.15, 0.0)),
        period=np.exp(rng.uniform(math.log(0.2), math.log(300), n)),
        phase=rng.uniform(0, 2 * math.pi, n),
        start=start,
        first=what.merger_mjd - rng.uniform(200, 2000, n),
        score=np.where(star | flare, rng.uniform(0.7, 1.0, n), rng.uniform(0.0, 0.35, n)),
        near=np.where(star | flare, rng.uniform(0.0, 0.8, n), np.where(nucleus, rng.uniform(0, 0.5, n), rng.uniform(0.5, 8, n))),
    )  # fmt: skip


def _magnitudes(objects: _Objects, mjd: float, band: int) -> FloatArray:
    """True magnitudes at a time, shape (N,); infinite where there is no light."""
    star, _, supernova, _ = (objects.kind == k for k in range(len(_KINDS)))
    age = mjd - objects.start
    periodic = objects.amplitude * np.sin(2 * math.pi * mjd / objects.period + objects.phase)
    # A rise of 15 days as t², then 0.04 (g: 0.07) mag a day.
    safe = np.maximum(age, 1e-3)
    rising = -2.5 * np.log10(np.minimum(safe / 15.0, 1.0) ** 2)
    fading = np.maximum(safe - 15.0, 0.0) * (0.07 if band == 1 else 0.04)
    fresh = np.where(supernova, objects.base + rising + fading, objects.base + safe * 60.0)
    lasting = objects.base + periodic + np.where(star, 0.0, 0.2 * (band == 2))
    return np.where(objects.kind <= 1, lasting, np.where(age > 0, fresh, np.inf))


@dataclass(frozen=True, eq=False)
class _Exposure:
    """Some objects measured at one time, arrays of shape (N,)."""

    jd: float
    band: int
    depth: float
    flux: FloatArray
    """Counts; negative ones are noise."""
    noise: FloatArray

    @property
    def seen(self) -> np.ndarray:
        """Whether each is a detection."""
        return self.flux > 5 * self.noise

    def magnitude(self, i: int) -> float:
        return _ZERO_POINT[self.band] - 2.5 * math.log10(float(self.flux[i]))

    def error(self, i: int) -> float:
        return 1.0857 * float(self.noise[i]) / float(self.flux[i])


def _measured(rng: np.random.Generator, truth: FloatArray, mjd: float, band: int, depth: float) -> _Exposure:
    zero = _ZERO_POINT[band]
    true = np.where(np.isfinite(truth), 10 ** (-0.4 * (np.where(np.isfinite(truth), truth, 99.0) - zero)), 0.0)
    noise = np.hypot(10 ** (-0.4 * (depth - zero)) / 5.0, 0.02 * true)
    return _Exposure(mjd + JD_OF_MJD_ZERO, band, depth, true + noise * rng.normal(0, 1, len(truth)), noise)


def _visit(
    what: SurveyNight,
    plan: _Plan,
    objects: _Objects,
    band: int,
    hidden: tuple[SimulatedKilonova, str] | None,
    quota: int,
) -> Iterator[dict[str, Any]]:
    """The alerts of one exposure, the kilonova's first."""
    field = objects.field
    history = _history(what, plan, objects, band, hidden)
    now = history[-1]
    pid = _pid(now)
    sent = 0
    everything = [*([-1] if hidden is not None else []), *range(len(objects.ra))]
    wanted = int(quota * _LASTING) + (hidden is not None)
    for i in everything:
        if sent >= wanted or sent >= quota:
            break
        # The kilonova is the last of the measured objects.
        if now.seen[i]:
            sent += 1
            yield _lasting(what, objects, i, history, pid * 1_000_000_000 + sent, hidden)
    rng = np.random.default_rng([what.seed, 3, field.number, what.night, band])
    rest = quota - sent
    ra, dec = _scattered(rng, field, rest)
    for k in range(rest):
        yield _passing(rng, what, now, field, pid, sent + k + 1, float(ra[k]), float(dec[k]))


def _history(
    what: SurveyNight, plan: _Plan, objects: _Objects, band: int, hidden: tuple[SimulatedKilonova, str] | None
) -> list[_Exposure]:
    """Exposures of a field up to the one in this band tonight, by time. The noise of each follows from its day and band alone."""
    field = objects.field
    found = []
    for day in range(what.night - _HISTORY_DAYS, what.night + 1):
        for other in (1, 2):
            when = plan.time(day, field, other)
            if when is None or (day == what.night and other > band):
                continue
            truth = _magnitudes(objects, when, other)
            if hidden is not None:
                t, k = np.array([when - what.merger_mjd]), np.array([other - 1], dtype=np.int64)
                light = hidden[0].magnitudes(t, k) if t[0] > 0 else np.array([np.inf])
                truth = np.append(truth, light)
            # The region of an event is searched with longer exposures.
            depth = _DEPTH[other] + (_DEEP if hidden is not None and when > what.merger_mjd else 0.0)
            rng = np.random.default_rng([what.seed, 2, field.number, day, other])
            found.append(_measured(rng, truth, when, other, depth))
    return sorted(found, key=lambda exposure: exposure.jd)


def _lasting(
    what: SurveyNight,
    objects: _Objects,
    i: int,
    history: list[_Exposure],
    candid: int,
    hidden: tuple[SimulatedKilonova, str] | None,
) -> dict[str, Any]:
    """The record of an object that was there before or stays; `i` is -1 for the hidden one."""
    now, field = history[-1], objects.field
    if i < 0 and hidden is not None:
        name, ra, dec = hidden[1], hidden[0].ra, hidden[0].dec
        score, near, first = 0.05, 6.0, math.inf
    else:
        # Of another seed, or another field in the south, the same number is another place: a name belongs to one object.
        slot = field.number if field.number > _SOUTHERN else int(field.ra / 360 * _SOUTHERN)
        number = what.seed % _SEEDS * _NAMES + slot * 10_000 + i
        name = f"ZTF{17 + objects.field.number % 8}{_letters(number)}"
        ra, dec = float(objects.ra[i]), float(objects.dec[i])
        score, near = float(objects.score[i]), float(objects.near[i])
        first = float(objects.first[i]) if objects.kind[i] <= 1 else math.inf
    where = np.random.default_rng([candid % 2**32, 7]).normal(0, 0.1 / 3600, 2)
    previous = []
    forced = []
    for exposure in history[:-1]:
        pid = _pid(exposure)
        entry: dict[str, Any] = {
            "jd": exposure.jd, "fid": exposure.band, "pid": pid, "diffmaglim": exposure.depth, "programid": 1,
            "field": field.number, "rcid": 0, "nid": pid // 10_000, "magzpsci": _ZERO_POINT[exposure.band],
        }  # fmt: skip
        if exposure.seen[i]:
            entry |= {
                "candid": pid * 1_000_000_000 + 1, "isdiffpos": "t", "ra": ra, "dec": dec,
                "magpsf": exposure.magnitude(i), "sigmapsf": exposure.error(i), "rb": 0.9,
            }  # fmt: skip
            first = min(first, exposure.jd - JD_OF_MJD_ZERO)
        previous.append(entry)
        forced.append(
            {
                "jd": exposure.jd, "fid": exposure.band, "pid": pid, "rfid": field.number, "programid": 1, "ranr": ra,
                "decnr": dec, "field": field.number, "rcid": 0, "magzpsci": _ZERO_POINT[exposure.band],
                "forcediffimflux": float(exposure.flux[i]), "forcediffimfluxunc": float(exposure.noise[i]),
                "diffmaglim": exposure.depth, "procstatus": "0", "exptime": 30.0,
            }
        )  # fmt: skip
    first = min(first, now.jd - JD_OF_MJD_ZERO)
    candidate = _candidate(now, field, candid, now.magnitude(i), now.error(i))
    candidate |= {
        "ra": ra + float(where[0]) / math.cos(math.radians(dec)), "dec": dec + float(where[1]), "rb": 0.85, "drb": 0.99,
        "sgscore1": score, "distpsnr1": near, "ssdistnr": -999.0, "ssmagnr": -999.0, "ssnamenr": "null",
        "jdstarthist": first + JD_OF_MJD_ZERO, "jdendhist": now.jd,
        "ndethist": 1 + sum("candid" in entry for entry in previous), "ncovhist": 1 + len(previous),
    }  # fmt: skip
    if first < what.night - _HISTORY_DAYS:
        candidate["ndethist"] += 20
    return {
        "objectId": name, "candid": candid, "candidate": candidate, "prv_candidates": previous, "fp_hists": forced,
    }  # fmt: skip


def _passing(
    rng: np.random.Generator,
    what: SurveyNight,
    now: _Exposure,
    field: _Field,
    pid: int,
    number: int,
    ra: float,
    dec: float,
) -> dict[str, Any]:
    """The record of an asteroid or an artefact: seen once, without a history."""
    candid = pid * 1_000_000_000 + number
    asteroid = rng.random() < _ASTEROIDS / (1 - _LASTING)
    magnitude = float(rng.uniform(17.0, now.depth))
    candidate = _candidate(now, field, candid, magnitude, min(0.2, 0.02 + 0.2 * 10 ** (0.4 * (magnitude - now.depth))))
    candidate |= {
        "ra": ra, "dec": dec, "jdstarthist": now.jd, "jdendhist": now.jd, "ndethist": 1, "ncovhist": 20,
        "sgscore1": float(rng.uniform(0, 1)), "distpsnr1": float(rng.uniform(3, 20)),
        "isdiffpos": "t" if asteroid or rng.random() < 0.5 else "f",
        "rb": float(rng.uniform(0.6, 1.0) if asteroid else rng.uniform(0.0, 0.4)),
        "drb": float(rng.uniform(0.9, 1.0) if asteroid else rng.uniform(0.0, 0.25)),
        "ssdistnr": float(rng.exponential(1.0)) if asteroid else -999.0,
        "ssmagnr": magnitude if asteroid else -999.0,
        "ssnamenr": str(int(rng.integers(1, 600_000))) if asteroid else "null",
    }  # fmt: skip
    name = f"ZTF{what.night % 100:02d}{_letters(int(rng.integers(0, 26**7)))}"
    return {"objectId": name, "candid": candid, "candidate": candidate, "prv_candidates": None, "fp_hists": None}


def _candidate(now: _Exposure, field: _Field, candid: int, magnitude: float, error: float) -> dict[str, Any]:
    """Fields that every alert of an exposure has."""
    pid = candid // 1_000_000_000
    return {
        "jd": now.jd, "fid": now.band, "pid": pid, "candid": candid, "diffmaglim": now.depth, "programid": 1,
        "isdiffpos": "t", "field": field.number, "rcid": 0, "nid": pid // 10_000, "magpsf": magnitude, "sigmapsf": error,
        "magap": magnitude, "sigmagap": error, "distnr": 5.0, "magnr": 21.0, "fwhm": 2.2, "classtar": 0.9, "nbad": 0,
        "nneg": 0, "elong": 1.1, "ranr": field.ra, "decnr": field.dec, "nmtchps": 5, "rfid": field.number * 1_000_000 + now.band,
        "jdstartref": 2458100.5, "jdendref": 2458300.5, "nframesref": 15, "magzpsci": _ZERO_POINT[now.band],
        "exptime": 30.0, "rbversion": "simulated", "drbversion": "simulated",
    }  # fmt: skip


def _pid(exposure: _Exposure) -> int:
    """Number of an exposure, by its time to 9 s: two of a night are 40 s apart."""
    return int((exposure.jd - JD_OF_MJD_ZERO - 57754) * 10_000)


def _letters(number: int) -> str:
    """Seven letters, as in names of ZTF's objects."""
    out = ""
    for _ in range(7):
        number, rest = divmod(number, 26)
        out = chr(97 + rest) + out
    return out
