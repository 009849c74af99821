"""The facts of a detection without its light curve, and what is decided upon them: the same as upon the whole packet."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime

import fastavro
import numpy as np
import pytest

from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.packets import Formats, alert_of
from mma_pipeline.adapters.surveys.schemas import Schemas
from mma_pipeline.products.surveys.judging import judge
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds, vet
from tests.adapters.surveys.oracle import ZTF, decoded, needs_packets, packet, schema_of
from tests.adapters.surveys.test_packets import as_bare_avro, parquet

pytestmark = needs_packets

CONTAINERS = [*(f"ztf/{name}.avro" for name in ZTF), "lsst/fakeAlert_10_0.avro", "lsst/fakeAlert_11_0.avro"]


def rewritten(body: bytes, **changes) -> bytes:
    """A packet of the same schema with other values in its `candidate`, and without history where `prv_candidates` is None."""
    reader = fastavro.reader(io.BytesIO(body))
    schema, record = reader.writer_schema, next(reader)
    history = {k: changes.pop(k) for k in ("prv_candidates",) if k in changes}
    record = {**record, **history, "candidate": {**record["candidate"], **changes}}
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema, [record])
    return buffer.getvalue()


def message(body: bytes, offset: int) -> StreamMessage:
    """A message of a survey's topic."""
    return StreamMessage("survey", "ztf", 0, offset, body, None, (), None, datetime(2026, 1, 1, tzinfo=UTC))


def everywhere(*t0: float) -> RegionIndex:
    """Events whose region is the whole sky."""
    sky = np.array([0]), np.array([12 << 58])
    return RegionIndex([LiveRegion(f"S{n}", "v", time, time + 30.0, *sky) for n, time in enumerate(t0)])


@pytest.mark.parametrize("name", CONTAINERS)
def test_head_point_and_facts_are_those_of_the_whole_packet(name):
    """Place, time, flux and every fact that does not stand behind the light curve are the same without it."""
    body = packet(name)
    form = Formats().format_of(body)
    short, whole = form.detection(body), form.alert(body)
    assert short.head == whole.head == form.head(body)
    (trigger,) = (point for point in whole.points if point.origin == "alert")
    assert [point for point in short.points if point.origin == "alert"] == [trigger]
    later = {} if name.startswith("ztf") else {"first_mjd": whole.facts.first_mjd, "details": whole.facts.details}
    assert replace(short.facts, **later) == whole.facts


def test_a_framed_packet_too(tmp_path):
    """Rubin's real packet, whose schema comes from a folder."""
    body = packet("lsst/7912941781254298_confluent.avro")
    (tmp_path / "900.avsc").write_text(json.dumps(schema_of(packet("lsst/fakeAlert_10_0.avro"))))
    form = Formats(Schemas(None, tmp_path)).format_of(body)
    short, whole = form.detection(body), form.alert(body)
    assert short.head == whole.head
    assert (short.facts.real_bogus, short.facts.is_negative) == (whole.facts.real_bogus, whole.facts.is_negative)
    assert [p for p in short.points if p.origin == "alert"] == [p for p in whole.points if p.origin == "alert"]


def with_history(age: float, *, cut: int = 0) -> bytes:
    """Rubin's real packet with twenty earlier detections, whose object was first detected so many days before."""
    body = packet("lsst/7912941781254298_confluent.avro")
    schema = fastavro.parse_schema(schema_of(packet("lsst/fakeAlert_10_0.avro")))
    record = fastavro.schemaless_reader(io.BytesIO(body[5:]), schema, None)
    source, number = record["diaSource"], record["diaSource"]["diaObjectId"] or 77
    mjd = source["midpointMjdTai"]
    record["diaSource"] = source = {**source, "diaObjectId": number, "isNegative": False, "reliability": 0.99}
    record["diaObject"] = {**record["diaObject"], "diaObjectId": number, "firstDiaSourceMjdTai": mjd - age}
    record["prvDiaSources"] = [{**source, "midpointMjdTai": mjd - 0.001 * n} for n in range(1, 21)]
    buffer = io.BytesIO(body[:5])
    buffer.seek(5)
    fastavro.schemaless_writer(buffer, schema, record)
    return buffer.getvalue()[: -cut or None]


