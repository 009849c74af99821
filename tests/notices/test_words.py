"""Numbers as people write them."""

from __future__ import annotations

import pytest

from mma_pipeline.notices.words import (
    area,
    chance,
    counted,
    degrees,
    false_alarm,
    false_alarms_in_words,
    figure,
    in_ascii,
    many,
    seconds,
    share,
    typeset,
)


def test_probabilities_for_people() -> None:
    """0 and 100 % are only what is exactly that, small ones are one in so many, and none is a power of ten of nothing."""
    shares = (None, 0.0, 1e-116, 0.0004, 0.0006, 0.034, 0.5, 0.994, 0.9996, 1.0)
    said = ["", "0 %", "<0.1 %", "<0.1 %", "0.1 %", "3.4 %", "50 %", "99.4 %", ">99.9 %", "100 %"]
    assert [share(value) for value in shares] == said
    chances = (None, 0.0, 5e-324, 1e-9, 1 / 3200, 0.0191, 0.5)
    said = ["", "0 %", "1 in more than 10³⁰⁰", "1 in 1 billion", "1 in 3,200", "1.9 %", "50 %"]
    assert [chance(value) for value in chances] == said
    assert false_alarms_in_words(3.218e-10) == "one false alarm in 98 years"
    assert false_alarms_in_words(1e-3) == "3.6 false alarms an hour"
    assert false_alarms_in_words(None) == ""
    assert [area(value) for value in (None, 1e-14, 0.0, 0.0412, 9.06, 9.97, 27.97, 6129.6)] == [
        "", "<0.001", "0.0", "0.04", "9.1", "10", "28", "6,130",
    ]  # fmt: skip
    said = ["1.7 s", "78 s", "12 min", "3.4 h", "71.0 h", "21 days"]
    assert [seconds(value) for value in (-1.7, 78.4, 720.0, 12_240.0, 71 * 3600.0, 21 * 86_400.0)] == said
    assert degrees(150.123456, -0.5, 2) == "150.12 -0.50 deg"


def test_figures_as_people_write_them() -> None:
    """Three digits, thousands with commas, powers of ten as such; the smallest number is not zero."""
    assert [figure(value) for value in (5e-324, 1.004e-116, 0.01234, 6.125, 1240.4, 3170.4, 8.2e9)] == [
        "5 × 10⁻³²⁴", "1 × 10⁻¹¹⁶", "0.0123", "6.12", "1,240", "3,170", "8.2 × 10⁹",
    ]  # fmt: skip
    assert (figure(None), figure(True), figure([1.0, "a"])) == ("", "yes", "1, a")
    assert typeset("6.69e-13 Hz") == "6.69 × 10⁻¹³ Hz"


def test_large_numbers() -> None:
    """Two digits, rounded and never cut, in words up to a million millions; the next unit where rounding reaches it."""
    years = 365.25 * 86_400
    said = {
        3_234: "3,200", 5.1e7: "51 million", 9.96e8: "1 billion", 4.7e10: "47 billion", 9.97e11: "10¹²", 5.14e13: "5.1 × 10¹³",
        1e23: "10²³", 1e112: "10¹¹²",
    }  # fmt: skip
    assert {value: many(value) for value in said} == said
    for value, words in said.items():
        assert false_alarm(1 / (value * years)) == f"one in {words} years"
    assert [false_alarm(hz) for hz in (139.0, 0.5, 1 / 3600)] == ["140 a second", "30 a minute", "one in 1.0 hours"]
    assert in_ascii(f"{false_alarm(1 / (5.14e13 * years))}, 28 deg², E⁻², +20°") == (
        "one in 5.1 x 10^13 years, 28 deg^2, E^-2, +20 deg"
    )


@pytest.mark.parametrize(
    ("number", "words", "said"),
    [
        (0, ("message",), "0 messages"),
        (1, ("message",), "1 message"),
        (2000, ("message",), "2,000 messages"),
        (1, ("list of galaxies", "lists of galaxies"), "1 list of galaxies"),
        (2, ("list of galaxies", "lists of galaxies"), "2 lists of galaxies"),
    ],
)
def test_one_is_no_plural(number: int, words: tuple[str, ...], said: str) -> None:
    """One thing is in the singular, none and several in the plural."""
    assert counted(number, *words) == said
