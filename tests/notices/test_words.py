"""Numbers as people write them."""

from __future__ import annotations

from mma_pipeline.notices.words import area, chance, false_alarms_in_words, seconds, share


def test_probabilities_for_people() -> None:
    """0 and 100 % are only what is exactly that, small ones are one in so many, and none is a power of ten of nothing."""
    shares = (None, 0.0, 1e-116, 0.0004, 0.0006, 0.034, 0.5, 0.994, 0.9996, 1.0)
    said = ["", "0 %", "<0.1 %", "<0.1 %", "0.1 %", "3.4 %", "50 %", "99.4 %", ">99.9 %", "100 %"]
    assert [share(value) for value in shares] == said
    chances = (None, 0.0, 5e-324, 1e-9, 1 / 3200, 0.0191, 0.5)
    said = ["", "0 %", "1 in more than 10^300", "1 in 10^9", "1 in 3,200", "1.9 %", "50 %"]
    assert [chance(value) for value in chances] == said
    assert false_alarms_in_words(3.218e-10) == "one false alarm in 98 years"
    assert false_alarms_in_words(1e-3) == "several false alarms an hour"
    assert false_alarms_in_words(None) == ""
    assert [area(value) for value in (None, 0.0412, 9.06, 27.97, 1771.4)] == ["", "0.04", "9.1", "28", "1,771"]
    assert [seconds(value) for value in (-1.7, 78.4, 720.0, 12_240.0)] == ["1.7 s", "78 s", "12 min", "3.4 h"]
