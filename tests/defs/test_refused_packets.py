"""Packets of surveys that cannot be used: a flood is one problem with a count, and what is kept can be read again."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest
import sqlalchemy as sa
from alembic import command
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.database import open_engine
from mma_pipeline.adapters.archive.migrate import _config
from mma_pipeline.adapters.archive.quarantine import Choice, dismiss, quarantined
from mma_pipeline.adapters.archive.recent import stream_statistics
from mma_pipeline.adapters.archive.refusals import CAUSES, KEPT, unsolved
from mma_pipeline.adapters.archive.surveys import Beat, Outcome, SurveyArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.cli import app
from mma_pipeline.cli.survey_night import Region, packets
from mma_pipeline.defs.operations.health import health
from mma_pipeline.defs.operations.problems import Kind
from mma_pipeline.notices import lvk
from mma_pipeline.notices.refusals import cause_of
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.products.surveys.judging import judge
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.science.surveys.regions import RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds
from mma_pipeline.settings import current
from tests.homes import Home

NOW = datetime.now(UTC)


def message(offset: int, body: bytes, received: datetime = NOW, partition: int = 0) -> StreamMessage:
    """A message of the survey's stream."""
    return StreamMessage("survey", "ztf", partition, offset, body, None, (), None, received)


def refuse(archive: Archive, messages: list[StreamMessage], formats: Formats | None = None) -> None:
    """Record messages that hold no packet, as the reader does."""
    judged = judge(messages, formats or Formats(), RegionIndex(), Thresholds())
    assert len(judged.unusable) == len(messages)
    SurveyArchive(archive).record("survey", judged.kept, judged.unusable, judged.outcomes, Beat("here:1", NOW))


def of_quarantine(archive: Archive) -> list[Any]:
    """Problems of the quarantine that health sees."""
    with dg.instance_for_test() as instance:
        found = health(instance, archive, NOW, destinations=(), settings=current()).problems
    return [problem for problem in found if problem.kind is Kind.QUARANTINE]


def run(*arguments: str, code: int = 0) -> Any:
    """The JSON answer of a command."""
    answer = CliRunner().invoke(app, [*arguments, "--json"])
    assert answer.exit_code == code, answer.output
    return json.loads(answer.stdout)


def test_a_flood_is_one_problem(home: Home):
    """A thousand packets of one cause: one problem with their number, a few bodies; a real alert's problem stands beside it."""
    flood = [message(offset, b"no packet %d" % offset, partition=offset % 2) for offset in range(1000)]
    refuse(home.archive, flood)
    home.archive.quarantine(
        StreamMessage("gcn-gwalert", "igwn.gwalert", 0, 1, b"{", None, (), None, NOW), "event.time is missing",
        event_id="S240301b",
    )  # fmt: skip
    refuse(home.archive, flood[:500])  # they come again: a reader died before it could commit
    (found,) = unsolved(home.archive)
    assert (found.packets, found.kept) == (1000, KEPT)
    assert found.offsets == {"ztf/0": (0, 998), "ztf/1": (1, 999)}
    assert home.archive.counts()["messages"] == KEPT + 1
    assert stream_statistics(home.archive)["survey"].quarantined == 1000
    of_event, of_survey = of_quarantine(home.archive)
    assert of_event.event == "S240301b"
    assert of_survey.text.startswith("1,000 packets of survey cannot be used: ")
    alert, packed = run("quarantine")
    assert (alert["event"], packed["packets"], packed["kept"]) == ("S240301b", 1000, KEPT)
    assert "1000" in CliRunner().invoke(app, ["quarantine"]).output
    dismiss(home.archive, [entry.id for entry in quarantined(home.archive)], "seen", NOW)
    assert unsolved(home.archive) == of_quarantine(home.archive) == []
    assert stream_statistics(home.archive)["survey"].quarantined == 0


def test_readers_count_together_on_postgresql(postgres_url: str):
    """Readers that count the same causes at the same time, in any order, wait for one another; each packet counts once."""
    reasons = ["the packet is damaged", "the packet has no head", "nobody knew this format"]
    Archive(postgres_url, create=True)

    def read(partition: int) -> None:
        surveys = SurveyArchive(Archive(postgres_url))
        for batch in range(10):
            numbers = range(batch * 6, batch * 6 + 6)
            aside = [
                (message(n, b"%d %d" % (partition, n), partition=partition), reasons[(n + partition) % 3])
                for n in numbers
            ]
            outcomes = [Outcome(("ztf", partition), n, quarantined=True) for n in numbers]
            for _ in range(2):
                surveys.record("survey", [], aside, outcomes, Beat(f"here:{partition}", NOW))

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(read, range(3)))
    archive = Archive(postgres_url)
    assert [(one.packets, one.kept) for one in unsolved(archive)] == [(60, KEPT)] * 3
    assert sum(one.quarantined for one in SurveyArchive(archive).partitions()) == 180
    assert len(quarantined(archive)) == 3 * KEPT


