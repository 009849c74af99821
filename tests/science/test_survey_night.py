"""An invented night of a survey: as many packets as asked for, in ZTF's format, and a history that agrees from night to night."""

from __future__ import annotations

import io
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import fastavro
import pytest

from mma_pipeline.cli.survey_night import Packet, Region, hidden_name, packets
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.science.skymaps.model import decode_skymap
from tests.adapters.surveys.oracle import needs_packets, packet

ALERTS = 1600


@pytest.fixture(scope="module")
def region() -> Region:
    """The region of a simulated event."""
    merger = datetime(2026, 3, 1, 2, tzinfo=UTC)
    notices = simulate_event("MS260301aa", time=merger, seed=1, distance=80.0, max_order=7)
    skymap = next(n.event.skymap for n in reversed(notices) if n.event is not None and n.event.skymap)
    return Region("MS260301aa", mjd_of_datetime(merger), decode_skymap(skymap), 80.0)


@pytest.fixture(scope="module")
def nights(region: Region) -> list[list[dict[str, Any]]]:
    """The packets of two nights, as fastavro alone reads them."""
    return [records(night(region, after)) for after in (1, 2)]


def night(region: Region, after: int, seed: int = 1) -> list[Packet]:
    """A night of packets without images."""
    return list(packets(region, nights_after=after, alerts=ALERTS, seed=seed, images=False))


def records(found: Iterable[Packet]) -> list[dict[str, Any]]:
    """Packets as fastavro alone reads them."""
    return [next(fastavro.reader(io.BytesIO(one.body))) for one in found]


def test_number_order_and_names(nights: list[list[dict[str, Any]]]):
    """Exactly as many alerts as asked for, by time, each with a number of its own and on the sphere."""
    for found in nights:
        assert len(found) == ALERTS == len({one["candid"] for one in found})
        times = [one["candidate"]["jd"] for one in found]
        assert times == sorted(times)
        assert all(0 <= one["candidate"]["ra"] < 360.001 and abs(one["candidate"]["dec"]) <= 90 for one in found)


def test_same_seed_same_bytes(region: Region):
    """The same arguments give the same bytes; another seed another night."""
    first = [one.body for one in night(region, 1)]
    assert first == [one.body for one in night(region, 1)]
    assert first != [one.body for one in night(region, 1, seed=2)]


def test_history_repeats_what_was_sent(region: Region, nights: list[list[dict[str, Any]]]):
    """A detection in a packet's history is the alert of the night before: same object, time, band and magnitude."""
    sent = {
        (one["objectId"], one["candidate"]["jd"], one["candidate"]["fid"]): one["candidate"]["magpsf"]
        for one in nights[0]
    }
    repeated = {
        (one["objectId"], old["jd"], old["fid"]): old["magpsf"]
        for one in nights[1]
        for old in one["prv_candidates"] or ()
        if old["magpsf"] is not None
    }
    both = sent.keys() & repeated.keys()
    name = hidden_name(region, 1)
    assert {key for key in sent if key[0] == name} <= both
    assert len(both) > 50
    assert all(sent[key] == repeated[key] for key in both)


def test_nothing_of_the_kilonova_before_the_merger(region: Region, nights: list[list[dict[str, Any]]]):
    """Its packets hold no detection from before the merger, and forced fluxes there are noise."""
    found = [one for night in nights for one in night if one["objectId"] == hidden_name(region, 1)]
    assert found
    merger = region.merger_mjd + 2400000.5
    for one in found:
        assert one["candidate"]["jdstarthist"] > merger
        assert all(old["jd"] > merger for old in one["prv_candidates"] if old["magpsf"] is not None)
        before = [f["forcediffimflux"] / f["forcediffimfluxunc"] for f in one["fp_hists"] if f["jd"] < merger]
        assert before
        assert max(before) < 5


@needs_packets
def test_fields_are_those_of_real_packets(nights: list[list[dict[str, Any]]]):
    """A packet has the fields of a real one of schema 4.02, in all its parts."""
    real = next(fastavro.reader(io.BytesIO(packet("ztf/2695378462115010012.avro"))))
    made = next(one for one in nights[0] if one["fp_hists"] and one["prv_candidates"])
    assert made.keys() == real.keys()
    assert made["candidate"].keys() == real["candidate"].keys()
    for part in ("prv_candidates", "fp_hists"):
        assert made[part][0].keys() == real[part][0].keys()
