"""What a notice says of the source, in words: real alerts of every kind of search."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_pipeline.notices.source_words import (
    chirp_mass_words,
    class_words,
    narrowest,
    no_source_words,
    percent,
    property_words,
    source_words,
)
from mma_pipeline.products.ingest import parse_alert
from tests.alerts import REAL_FOLDER

NOTICES = REAL_FOLDER.parent / "notices"
needs_alerts = pytest.mark.skipif(not REAL_FOLDER.exists(), reason=f"no real alerts: {REAL_FOLDER} is not there")
#: Three bins hold it: 1.0 to 1.3 solar masses 84 %, the rest below.
HISTOGRAM = {"bin_edges_msun": [0.87, 1.0, 1.1, 1.2, 1.3, 1.4], "probabilities": [0.06, 0.14, 0.4, 0.3, 0.1]}


@needs_alerts
@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "S230518h-UPDATE*",
            (
                "NSBH 86 %, Terrestrial 10 %, BBH 4 %, BNS 0 %",
                "contains a neutron star >99 %, ejecta 0 %, a component of 3 to 5 solar masses 1 %",
            ),
        ),
        (
            "MS260605l-preliminary*",
            (
                "BNS >99 %, Terrestrial <1 %, BBH 0 %, NSBH 0 %",
                "contains a neutron star 100 %, ejecta 100 %, a component of 3 to 5 solar masses 0 %",
            ),
        ),
        (
            "S240112e-PRELIMINARY-2024-01-12T010901Z*",
            (
                "burst of 0.0114 s at 38.5 Hz",
                "no class is stated: a burst search states none",
                "a burst search assumes no kind of source and states no HasRemnant",
            ),
        ),
        ("MS260605l-retraction*", ()),
    ],
)
def test_real_alerts_in_words(name: str, words: tuple[str, ...]) -> None:
    """What LIGO/Virgo/KAGRA sent for a merger, a mock of June 2026, a burst and a retraction, as people read it."""
    (path,) = REAL_FOLDER.glob(name)
    for _, facts in parse_alert(path.read_bytes()):
        assert source_words(facts) == words


@pytest.mark.skipif(not NOTICES.exists(), reason=f"no notices: {NOTICES} is not there")
def test_chirp_mass_as_sent() -> None:
    """The histogram of a real sub-solar-mass notice: all of it below 0.87 solar masses."""
    sent = json.loads((NOTICES / "mchirp_source.json").read_text())
    histogram = {"bin_edges_msun": sent["bin_edges"], "probabilities": sent["probabilities"]}
    assert chirp_mass_words(histogram) == "chirp mass 0.1-0.87 solar masses: 100 %"


def test_chirp_mass_names_the_narrowest_range() -> None:
    """The shortest run of bins in log mass that holds 90 %, with the probability that it does hold."""
    assert chirp_mass_words(HISTOGRAM) == "chirp mass 1-1.4 solar masses: 94 %"
    assert chirp_mass_words({"bin_edges_msun": [1, 2], "probabilities": [0.0]}) == ""
    assert chirp_mass_words({}) == ""


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 1))
def test_the_range_holds_what_it_says(shares: list[float], level: float) -> None:
    """Whatever the histogram, the range holds the level of its total, and loses it without its first or its last bin."""
    edges = [1.0 + i for i in range(len(shares) + 1)]
    found = narrowest(edges, shares, level)
    if found is None:
        assert sum(shares) == 0
        return
    first, last, _ = found
    assert sum(shares[first:last]) >= level * sum(shares) - 1e-6


def test_a_sub_solar_search_says_why_there_is_no_prior() -> None:
    """No class and no HasRemnant are stated, which is said; properties that are stated stand there in words."""
    facts = {
        "time": "2026-06-05T11:57:26",
        "group": "CBC",
        "search": "SSM",
        "classification": {},
        "properties": {"HasSSM": 0.97, "HasNS": 0.4},
    }
    assert source_words(facts) == (
        "contains a neutron star 40 %, a component below one solar mass 97 %",
        "no class is stated: the sub-solar-mass search states none",
        "the sub-solar-mass search states no HasRemnant: what such a merger ejects is not known",
    )
    assert no_source_words(facts | {"properties": {"HasRemnant": 0.0}}) == ""
    assert no_source_words({"group": "CBC", "properties": {}}) == "the notice states no HasRemnant"


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 %"), (1e-9, "<1 %"), (0.005, "<1 %"), (0.0051, "1 %"), (0.5, "50 %"), (0.9999, ">99 %"), (1.0, "100 %")],
)
def test_rounding_makes_nothing_certain(value: float, text: str) -> None:
    """0 % and 100 % are only what is exactly that."""
    assert percent(value) == text


def test_unknown_names_stay() -> None:
    """A property or class that comes tomorrow is shown by its own name."""
    assert property_words({"HasQuarks": 0.25, "HasNS": 1.0}) == "contains a neutron star 100 %, HasQuarks 25 %"
    assert class_words({"SSM": 0.5, "BNS": 0.5}) == "BNS 50 %, SSM 50 %"


def test_a_neutrino_track_in_words() -> None:
    """The probability that a track is astrophysical is a share in per cent, as every probability for people."""
    facts = {"messenger": "neutrinos", "instruments": ["IceCube"], "signal": {"p_astro": 0.9406}}
    assert source_words(facts)[0] == "neutrinos, IceCube: astrophysical with a probability of 94 %"
