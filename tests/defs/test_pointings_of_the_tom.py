"""Observation requests of the real TOM, in its own process and environment, become pointings and coverage."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import dagster as dg
import pytest

from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.adapters.errors import (
    ConfigurationError,
    CredentialsError,
    NotFoundError,
    PermanentError,
    TransientError,
)
from mma_pipeline.adapters.pointings.tom import TomRequests
from mma_pipeline.cli.doctor import Verdict, _tom
from mma_pipeline.defs.observing.pointings_sensor import pointings_sensor
from mma_pipeline.defs.resources import ArchiveResource, SettingsResource
from mma_pipeline.notices.pointings import Status
from tests.adapters.pointings.site import filled
from tests.alerts import body
from tests.homes import ROOT, Home
from tests.services.fixtures import needs
from tests.services.gwtm_standin import GwtmStandIn
from tests.services.process import ServiceUnavailableError
from tests.services.stubborn import How, stubborn

EVENT = "S240301a"
TOKEN = "what-the-tom-and-we-know"


@dataclass
class Tom:
    """A running TOM with one request."""

    url: str
    process: subprocess.Popen[str]

    def becomes(self, state: str) -> None:
        """Let the facility say what became of the request."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{state}\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"


@pytest.fixture(scope="module")
def tom(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tom]:
    """The TOM, locked, with a request of 120 s at the middle of the event's map."""
    folder, python = tmp_path_factory.mktemp("tom"), ROOT / ".venv-tom" / "bin" / "python"
    with needs("the TOM"):
        if not python.is_file():
            raise ServiceUnavailableError("its environment is not there: make setup-tom")
    env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ} | {
        "DJANGO_SECRET_KEY": "only for tests", "TOM_DATA_DIR": str(folder), "TOM_CACHE_DIR": str(folder / "cache"),
        "TOM_POINTINGS_TOKEN": TOKEN, "LOG_LEVEL": "ERROR",
    }  # fmt: skip
    line = [str(python), "-m", "tests.tom.serve_requests", EVENT, "150.0", "20.0"]
    with subprocess.Popen(line, cwd=ROOT, env=env, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        yield Tom(process.stdout.readline().strip(), process)
        assert process.stdin is not None
        process.stdin.close()
        process.wait(timeout=60)


@pytest.fixture
def named(tom: Tom, monkeypatch: pytest.MonkeyPatch) -> Tom:
    """The settings name the TOM."""
    monkeypatch.setenv("MMA_POINTINGS_TOM_URL", tom.url)
    monkeypatch.setenv("MMA_POINTINGS_TOM_TOKEN", TOKEN)
    return tom


def tick(home: Home, cursor: str | None = None, log: list[str] | None = None) -> dg.SensorResult:
    """One tick of the sensor; what it warns of is added to `log`."""
    with dg.build_sensor_context(
        home.instance, cursor=cursor, resources={"archive": ArchiveResource(), "settings": SettingsResource()}
    ) as context:
        if log is not None:
            context.log.warning = log.append  # type: ignore[method-assign]
        answer = pointings_sensor(context)
    assert isinstance(answer, dg.SensorResult)
    return answer


def again(answer: dg.SensorResult) -> str:
    """The cursor, as if nobody had been asked yet."""
    return json.dumps(json.loads(answer.cursor or "") | {"asked": {}, "tom": {}})


def test_a_request_becomes_coverage(home: Home, named: Tom) -> None:
    """Planned, then completed: the row is updated, its field covers 26.5 arcmin squared, and the ledger is made again."""
    named.becomes("PENDING")
    (record,) = home.receive(body(EVENT))
    assert home.make(record, ["raw_alert", "skymap"]).success
    first = tick(home)
    assert [r.partition_key for r in first.run_requests or ()] == [record.partition_key]
    (planned,) = PointingArchive(home.archive).pointings(EVENT)
    assert (planned.source, planned.status, planned.band) == ("tom", Status.PLANNED, "rp")
    assert planned.time == datetime(2024, 3, 2, 3, tzinfo=UTC)
    named.becomes("COMPLETED")
    assert not tick(home, first.cursor).run_requests, "it is not asked again at once"
    second = tick(home, again(first))
    assert [r.partition_key for r in second.run_requests or ()] == [record.partition_key]
    assert home.make(record, ["coverage_ledger"]).success
    made = {p.name: home.store.get(p.store_key) for p in home.archive.products(record.partition_key)}
    figures = json.loads(made["coverage_ledger"])["figures"]
    assert (figures["visits_completed"], figures["visits_planned"]) == (1, 0)
    assert figures["area_covered_deg2"] == pytest.approx((26.5 / 60) ** 2, rel=0.02)
    event = datetime.fromisoformat(record.facts["time"])
    assert figures["last_hours"] == pytest.approx(
        (datetime(2024, 3, 2, 5, 30, tzinfo=UTC) - event) / timedelta(hours=1)
    )
    named.becomes("CANCELED")
    tick(home, again(second))
    assert PointingArchive(home.archive).pointings(EVENT)[0].status is Status.CANCELLED


def test_one_source_in_trouble_does_not_stop_the_other(home: Home, named: Tom, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the Treasure Map away the TOM's requests arrive, and the other way round; only the one in trouble waits."""
    home.receive(body(EVENT))
    log: list[str] = []
    with GwtmStandIn() as site:
        filled(site, EVENT)
        monkeypatch.setenv("MMA_POINTINGS_URL", site.base)
        site.fail("pointings", "500")
        first = json.loads(tick(home, log=log).cursor or "")
        assert (first["failures"], first["tom"]["failures"]) == (1, 0)
        assert "the Treasure Map" in log[-1]
        assert {p.source for p in PointingArchive(home.archive).pointings(EVENT)} == {"tom"}
        monkeypatch.setenv("MMA_POINTINGS_TOM_TOKEN", "some-other-token")
        second = json.loads(tick(home, log=log).cursor or "")
        assert (second["failures"], second["tom"]["failures"]) == (0, 1)
        assert {p.source for p in PointingArchive(home.archive).pointings(EVENT)} == {"tom", "gwtm"}
    assert "the TOM refuses our token: MMA_POINTINGS_TOM_TOKEN" in log[-1]
    assert not any("some-other-token" in line or TOKEN in line for line in log)


def test_a_cursor_of_an_earlier_release_is_read(home: Home, named: Tom) -> None:
    """What the sensor remembered of the Treasure Map stays, and the TOM is asked for the first time."""
    home.receive(body(EVENT))
    old = {"change": 3, "asked": {EVENT: "2024-03-01T12:00:00+00:00"}, "failures": 2, "not_before": None}
    new = json.loads(tick(home, json.dumps(old)).cursor or "")
    assert (new["failures"], list(new["tom"]["asked"])) == (2, [EVENT])


def test_half_of_the_settings_is_said(home: Home, named: Tom, monkeypatch: pytest.MonkeyPatch) -> None:
    """An address without a token reads nothing and is named, in the sensor and by the doctor."""
    monkeypatch.delenv("MMA_POINTINGS_TOM_TOKEN")
    home.receive(body(EVENT))
    log: list[str] = []
    tick(home, log=log)
    assert "belong together" in log[-1]
    (found,) = (f for f in _tom() if f.what == "pointings of the TOM")
    assert found.verdict is Verdict.FAILED


def test_the_doctor_asks_the_tom(named: Tom, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says whether address and token are right, and nothing where no TOM is named."""
    assert [f.verdict for f in _tom()] == [Verdict.OK]
    monkeypatch.setenv("MMA_POINTINGS_TOM_TOKEN", "some-other-token")
    assert [f.verdict for f in _tom()] == [Verdict.FAILED]
    monkeypatch.delenv("MMA_POINTINGS_TOM_URL")
    monkeypatch.delenv("MMA_POINTINGS_TOM_TOKEN")
    assert _tom() == []


def test_what_can_be_wrong_with_the_address(tom: Tom) -> None:
    """Each has an error of its kind: a wrong path, another scheme, a token that is none, a server that speaks otherwise."""
    assert TomRequests(tom.url, TOKEN).rows("S999999a") == []
    # A locked TOM sends to its login whoever asks for another page.
    with pytest.raises(ConfigurationError, match="MMA_POINTINGS_TOM_URL"):
        TomRequests(f"{tom.url}elsewhere", TOKEN).rows(EVENT)
    for address, token in (("ftp://tom.example", TOKEN), (tom.url, "no token"), (tom.url, "tökén")):
        with pytest.raises(ConfigurationError):
            TomRequests(address, token)
    with pytest.raises(CredentialsError):
        TomRequests(tom.url, "wrong").rows(EVENT)
    for content, error in (
        (b"<html>", TransientError),
        (b'{"message": "no"}', PermanentError),
        (b"[1]", PermanentError),
    ):
        with stubborn(How.GIVING, content) as server, pytest.raises(error):
            TomRequests(server.url, TOKEN).rows(EVENT)
    with stubborn(How.GONE) as server, pytest.raises(NotFoundError, match="TOM_POINTINGS_TOKEN"):
        TomRequests(server.url, TOKEN).rows(EVENT)
    with stubborn(How.TRICKLING_BODY) as server, pytest.raises(TransientError):
        TomRequests(server.url, TOKEN, seconds=0.2).rows(EVENT)
