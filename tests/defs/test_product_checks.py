"""Checks of products: rounding is no fault, and only what would mislead observers keeps a version from being published."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from mma_pipeline.defs.all_products import PRODUCTS
from mma_pipeline.products.declaration import Severity
from mma_pipeline.science.regions.coverage import credible_coverage, probability_within
from mma_pipeline.science.skymaps.crossmatch import Ranking
from mma_pipeline.science.skymaps.model import decode_skymap
from tests.alerts import fits_map

#: A level as the sum of a real map's rows gave it.
ABOVE_ONE = 1.0000000000000047
BELOW_NOUGHT = -3e-17
CHECKS = {f"{product.name}.{check.name}": check for product in PRODUCTS for check in product.checks}


@pytest.mark.parametrize(
    ("name", "statistics"),
    [
        ("neutrino_coincidence.coincidence_in_range", {"best_track": 1, "best_credible_level": ABOVE_ONE}),
        ("neutrino_coincidence.coincidence_in_range", {"best_track": 1, "best_probability_inside": BELOW_NOUGHT}),
        ("visibility.probabilities_are_shares", {"lat_probability": ABOVE_ONE, "fermi_probability": BELOW_NOUGHT}),
        (
            "version_difference.overlap_within_regions",
            {
                "overlap_90_share": ABOVE_ONE,
                "overlap_90_share_of_before": 1.0,
                "probability_in_90_before": BELOW_NOUGHT,
            },
        ),
        (
            "galaxies.scores_are_shares",
            {"score_listed": ABOVE_ONE, "galaxies_listed": 3, "galaxies_considered": 3},
        ),
        ("coverage.regions_hold_their_level", {"moc_probability_50": 0.5 - 1e-16, "moc_probability_90": 0.9 - 1e-16}),
        ("skymap_statistics.regions_are_nested", {"area_50_deg2": 7.1e-11 * (1 + 1e-15), "area_90_deg2": 7.1e-11}),
    ],
)
def test_rounding_passes(name: str, statistics: dict[str, Any]) -> None:
    """What is out of range by rounding alone fails no check."""
    assert CHECKS[name].test(statistics) is True


@pytest.mark.parametrize("value", [1.001, -0.001, float("nan")])
def test_what_is_no_probability_fails(value: float) -> None:
    """A thousandth too much, too little, or no number at all is a fault."""
    assert CHECKS["neutrino_coincidence.coincidence_in_range"].test({"best_track": 1, "best_p_trials": value}) is False
    assert CHECKS["visibility.probabilities_are_shares"].test({"lat_probability": value}) is False


def test_what_blocks_publication() -> None:
    """Four checks of products block; all others show what is odd, and the version goes out."""
    blocking = {name for name, check in CHECKS.items() if check.severity is Severity.ERROR}
    assert blocking == {
        "skymap.map_is_whole",
        "skymap.map_is_of_this_event",
        "skymap_statistics.regions_are_nested",
        "neutrino_coincidence.coincidence_in_range",
    }


@pytest.mark.parametrize(
    ("statistics", "odd", "blocked"),
    [
        ({"probability_sum": 1.0, "time_offset_s": 0.0}, set(), set()),
        ({"probability_sum": 1.002, "time_offset_s": 0.0}, {"probability_sums_to_one"}, set()),
        (
            {"probability_sum": 0.5, "time_offset_s": None},
            {"probability_sums_to_one", "map_is_whole"},
            {"map_is_whole"},
        ),
        ({"probability_sum": 1.0, "time_offset_s": 18.0}, {"map_and_alert_agree"}, set()),
        (
            {"probability_sum": 1.0, "time_offset_s": -3600.0},
            {"map_and_alert_agree", "map_is_of_this_event"},
            {"map_is_of_this_event"},
        ),
    ],
)
def test_an_odd_map_is_shown_and_another_events_map_blocks(
    statistics: dict[str, Any], odd: set[str], blocked: set[str]
) -> None:
    """A sum of 1.002 or GPS seconds for UTC are said; half a map, or one of another hour, stops publication."""
    failed = {n: c for n, c in CHECKS.items() if n.startswith("skymap.") and c.test(statistics) is False}
    assert {name.partition(".")[2] for name in failed} == odd
    severe = {name.partition(".")[2] for name, c in failed.items() if c.severity is Severity.ERROR}
    assert severe == blocked


@pytest.mark.parametrize("sigma", [3.0, 7.0, 12.0, 20.0])
def test_levels_and_probabilities_are_clipped(sigma: float) -> None:
    """No credible level of any row, and no probability inside any region, leaves 0 to 1 by an ulp."""
    skymap = decode_skymap(fits_map(sigma=sigma, order=8))
    assert Ranking(skymap).searched_prob.max() <= 1.0
    assert np.all(Ranking(skymap).searched_prob >= 0.0)
    for level in (0.5, 0.9, 1.0):
        assert 0.0 <= probability_within(skymap, credible_coverage(skymap, level).moc()) <= 1.0
