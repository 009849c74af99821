"""Why an alert is no candidate: each criterion at its very threshold, one alert as many, and nothing dropped for what is unknown."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_pipeline.notices.surveys import FluxPoint, PacketFacts, SolarSystemMatch
from mma_pipeline.science.surveys.many import BEFORE, KEPT, REASONS, AlertColumns, vet_rows
from mma_pipeline.science.surveys.vetting import Reason, Thresholds, detected_before, vet

T0 = 60083.5
LIMITS = Thresholds()
GOOD = PacketFacts(real_bogus=0.9, real_bogus_kind="drb", star_score=0.1, star_distance_arcsec=0.4, first_mjd=T0 + 0.3)


def point(mjd: float, snr: float = 10.0, error: float | None = 100.0) -> FluxPoint:
    """A detection of that signal to noise."""
    return FluxPoint(mjd, "ztfr", snr * (error or 100.0), error, 20.5, "alert")


NOW = (point(T0 + 0.3),)


def star(score: float | None, distance: float | None) -> PacketFacts:
    """Facts of a good alert beside a catalog source."""
    return replace(GOOD, star_score=score, star_distance_arcsec=distance)


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        (GOOD, None),
        (PacketFacts(), None),
        (replace(GOOD, is_negative=True), Reason.NEGATIVE),
        (replace(GOOD, real_bogus=0.2999), Reason.BOGUS),
        (replace(GOOD, real_bogus=0.3), None),
        (star(0.77, 1.5), Reason.STAR),
        (star(0.77, None), Reason.STAR),
        (star(0.77, 1.6), None),
        (star(0.76, 0.1), None),
        (star(None, 0.1), None),
        (replace(GOOD, solar_system=SolarSystemMatch("2012 AB1", 5.0)), Reason.SOLAR_SYSTEM),
        (replace(GOOD, solar_system=SolarSystemMatch(None, None)), Reason.SOLAR_SYSTEM),
        (replace(GOOD, solar_system=SolarSystemMatch("2012 AB1", 5.1)), None),
        (replace(GOOD, first_mjd=T0 - 0.011), Reason.EARLIER),
        (replace(GOOD, first_mjd=T0 - 0.009), None),
        (replace(GOOD, first_mjd=T0 - 2000.0), Reason.EARLIER),
        (replace(GOOD, is_negative=True, real_bogus=0.0, first_mjd=T0 - 9), Reason.NEGATIVE),
    ],
)
def test_each_criterion_at_its_threshold(facts: PacketFacts, expected: Reason | None):
    """An alert is kept out for what its packet says, at the threshold's very value, and for nothing that it leaves open."""
    assert vet("ztf", facts, NOW, T0, LIMITS) == expected


def test_the_score_of_each_survey_has_its_own_threshold():
    """0.4 is real for ZTF and not for Rubin; a survey without a threshold has all its alerts taken for real."""
    facts = replace(GOOD, real_bogus=0.4)
    assert vet("ztf", facts, NOW, T0, LIMITS) is None
    assert vet("lsst", facts, NOW, T0, LIMITS) == Reason.BOGUS
    assert vet("lsst", facts, NOW, T0, Thresholds(real_bogus={"ztf": 0.9})) is None


@pytest.mark.parametrize(
    ("earlier", "expected"),
    [
        (point(T0 - 1.0, 5.0), T0 - 1.0),
        (point(T0 - 1.0, 4.99), None),
        (point(T0 - 1.0, -20.0), None),
        (point(T0 - 0.0099, 50.0), None),
        (point(T0 - 0.0101, 50.0), T0 - 0.0101),
        (point(T0 - 1.0, 50.0, None), None),
        (FluxPoint(T0 - 1.0, "ztfr", None, None, 20.5, "limit"), None),
        (FluxPoint(T0 - 1.0, "ztfr", math.nan, 1.0, 20.5, "forced"), None),
    ],
)
def test_a_light_curve_that_begins_before_the_event(earlier: FluxPoint, expected: float | None):
    """A detection of signal to noise 5 before the event keeps an object out; a limit, noise and a dip do not."""
    assert detected_before((earlier, *NOW), GOOD.first_mjd, T0, LIMITS) == expected
    assert vet("ztf", GOOD, (earlier, *NOW), T0, LIMITS) == (None if expected is None else Reason.EARLIER)


def test_how_far_back_a_detection_counts():
    """With a look-back, what is older says nothing; without one, all history counts."""
    old = (point(T0 - 101.0), *NOW)
    assert vet("ztf", GOOD, old, T0, LIMITS) == Reason.EARLIER
    assert vet("ztf", GOOD, old, T0, Thresholds(look_back_days=100.0)) is None
    facts = replace(GOOD, first_mjd=T0 - 101.0)
    assert vet("ztf", facts, NOW, T0, Thresholds(look_back_days=100.0)) is None


_maybe = st.one_of(st.none(), st.floats(0, 1))
_arcsec = st.one_of(st.none(), st.floats(0, 10))
_facts = st.builds(
    PacketFacts,
    real_bogus=_maybe,
    star_score=_maybe,
    star_distance_arcsec=_arcsec,
    solar_system=st.one_of(st.none(), st.builds(SolarSystemMatch, st.none(), _arcsec)),
    is_negative=st.booleans(),
    first_mjd=st.one_of(st.none(), st.floats(T0 - 5, T0 + 1)),
)
_alert = st.tuples(
    st.sampled_from(["ztf", "lsst"]), st.integers(0, 4), st.floats(T0 - 2, T0 + 2), st.floats(-20, 20), _facts
)


@given(st.lists(_alert, max_size=30), st.one_of(st.none(), st.floats(0.1, 3.0)))
def test_many_at_once_are_decided_as_one_by_one(alerts, look_back):
    """The decision over arrays is that of every alert by itself, its object's other alerts being its light curve."""
    limits = Thresholds(look_back_days=look_back)

    def column(values) -> np.ndarray:
        return np.array([math.nan if value is None else value for value in values], dtype=float)

    facts = [a[4] for a in alerts]
    near = [f.solar_system for f in facts]
    columns = AlertColumns(
        survey=np.array([a[0] for a in alerts], dtype=str),
        object_number=np.array([a[1] for a in alerts], dtype=np.int64),
        mjd=column(a[2] for a in alerts),
        flux_njy=column(a[3] for a in alerts),
        flux_error_njy=np.ones(len(alerts)),
        real_bogus=column(f.real_bogus for f in facts),
        star_score=column(f.star_score for f in facts),
        star_distance_arcsec=column(f.star_distance_arcsec for f in facts),
        solar_system=np.array([n is not None for n in near], dtype=bool),
        solar_system_arcsec=column(None if n is None else n.distance_arcsec for n in near),
        is_negative=np.array([f.is_negative for f in facts], dtype=bool),
        first_mjd=column(f.first_mjd for f in facts),
    )
    expected = []
    for survey, number, mjd, _, own in alerts:
        curve = [FluxPoint(a[2], "ztfr", a[3], 1.0, None, "alert") for a in alerts if a[1] == number]
        reason = vet(survey, own, curve, T0, limits)
        expected.append(BEFORE if mjd < T0 else KEPT if reason is None else REASONS.index(reason))
    assert vet_rows(columns, T0, limits).tolist() == expected
