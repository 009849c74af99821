"""From a file through Kafka to the archive: `mma publish-photometry`, the sensor, its cursor."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import fastavro
import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.archive.gaps import lost_messages
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.quarantine import quarantined
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.adapters.kafka.stream import StreamConfig
from mma_pipeline.adapters.photometry.stream import photometry_stream
from mma_pipeline.cli import app
from mma_pipeline.defs.candidates.sensors import encode_cursor, photometry_sensor
from mma_pipeline.defs.resources import ArchiveResource, PhotometryResource
from mma_pipeline.settings import Settings
from tests.homes import new_archive

REPORT = Path(__file__).resolve().parents[3] / "shared" / "data" / "surveys" / "ampel_report.avro"
TABLE = """time,magnitude,e_magnitude,band,upperlimit
57983.003059500006,17.480130787100002,0.025,i,0
57983.9770265,17.593,0.022,z,0
57970.5,21.0,,r,1
"""


def read_until(done: Callable[[], bool]) -> None:
    """Evaluate the sensor until what was sent has been read.

    The broker's topic has four partitions, and one tick may find one message and the next tick the other.
    """
    cursor = None
    for _ in range(20):
        answer = tick(cursor)
        if isinstance(answer, dg.SensorResult):
            cursor = answer.cursor
        if done():
            return


def run(*arguments: str) -> dict:
    """The JSON answer of a command that must succeed."""
    result = CliRunner().invoke(app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


@pytest.fixture
def wired(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """An embedded broker and an archive, named by the environment."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("MMA_ARCHIVE_URL", f"sqlite:///{tmp_path / 'archive.db'}")
    for name in ("HOP_USERNAME", "HOP_PASSWORD", "MMA_PHOTOMETRY_TOPICS"):
        monkeypatch.delenv(name, raising=False)
    with EmbeddedKafka() as kafka:
        kafka.create_topic("mma.photometry")
        monkeypatch.setenv("MMA_KAFKA_BOOTSTRAP", kafka.bootstrap)
        yield tmp_path


def tick(cursor: str | None) -> dg.SensorResult | dg.SkipReason:
    """One evaluation of the sensor."""
    context = dg.build_sensor_context(cursor=cursor, instance=dg.DagsterInstance.ephemeral())
    return photometry_sensor(context, archive=ArchiveResource(), photometry=PhotometryResource())


def test_file_to_archive(wired: Path):
    """A published table arrives in the archive to the last digit, limits included, and is asked for once."""
    path = wired / "AT2017gfo.csv"
    path.write_text(TABLE)
    place = ("--ra", "197.45", "--dec", "-23.38", "--ebv", "0.105", "--redshift", "0.0098")
    sent = run("publish-photometry", str(path), *place, "--simulated")
    assert [row["mjd"] for row in sent["sent"]] == [57970.5, 57983.003059500006, 57983.9770265]
    photometry = PhotometryArchive(new_archive(f"sqlite:///{wired / 'archive.db'}"))
    read_until(lambda: sum(len(photometry.measurements(c.candidate.name)) for c in photometry.candidates()) == 3)
    (limit, first, _) = [m.measurement for m in photometry.measurements("AT2017gfo")]
    assert limit.upper_limit
    assert (first.mjd, first.magnitude) == (57983.003059500006, 17.480130787100002)
    found = photometry.candidate("AT2017gfo")
    assert found.simulated
    assert (found.candidate.ebv, found.candidate.redshift) == (0.105, 0.0098)


@pytest.mark.skipif(not REPORT.exists(), reason=f"no real report: {REPORT} is not there")
def test_ampel_report_through_the_stream(wired: Path):
    """AMPEL's Avro report is archived by the sensor with every point; a damaged one goes to quarantine beside it."""
    body = REPORT.read_bytes()
    with ConfirmedProducer({"bootstrap.servers": os.environ["MMA_KAFKA_BOOTSTRAP"]}) as producer:
        for sent in (body[:-100], body):
            producer.send("mma.photometry", sent, headers={"_format": b"avro"})
    archive = new_archive(f"sqlite:///{wired / 'archive.db'}")
    photometry = PhotometryArchive(archive)
    read_until(lambda: bool(photometry.measurements("170472689154654242")) and len(quarantined(archive)) == 1)
    found = photometry.measurements("170472689154654242")
    (report,) = fastavro.reader(io.BytesIO(body))
    assert sorted(one.measurement.flux_njy for one in found) == sorted(row["flux"] for row in report["photometry"])
    assert [entry.reason for entry in quarantined(archive)] == ["the packet is damaged or cut short"]


def test_lost_photometry_is_kept(wired: Path):
    """Photometry that the broker dropped before it was read is noted in the archive, under its stream's name."""
    cursor = encode_cursor({"mma.photometry": {0: 500}}, 0)
    answer = tick(cursor)
    assert isinstance(answer, dg.SensorResult)
    archive = new_archive(f"sqlite:///{wired / 'archive.db'}")
    (known,) = lost_messages(archive, datetime.now(UTC) - timedelta(hours=1))
    assert (known.stream, known.topic, known.partition, known.first, known.lost) == (
        "photometry", "mma.photometry", 0, 500, None,
    )  # fmt: skip


