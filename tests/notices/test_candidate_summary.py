"""What a message says of a candidate: when the posterior contradicts the light curve, and why."""

from __future__ import annotations

from typing import Any

import pytest

from mma_pipeline.adapters.publishing.rules import Rule
from mma_pipeline.notices import derived
from mma_pipeline.notices.candidate_summary import contradiction

#: SN 2019bkc as it was once published: a fast supernova far behind the event.
SN2019BKC: dict[str, Any] = {
    "p_phot": 0.964, "posterior": 0.005, "prior": 0.1, "sky_factor": 0.0017, "sky_factor_dimensions": 3
}  # fmt: skip


def test_a_contradiction_is_said_with_what_moved_it() -> None:
    """0.964 by the light curve and 0.005 in the end: the message says so, and that place and distance did it."""
    said = contradiction(SN2019BKC)
    assert said is not None
    assert "p_phot is 0.964, the posterior 0.005" in said
    assert "sky factor 0.0017 by position and distance" in said
    assert "prior 0.1" in said


@pytest.mark.parametrize(
    "score",
    [
        {"p_phot": 0.964, "posterior": 0.9, "vetted_probability": 0.9},
        {"p_phot": 0.3, "posterior": 0.005},
        {"p_phot": 0.964, "posterior": None, "vetted_probability": 0.964},
        {"p_phot": 0.964},
    ],
)
def test_agreement_says_nothing(score: dict[str, Any]) -> None:
    """Both on one side of one half, or nothing but the light curve: no contradiction."""
    assert contradiction(score) is None


def test_vetting_may_contradict() -> None:
    """A reason that counts is named, one that is switched off is not; a rise is a contradiction too."""
    star = {"check": "star", "factor": 0.001, "words": "a star", "counted": True}
    off = {"check": "agn", "factor": 0.01, "words": "a quasar", "counted": False}
    score = {"p_phot": 0.98, "posterior": 0.97, "vetted_probability": 0.03, "vetting": {"verdicts": [star, off]}}
    said = contradiction(score)
    assert said is not None
    assert "after vetting 0.03" in said
    assert "a star" in said
    assert "quasar" not in said
    rise = contradiction({"p_phot": 0.3, "posterior": 0.99, "sky_factor": 2000.0, "sky_factor_dimensions": 2})
    assert rise is not None
    assert "sky factor 2,000 by position" in rise


def test_rules_judge_by_all_that_is_known() -> None:
    """`posterior_min` takes the probability after vetting, else the posterior, else the light curve's."""
    rule = Rule.from_mapping({"posterior_min": 0.5}, "test")
    for known, passed in (
        ({}, True),
        ({"posterior": 0.1}, False),
        ({"posterior": 0.9, "vetted_probability": 0.01}, False),
        ({"posterior": 0.1, "vetted_probability": 0.6}, True),
    ):
        score = derived.CandidateScore("X", 1.0, 1.0, 60000.0, 0.9, 0.1, **known)
        alert = derived.DerivedAlert(derived.DerivedKind.CANDIDATE, "S230518h", candidate=score)
        assert all(reason.passed for reason in rule.judge(alert)) is passed
        assert alert.schema == "mma.derived-alert/2.0"
    assert derived.DerivedAlert(
        derived.DerivedKind.CANDIDATE,
        "S230518h",
        candidate=derived.CandidateScore("X", 1, 1, 6e4, 0.0, 1.0, p_phot=0.0),
    ).schema.endswith("2.1")