def test_facts_behind_a_light_curve_are_read_without_it(tmp_path, monkeypatch):
    """Rubin's age of an object stands behind its light curve: it is that of the whole packet, and decides as that does."""
    (tmp_path / "900.avsc").write_text(json.dumps(schema_of(packet("lsst/fakeAlert_10_0.avro"))))
    formats = Formats(Schemas(None, tmp_path))
    old, new, cut = with_history(30.0), with_history(0.02), with_history(30.0, cut=1)
    form = formats.format_of(old)
    for body in (old, new):
        found, whole = form.facts(body, form.detection(body)), form.alert(body)
        assert found is not None
        assert (found.head, found.facts) == (whole.head, whole.facts)
        assert [point.origin for point in found.points] == ["alert"]
    assert form.facts(cut, form.detection(cut)) is None
    other = replace(form.detection(old), head=form.detection(old).head._replace(object_id="123456789"))
    assert form.facts(old, other) is None
    read = []
    monkeypatch.setattr(
        type(form), "alert", lambda self, body: read.append(body) or alert_of(self.record(body), self.form)
    )
    bodies = [old, new, cut]
    judged = judge(
        [message(b, n) for n, b in enumerate(bodies)], formats, everywhere(form.head(old).mjd - 1), Thresholds()
    )
    assert [o.dropped for o in judged.outcomes] == [("earlier",), (), ()]
    assert [o.kept for o in judged.outcomes] == [False, True, False]
    assert [o.quarantined for o in judged.outcomes] == [False, False, True]
    assert read == [new, cut], "what is dropped for its age is not decoded"


def test_every_decision_is_that_upon_the_whole_packet():
    """Whatever is wrong with a detection, the stream drops it for the reason that the whole packet gives, and keeps what is good."""
    body = packet(f"ztf/{ZTF[0]}.avro")
    candidate = decoded(body)["candidate"]
    mjd = candidate["jd"] - 2400000.5
    good = {
        "isdiffpos": "t",
        "jdstarthist": candidate["jd"],
        "sgscore1": 0.1,
        "drb": 0.99,
        "rb": 0.99,
        "ssdistnr": -999.0,
        "prv_candidates": None,
    }
    known = {key for key in good if key in candidate or key == "prv_candidates"}
    good = {key: value for key, value in good.items() if key in known}
    changes = [
        {},
        {"isdiffpos": "f"},
        {"sgscore1": 0.9, "distpsnr1": 0.5},
        {"ssdistnr": 2.0},
        {"jdstarthist": candidate["jd"] - 50},
        {"drb": 0.01} if "drb" in candidate else {"rb": 0.01},
    ]
    bodies = [rewritten(body, **{**good, **change}) for change in changes]
    # A good detection with the history of the real packet, which began long before.
    bodies.append(rewritten(body, **{k: v for k, v in good.items() if k != "prv_candidates"}))
    t0 = (mjd - 0.5, mjd - 29.0, mjd + 1.0)
    limits = Thresholds()
    regions = everywhere(*t0)
    judged = judge([message(one, n) for n, one in enumerate(bodies)], Formats(), regions, limits)
    for outcome, one in zip(judged.outcomes, bodies, strict=True):
        alert = Formats().format_of(one).alert(one)
        expected = [vet("ztf", alert.facts, alert.points, t, limits) for t in t0[:2]]
        assert outcome.inside
        assert outcome.kept == (None in expected)
        assert list(outcome.dropped) == [reason.value for reason in expected if reason is not None]
    assert judged.outcomes[0].kept
    assert {reason for outcome in judged.outcomes for reason in outcome.dropped} == {
        "negative",
        "star",
        "solar_system",
        "earlier",
        "bogus",
    }


def test_rows_of_alerts_outside_all_regions_have_their_facts():
    """Every alert of the stream is kept with flux and facts, so that a later map can decide upon its row."""
    bodies = [packet(f"ztf/{name}.avro") for name in ZTF]
    judged = judge([message(one, n) for n, one in enumerate(bodies)], Formats(), RegionIndex(), Thresholds())
    assert not any(outcome.inside for outcome in judged.outcomes)
    for row, one in zip(judged.rows, bodies, strict=True):
        candidate = decoded(one)["candidate"]
        assert row.facts.first_mjd == pytest.approx(candidate["jdstarthist"] - 2400000.5, abs=1e-9)
        assert row.facts.real_bogus == candidate.get("drb", candidate["rb"])
        assert row.point is not None
        assert row.point.mjd == row.head.mjd


@needs_packets
def test_a_pair_without_brightness_is_no_candidate():
    """A pair of Fink's inside a region is dropped by name, neither kept nor refused; its place and time are kept for the night."""
    row = parquet("ztf/fink_grb.parquet")[0]
    t0 = row["jd"] - 2400000.5 - 1.0
    good = {**row, "jdstarthist": row["jd"], "rb": 0.9}
    (body,), key = as_bare_avro([good], "fink_grb")
    sent = replace(message(body, 0), key=key)
    judged = judge([sent], Formats(), everywhere(t0), Thresholds())
    (outcome,) = judged.outcomes
    assert (outcome.inside, outcome.kept, outcome.quarantined, outcome.dropped) == (
        True,
        False,
        False,
        ("no_light_curve",),
    )
    assert (judged.kept, judged.unusable) == ((), ())
    assert [one.head.object_id for one in judged.rows] == [row["objectId"]]