def test_causes_and_nights_have_bounds(home: Home):
    """Each cause of a night keeps packets of its own, up to a number of causes; numbers and names make no cause."""
    assert cause_of("ZTF18abc is known at RA 1.5 deg, not at 'x y'") == cause_of(
        "ZTF19x is known at RA 2 deg, not at 'z'"
    )
    assert cause_of("the position nan, 3 is not on the sky") == cause_of("the position 400, -95 is not on the sky")
    surveys = SurveyArchive(home.archive)
    letters = "abcdefghijklmnopqrst"
    reasons = [f"the packet is {a}{b}" for a in letters for b in letters]
    aside = [(message(n, b"%d" % n), reason) for n, reason in enumerate(reasons)]
    outcomes = [Outcome(("ztf", 0), n, quarantined=True) for n in range(len(aside))]
    surveys.record("survey", [], aside, outcomes, Beat("here:1", NOW))
    found = unsolved(home.archive)
    assert (len(found), sum(one.packets for one in found)) == (CAUSES + 1, len(aside))
    assert home.archive.counts()["messages"] == CAUSES + KEPT
    later = [message(1000 + n, b"later %d" % n, NOW + timedelta(days=1)) for n in range(KEPT + 5)]
    refuse(home.archive, later)
    refuse(home.archive, [message(2000 + n, b"even later %d" % n, NOW + timedelta(days=2)) for n in range(3)])
    (both,) = [one for one in unsolved(home.archive) if "no packet" in one.reason or "format" in one.reason]
    assert (both.packets, both.kept) == (KEPT + 8, KEPT + 3)


def test_packets_are_read_again_by_the_surveys_reader(home: Home, monkeypatch: pytest.MonkeyPatch):
    """After the repair packets become what they would have been, and their night is scored; what cannot be read stays."""
    monkeypatch.setenv("MMA_SURVEY_MOCKS", "true")
    merger = (NOW - timedelta(days=2)).replace(hour=2, minute=0, second=0, microsecond=0)
    notices = [
        n for n in simulate_event(f"MS{merger:%y%m%d}aa", time=merger, seed=3, max_order=7) if n.external is None
    ]
    for notice in notices:
        home.receive(json.dumps(lvk.to_record(notice)).encode())
    (*_, skymap) = [n.event.skymap for n in notices if n.event is not None and n.event.skymap]
    region = Region(notices[0].superevent_id, mjd_of_datetime(merger), decode_skymap(skymap), 120.0)
    night = [p for p in packets(region, nights_after=1, alerts=300, seed=3, images=False) if "zzzz" in p.object_id]
    outside = next(iter(packets(region, nights_after=-3, alerts=5, seed=3, images=False)))
    bodies = [*(p.body for p in night), outside.body, b"no packet"]
    surveys, name = SurveyArchive(home.archive), night[0].object_id
    aside = [(message(n, body), "nobody knew this format") for n, body in enumerate(bodies)]
    outcomes = [Outcome(("ztf", 0), n, quarantined=True) for n in range(len(aside))]
    surveys.record("survey", [], aside, outcomes, Beat("here:1", NOW))
    assert surveys.candidates() == []
    answer = run("quarantine", "retry", "--all", code=1)
    assert [one["outcome"] for one in answer] == ["read"] * (len(night) + 1) + ["refused"]
    (left,) = unsolved(home.archive)
    assert (left.kept, home.archive.message(left.message_id).body) == (1, b"no packet")
    (found,) = surveys.candidates(name=name)
    assert found.event_id == region.event
    rows = RecentNights(home.store).read(np.array([0]), np.array([12 << 58]), 0, 1e6, ["alert_id"])
    assert set(rows["alert_id"].to_pylist()) == {str(p.candid) for p in [*night, outside]}
    # A packet that was read again changes its night, though newer messages have been scored.
    surveys.mark_scored([found], "v")
    assert surveys.to_score({region.event: "v"}) == {}
    solved = quarantined(home.archive, Choice(solved=True))
    assert {entry.solution for entry in solved if entry.solved} == {"retried"}
    assert run("quarantine", "retry", "--all", code=1)[0]["outcome"] == "refused"
    assert surveys.to_score({region.event: "v"}) == {}


def test_an_upgrade_counts_what_is_there(tmp_path: Path):
    """Packets of an archive from before are counted by cause and night; the other streams' messages are none."""
    engine = open_engine(f"sqlite:///{tmp_path / 'archive.db'}")
    with engine.begin() as connection:
        command.upgrade(_config(connection), "0010")
        tables = sa.MetaData()
        tables.reflect(connection)
        old = tables.tables
        then = datetime(2026, 11, 20, 3)  # noqa: DTZ001 - as the database holds it, in UTC
        connection.execute(sa.insert(old["body"]), [{"sha256": "a" * 64, "data": b"x"}])
        row = {"topic": "t", "partition": 0, "headers": "[]", "sha256": "a" * 64, "received": then}
        reasons = [("survey", "object 1 is none"), ("survey", "object 2 is none"), ("survey", "cut short")]
        reasons += [("gcn-gwalert", "cut short")]
        rows = [{**row, "stream": s, "offset": n, "quarantine_reason": r} for n, (s, r) in enumerate(reasons)]
        connection.execute(sa.insert(old["message"]), rows)
        place = {"stream": "survey", "topic": "t", "partition": 0, "next_offset": 3, "seen": 3, "inside": 0, "kept": 0}
        place |= {"quarantined": 3, "dropped": "{}", "member": "here:1", "alive": then}
        connection.execute(sa.insert(old["survey_partition"]), [place])
        command.upgrade(_config(connection), "head")
    archive = Archive(f"sqlite:///{tmp_path / 'archive.db'}")
    assert sorted((one.packets, one.kept, one.offsets["t/0"]) for one in unsolved(archive)) == [
        (1, 1, (2, 2)), (2, 2, (0, 1)),
    ]  # fmt: skip
    assert [entry.of_survey for entry in quarantined(archive)] == [False, True, True, True]
    (counts,) = SurveyArchive(archive).partitions()
    assert (counts.lost, counts.lost_at) == (0, None)
