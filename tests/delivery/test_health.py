"""What watches over the pipeline says what is wrong, and says nothing where nothing is."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.cli import app
from mma_pipeline.cli.health import fill
from mma_pipeline.definitions import RESOURCES
from mma_pipeline.defs.operations.health import Health, StreamHealth, health, pipeline_health_sensor, stream_reports
from mma_pipeline.defs.operations.problems import Kind
from mma_pipeline.defs.operations.watch import BrokerState, StreamState
from mma_pipeline.settings import current
from tests.delivery.test_archive_moves import alerts, receive

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def well(**changes: object) -> Health:
    """A pipeline in good health, with changes."""
    statistics: dict[str, object] = {
        "at": NOW,
        "daemons": {"SENSOR": 5.0},
        "streams": (StreamHealth("gcn-gwalert", 40_000.0, 12.0, 100, 3),),
        "unfinished": 0,
        "queued": 0,
        "running": 0,
        "failed_day": {"alert_products": 2},
        "publications_failed": 0,
    }
    return Health(**{**statistics, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"daemons": {}}, "no Dagster daemon"),
        ({"daemons": {"SENSOR": 400.0}}, "SENSOR was last alive 7 min ago"),
        ({"streams": (StreamHealth("gcn-gwalert", 5.0, 500.0, 1, 0),)}, "gcn-gwalert was last read 8 min ago"),
        ({"streams": (StreamHealth("a", 5.0, 5.0, 1, 0, lag=501),)}, "a is 501 messages behind"),
        ({"streams": (StreamHealth("a", 5.0, 5.0, 1, 0, credential_age_s=60.0),)}, "credential of a has never worked"),
        ({"streams": (StreamHealth("a", 5.0, 5.0, 1, 0, 0, 9e6, 86_400.0 * 21),)}, "last worked 21 days ago"),
        ({"heartbeat_age_s": 400.0}, "heartbeat is 7 min old"),
        ({"publications_failed": 1}, "1 publication failed"),
    ],
)
def test_each_trouble_is_one_sentence(change: dict[str, object], said: str) -> None:
    """A dead daemon, an unread stream, a full queue and failed publications are named, alone."""
    assert not well().problems, "a quiet stream, old quarantine and retried runs are no trouble"
    (problem,) = well(**change).problems
    assert said in problem.text


def test_statistics_come_from_the_archive(tmp_path: Path) -> None:
    """Messages, quarantine, ages and unfinished versions are those of the archive."""
    archive = Archive(f"sqlite:///{tmp_path / 'archive.db'}", create=True)
    now = datetime.now(UTC)
    receive(archive, [*alerts("S230601a"), b"not json"], received=now - timedelta(minutes=30))
    with dg.instance_for_test() as instance:
        found = health(instance, archive, now, destinations=(), settings=current())
    stream = {stream.name: stream for stream in found.streams}["s"]
    assert (stream.messages, stream.quarantined) == (3, 1)
    assert stream.message_age_s == pytest.approx(1800, abs=1)
    assert found.unfinished == len(archive.versions())
    assert [problem for problem in found.problems if problem.kind is Kind.VERSIONS_UNFINISHED]


def test_metrics_say_what_is_known_and_no_more() -> None:
    """An age that is not known is absent, not zero."""
    registry = CollectorRegistry()
    streams = (StreamHealth("a", None, None, 0, 0), StreamHealth("b", 7.5, 1.0, 4, 2, 6, 500.0, 3.0))
    fill(registry, well(streams=streams, heartbeat_age_s=1.5))
    watched = {"stream_lag_messages": 6, "credential_age_seconds": 500, "credential_idle_seconds": 3}
    for name, value in watched.items():
        assert registry.get_sample_value(f"mma_{name}", {"stream": "b"}) == value
        assert registry.get_sample_value(f"mma_{name}", {"stream": "a"}) is None
    assert registry.get_sample_value("mma_gcn_heartbeat_age_seconds") == 1.5
    assert registry.get_sample_value("mma_stream_message_age_seconds", {"stream": "a"}) is None
    assert registry.get_sample_value("mma_stream_message_age_seconds", {"stream": "b"}) == 7.5
    assert registry.get_sample_value("mma_stream_quarantined", {"stream": "b"}) == 2
    assert registry.get_sample_value("mma_problems") == 0


def test_sensor_reports_asset_and_check_without_a_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every five minutes: one materialisation and one check, failed where something is wrong."""
    monkeypatch.setenv("MMA_ARCHIVE_URL", f"sqlite:///{tmp_path / 'archive.db'}")
    with dg.instance_for_test() as instance:
        context = dg.build_sensor_context(instance=instance, resources=dict(RESOURCES))
        result = pipeline_health_sensor(context)
    assert isinstance(result, dg.SensorResult)
    assert not result.run_requests
    made, check = result.asset_events
    assert isinstance(made, dg.AssetMaterialization)
    assert isinstance(check, dg.AssetCheckEvaluation)
    assert not check.passed, "no daemon runs in this test"


def test_streams_that_are_read_are_fresh() -> None:
    """A connected stream that was looked at lately is reported on its asset; an unread or unconnected one grows stale."""
    streams = (
        StreamHealth("gcn-gwalert", None, 2.0, 4, 0),
        StreamHealth("hop-gwalert", None, 2.0, 3, 0),
        StreamHealth("gcn-icecube", None, 9_000.0, 1, 0),
    )
    watched = BrokerState(0.0, {"gcn-gwalert": StreamState(lag=0), "gcn-icecube": StreamState(lag=0)})
    (report,) = stream_reports(well(streams=streams), watched)
    assert report.asset_key == dg.AssetKey("gwalert_stream")
    assert report.metadata["gcn-gwalert: messages"].value == 4
    assert "hop-gwalert: messages" not in report.metadata
    assert report.tags == {"dagster/data_version": "read"}, "a look makes no product out of date"


def test_alive_fails_where_no_daemon_beats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The liveness probe of a fresh home exits 1 and says which heartbeat is missing."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["alive"])
    assert result.exit_code == 1
    assert "SENSOR: never" in result.stderr


def test_metrics_as_textfile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mma metrics --textfile` writes what node_exporter reads."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("MMA_ARCHIVE_URL", f"sqlite:///{tmp_path / 'archive.db'}")
    result = CliRunner().invoke(app, ["metrics", "--textfile", str(tmp_path / "mma.prom")])
    assert result.exit_code == 0, result.output
    assert "mma_runs_queued 0.0" in (tmp_path / "mma.prom").read_text()