def test_score_of_a_file(tmp_path: Path):
    """`mma kilonova score` gives one entry per night; a foreign column is mapped; a bad option ends with a message."""
    path = tmp_path / "AT2017gfo.csv"
    path.write_text(TABLE.replace("time,", "when,"))
    answer = run("kilonova", "score", str(path), "--merger", "57982.5285", "--distance", "40", "--column", "time=when")
    assert [entry["nights"] for entry in answer["scores"]] == [1, 2]
    assert not answer["scores"][0]["sufficient"]
    wrong = CliRunner().invoke(app, ["kilonova", "score", str(path), "--merger", "57982.5", "--column", "time"])
    assert wrong.exit_code == 2


def test_commands_say_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """No broker, no position, no file: an exit code that is not zero, and nothing is sent."""
    monkeypatch.delenv("MMA_KAFKA_BOOTSTRAP", raising=False)
    path = tmp_path / "AT2017gfo.csv"
    path.write_text(TABLE)
    assert CliRunner().invoke(app, ["publish-photometry", str(path)]).exit_code == 1
    assert CliRunner().invoke(app, ["publish-photometry", str(path), "--ra", "1", "--dec", "1"]).exit_code == 2
    assert CliRunner().invoke(app, ["publish-photometry", str(tmp_path / "none.csv")]).exit_code == 2
    wrong = CliRunner().invoke(app, ["publish-photometry", str(path), "--ra", "1", "--dec", "1", "--redshift", "0"])
    assert wrong.exit_code == 2
    assert "not a redshift above 0" in wrong.output
    assert CliRunner().invoke(app, ["kilonova", "train", "--data", str(tmp_path / "none")]).exit_code == 2


def stream_of(env: dict[str, str]) -> StreamConfig | None:
    """How photometry is read in an environment."""
    found = Settings(env)
    return photometry_stream(found.kilonova.topics, found.hop_broker, found.gcn_broker, found.kilonova.offset_reset)


def test_settings_of_the_stream():
    """Hopskotch with a full credential, whose group begins with the user; half of one is refused; nothing, None."""
    hop = {"HOP_USERNAME": "me", "HOP_PASSWORD": "secret-word"}
    config = stream_of(hop | {"MMA_PHOTOMETRY_TOPICS": "a, b"})
    assert config is not None
    assert config.topics == ("a", "b")
    assert str(config.client["group.id"]).startswith("me-")
    assert "secret-word" not in repr(config)
    assert stream_of({}) is None
    assert stream_of(hop) is None
    with pytest.raises(ConfigurationError, match="both"):
        stream_of({"HOP_USERNAME": "me"})


def test_photometry_takes_the_settings_of_the_alerts_broker():
    """Broker, protocol, group and start that alerts are read with count for photometry too."""
    env = {"HOP_USERNAME": "me", "HOP_PASSWORD": "secret-word", "MMA_PHOTOMETRY_TOPICS": "a"}
    other = {"MMA_HOP_BOOTSTRAP": "broker:9", "MMA_HOP_PROTOCOL": "SASL_PLAINTEXT", "MMA_HOP_GROUP": "site"}
    config = stream_of(env | other | {"KAFKA_OFFSET_RESET": "latest"})
    assert config is not None
    assert config.client["bootstrap.servers"] == "broker:9"
    assert config.client["security.protocol"] == "SASL_PLAINTEXT"
    assert config.client["group.id"] == "me-site-photometry"
    assert config.start == "latest"
    own = stream_of(env | {"KAFKA_OFFSET_RESET": "latest", "MMA_PHOTOMETRY_OFFSET_RESET": "earliest"})
    assert own is not None
    assert own.start == "earliest"


def test_credential_of_hop_client_reads_photometry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With MMA_HOP_STREAMS the credential that `hop auth` keeps reads named topics; unnamed ones are not read with it."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    file = tmp_path / "hop" / "auth.toml"
    file.parent.mkdir()
    file.write_text('[[auth]]\nusername = "bob-2"\npassword = "secret-word"\nhostname = "kafka.scimma.org"\n')
    file.chmod(0o600)
    config = stream_of({"MMA_HOP_STREAMS": "true", "MMA_PHOTOMETRY_TOPICS": "a"})
    assert config is not None
    assert config.client["group.id"] == "bob-2-mma-photometry"
    assert stream_of({"MMA_HOP_STREAMS": "true"}) is None


def test_simulated_counterpart_goes_the_same_way(tmp_path: Path):
    """`mma simulate --kilonova` writes photometry labelled simulated that `mma kilonova score` reads."""
    answer = run("simulate", str(tmp_path / "sim"), "--kilonova", "--order", "6", "--time", "2026-03-01T02:00:00", "--distance", "60")  # fmt: skip
    (photometry,) = [f for f in answer["files"] if f.endswith(".photometry")]
    assert json.loads(Path(photometry).read_bytes())["simulated"] is True
    scores = run("kilonova", "score", photometry, "--merger", "61100.0833", "--distance", "60")["scores"]
    assert scores[-1]["p_phot"] > 0.9
