"""Fluxes, errors and systems: one rule for what is a detection."""

import math

import pytest

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.brightness import ZERO_POINTS, check_system, is_weak, of_flux, one_error


def test_zero_points():
    """3631 Jy is AB magnitude zero; a nanojansky has 31.4, a microjansky 23.9, as Rubin and ATLAS state."""
    assert ZERO_POINTS["nJy"] == pytest.approx(31.4, abs=1e-3)
    assert ZERO_POINTS["uJy"] == pytest.approx(23.9, abs=1e-3)
    assert of_flux(3631.0, None, ZERO_POINTS["Jy"]).magnitude == pytest.approx(0.0, abs=1e-12)


def test_a_flux_is_a_detection_from_three_sigma():
    """10 ± 2 is a magnitude with an error of 1.0857/5; 5.9, 0 and -8 ± 2 are limits of 10; without an error a sign decides."""
    found = of_flux(10.0, 2.0, 25.0)
    assert found == pytest.approx((22.5, 2.5 / math.log(10) / 5, False))
    for weak in (5.9, 0.0, -8.0):
        assert of_flux(weak, 2.0, 25.0) == (pytest.approx(22.5), None, True)
    assert of_flux(6.0, 2.0, 25.0).upper_limit is False
    assert of_flux(10.0, None, 25.0) == (22.5, None, False)
    for error in (None, 0.0, -1.0):
        with pytest.raises(NoticeError, match="not positive"):
            of_flux(-1.0, error, 25.0)


def test_weak_magnitudes():
    """A magnitude is weak where 1.0857 over its error is below 3; one of unknown error is not."""
    assert [is_weak(e) for e in (None, 0.1, 0.36, 0.37)] == [False, False, False, True]
    assert [is_weak(e, 5.0) for e in (None, 0.2, 0.22)] == [False, False, True]


@pytest.mark.parametrize(
    ("errors", "expected"),
    [((0.1, None, None), 0.1), ((None, 0.2, 0.1), 0.2), ((None, 0.1, 0.3), 0.3), ((None, 0.1, -0.3), 0.3), ((-1.0, None, None), None),
     ((0.0, None, None), None), ((None, None, -0.3), None), ((None, None, 0.3), 0.3), ((None, None, None), None), ((0.2, 0.1, 0.1), 0.2)],
)  # fmt: skip
def test_asymmetric_errors(errors, expected):
    """Of an upper and a lower error the larger counts, with or without its sign; -1 and 0 alone mean unknown."""
    assert one_error(*errors) == expected


def test_systems():
    """AB in its spellings and no system are accepted; any other is refused by its name."""
    for system in (None, "", "AB", "ab", "ABmag", "SDSS"):
        check_system(system)
    for system in ("Vega", "vega", "Bessell", "BD17", "STmag", 7):
        with pytest.raises(NoticeError, match=f"{system} system, not AB"):
            check_system(system)
