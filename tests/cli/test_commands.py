"""`mma`: what each command prints and its exit codes, on small alerts."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.cli import app
from mma_pipeline.science.skymaps.model import decode_skymap
from tests.alerts import alert, body
from tests.defs.malformed import good, tiny_map, with_event, with_top
from tests.homes import Home
from tests.services.gracedb import GraceDBStandIn
from tests.services.process import free_ports

RUNNER = CliRunner()


def mma(*arguments: object, **env: str) -> Result:
    """Run `mma` in this process."""
    return RUNNER.invoke(app, [str(argument) for argument in arguments], env=env)


def mma_json(*arguments: object, **env: str) -> Any:
    """What `mma … --json` prints, parsed."""
    code, value = mma_result(*arguments, **env)
    assert code == 0, value
    return value


def mma_result(*arguments: object, **env: str) -> tuple[int, Any]:
    """Exit code of `mma … --json`, and what it prints, parsed."""
    result = mma(*arguments, "--json", **env)
    assert result.stdout, result.output
    return result.exit_code, json.loads(result.stdout)


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of one simulated event."""
    folder = tmp_path_factory.mktemp("simulated")
    answer = mma_json("simulate", folder, "--time", "2024-03-01T12:00:00", "--seed", 4, "--order", 9)
    return [Path(name) for name in answer["files"]]


def test_simulate_is_deterministic(simulated: list[Path], tmp_path: Path) -> None:
    """The same seed, id and time give the same files, byte for byte; another seed gives other maps."""
    same = mma_json("simulate", tmp_path / "a", "--time", "2024-03-01T12:00:00", "--seed", 4, "--order", 9)
    assert [Path(f).name for f in same["files"]] == [path.name for path in simulated]
    assert [Path(f).read_bytes() for f in same["files"]] == [path.read_bytes() for path in simulated]
    other = mma_json("simulate", tmp_path / "b", "--time", "2024-03-01T12:00:00", "--seed", 5, "--order", 5)
    assert all(Path(f).read_bytes() != path.read_bytes() for f, path in zip(other["files"], simulated, strict=True))


def test_simulated_alerts_follow_the_schema(simulated: list[Path], tmp_path: Path) -> None:
    """Every simulated alert, the retraction too, is valid by igwn-gwalert-schema's own JSON schema."""
    from importlib.resources import files

    text = files("igwn_gwalert_schema").joinpath("igwn.alerts.Alert.schema.json").read_text()
    retracted = mma_json("simulate", tmp_path, "--retracted", "--order", 5)["files"]
    for path in [*simulated, *map(Path, retracted)]:
        jsonschema.validate(json.loads(path.read_text()), json.loads(text))
    kinds = [json.loads(path.read_text())["alert_type"] for path in simulated]
    assert kinds == ["EARLYWARNING", "PRELIMINARY", "PRELIMINARY", "INITIAL", "UPDATE", "UPDATE"]


def test_simulated_areas_are_those_asked_for(simulated: list[Path], tmp_path: Path) -> None:
    """ligo.skymap finds the 90 % areas that the simulation sets out to make (its docstring: blobs closely)."""
    from ligo.skymap.io import read_sky_map
    from ligo.skymap.postprocess.crossmatch import crossmatch

    asked = {3: ("event", "skymap", 160.0), 4: ("event", "skymap", 28.0), 5: ("external_coinc", "combined_skymap", 9.0)}
    for index, (holder, key, area) in asked.items():
        path = tmp_path / "map.fits"
        path.write_bytes(base64.b64decode(json.loads(simulated[index].read_text())[holder][key]))
        table = read_sky_map(str(path), moc=True)
        table.keep_columns(["UNIQ", "PROBDENSITY"])  # with distances, it works out volumes for many seconds
        found = crossmatch(table, contours=(0.9,))
        assert found.contour_areas[0] == pytest.approx(area, rel=0.05)


def test_replay_direct_twice(home: Home, tmp_path: Path) -> None:
    """`mma replay --direct` makes every product; a second time it adds nothing; --again materialises and changes nothing."""
    files = {"a.json": body(), "b.json": body("MS240301a", "RETRACTION"), "bad[red].json": b"{}"}
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    paths = [tmp_path / name for name in files]
    code, first = mma_result("replay", "--direct", *paths)
    assert code == 1
    assert [entry["outcome"] for entry in first] == ["made", "made", "quarantined"]
    assert [entry.get("stem") for entry in first] == ["MS240301a-Preliminary", "MS240301a-Retraction", None]
    made, counts = home.files(), home.archive.counts()
    _, second = mma_result("replay", "--direct", *paths)
    assert [entry["outcome"] for entry in second] == ["already there", "already there", "quarantined"]
    third = mma("replay", "--direct", "--again", *paths)
    assert third.exit_code == 1
    assert "bad[red].json: quarantined: superevent_id" in third.output
    assert "1 of 3 went to quarantine: bad[red].json" in third.stderr
    assert mma("replay", "--direct", *paths[:2]).exit_code == 0
    assert mma("replay", "--direct", paths[2]).exit_code == 1
    assert home.files() == made
    assert home.archive.counts() == counts


def test_replay_says_what_is_left_out(home: Home, tmp_path: Path) -> None:
    """A map that is no base64 leaves the alert usable: its products are made, and the line below names the map."""
    (tmp_path / "a.json").write_bytes(with_event(skymap="no base64 !"))
    shown = mma("replay", "--direct", tmp_path / "a.json")
    assert shown.exit_code == 0, shown.output
    lines = shown.output.splitlines()
    (made,) = (i for i, line in enumerate(lines) if line.startswith("a.json: made: "))
    assert lines[made + 1].startswith("  left out: event.skymap")
    (entry,) = mma_json("replay", "--direct", tmp_path / "a.json")
    assert entry["left_out"][0].startswith("event.skymap")


def test_replay_completes_what_is_missing(home: Home, tmp_path: Path) -> None:
    """A version that lacks a product, as after a failed run, is materialised by the next replay."""
    (tmp_path / "a.json").write_bytes(body())
    mma_json("replay", "--direct", tmp_path / "a.json")
    complete = home.archive.counts()
    import sqlalchemy as sa

    with home.archive.engine.begin() as connection:
        connection.execute(sa.text("DELETE FROM product WHERE asset = 'skymap'"))
    (entry,) = mma_json("replay", "--direct", tmp_path / "a.json")
    assert entry["outcome"] == "made"
    assert home.archive.counts() == complete


def test_status_show_and_quarantine(home: Home, tmp_path: Path) -> None:
    """Reading commands tell, as tables and as JSON, what is archived, made, missing and put aside."""
    assert mma("show", "S240101z").exit_code == 3
    (tmp_path / "a.json").write_bytes(
        with_event(pipeline="[/red] <b>", search=None, classification={"BNS": 0.95, "Terrestrial": 0.05})
    )
    (tmp_path / "b.json").write_bytes(with_top(superevent_id="[/bold]"))
    assert mma_result("replay", "--direct", tmp_path / "a.json", tmp_path / "b.json")[0] == 1
    record = home.receive(good("S240301b"))[0]

    status = mma_json("status")
    assert status["counts"] | {"products": 0} == {"messages": 3, "versions": 2, "products": 0, "quarantined": 1}
    by_key = {entry["partition"]: entry for entry in status["versions"]}
    assert "skymap" in by_key[record.partition_key]["missing"]
    (whole,) = [entry for key, entry in by_key.items() if key != record.partition_key]
    assert whole["missing"] == []
    assert {*(product["key"] for product in whole["products"]), whole["page"]} == set(home.files())
    assert len(mma_json("status", "--limit", 1)["versions"]) == 1

    shown = mma_json("show", record.partition_key)
    assert shown["event"] == "S240301b"
    (entry,) = mma_json("show", whole["event"])["versions"]
    assert entry["facts"]["pipeline"] == "[/red] <b>"
    assert entry["statistics"]["skymap"]["rows"] == 12
    (aside,) = mma_json("quarantine")
    assert aside["reason"].startswith("superevent_id is '[/bold]'")

    for command in (["status"], ["show", whole["event"]], ["quarantine"]):
        table = mma(*command)
        assert table.exit_code == 0, table.output
        assert table.output.strip()
    shown_text = mma("show", whole["event"]).output
    assert "[/red] <b>" in shown_text
    assert "H1, L1" in shown_text
    assert "https://example.org/superevents/" in shown_text
    assert not set("{}") & set(shown_text), "no Python dictionaries"
    assert "[/bold]" in mma("quarantine").output


def test_replay_through_kafka(home: Home, tmp_path: Path) -> None:
    """Without --direct the messages go to the broker as they are, on request also broken ones; what has no time goes last."""
    (tmp_path / "a.json").write_bytes(good("S240301a"))
    (tmp_path / "b.json").write_bytes(b"broken")
    with EmbeddedKafka() as kafka:
        kafka.create_topic("igwn.gwalert")
        paths = tmp_path / "a.json", tmp_path / "b.json"
        sent = mma_json("replay", *paths, "--force", "--bootstrap", kafka.bootstrap)
        assert [entry["outcome"] for entry in sent] == ["sent", "sent"]
        from mma_pipeline.adapters.kafka.reader import StreamReader
        from mma_pipeline.adapters.kafka.stream import StreamConfig

        reader = StreamReader(StreamConfig("look", ("igwn.gwalert",), {"bootstrap.servers": kafka.bootstrap}))
        found: list[bytes] = []
        offsets: dict[str, dict[int, int]] = {}
        while len(found) < 2:
            batch = reader.poll(offsets, max_messages=2, timeout_s=20)
            offsets, found = batch.offsets, found + [message.body for message in batch.messages]
        reader.close()
    assert sorted(found) == sorted([good("S240301a"), b"broken"])


def test_replay_refuses_what_is_no_notice(home: Home, tmp_path: Path) -> None:
    """Files in no form of a notice are not sent, one line says why for each, and the exit code is 1; the others are sent."""
    (tmp_path / "a.json").write_bytes(good("S240301a"))
    (tmp_path / "b.csv").write_text("mjd,mag[red]\n60000,20\n")
    (tmp_path / "c.txt").write_bytes(b"\xff\xfe")
    (tmp_path / "d.avro").write_bytes(b"Obj\x01 cut short")
    with EmbeddedKafka() as kafka:
        kafka.create_topic("igwn.gwalert")
        told = mma("replay", tmp_path, "--bootstrap", kafka.bootstrap)
    assert told.exit_code == 1
    said = [line for line in told.stderr.splitlines() if "is no alert or notice" in line]
    assert [line.split()[0] for line in said] == ["b.csv", "c.txt", "d.avro"]
    assert "3 of 4 files" in told.stderr
    assert [line.split()[0] for line in told.stdout.splitlines() if "->" in line] == ["a.json"]
    code, outcome = mma_result("replay", "--direct", tmp_path / "b.csv")
    assert (code, [entry["outcome"] for entry in outcome]) == (1, ["refused"])
    assert home.archive.counts()["messages"] == 0


def test_replay_of_a_superevent(home: Home) -> None:
    """`mma replay SUPEREVENT` fetches the notices from GraceDB and brings them in their order of creation."""
    notices = {
        "S240301a-initial.json,0": json.dumps(
            alert("S240301a", "INITIAL", skymap=tiny_map(), created="2024-03-01T13:00:00Z")
        ),
        "S240301a-preliminary.json,1": json.dumps(alert("S240301a", skymap=tiny_map(), created="2024-03-01T12:05:00Z")),
        "S240301a-preliminary.json,0": json.dumps(alert("S240301a", skymap=tiny_map())),
        "bayestar.fits,0": "",
    }
    with GraceDBStandIn({"S240301a": {name: text.encode() for name, text in notices.items()}}) as gracedb:
        outcome = mma_json("replay", "S240301a", "--direct", "--gracedb", gracedb.api)
        assert [entry["stem"] for entry in outcome] == [
            "S240301a-Preliminary",
            "S240301a-Preliminary1",
            "S240301a-Initial",
        ]
        missing = mma("replay", "S240399z", "--direct", "--gracedb", gracedb.api)
    assert missing.exit_code == 3
    assert "GraceDB does not know" in missing.stderr


def test_replay_of_an_empty_folder(home: Home, tmp_path: Path) -> None:
    """A folder without files holds nothing to replay; hidden ones are left out, and that is said."""
    assert home.archive.counts()["messages"] == 0
    (tmp_path / ".DS_Store").write_bytes(b"\0")
    assert "1 hidden in" in mma("replay", tmp_path, "--direct").stderr
    assert mma("replay", tmp_path, "--direct").exit_code == 3


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["replay"], 2, "Missing argument"),
        (["replay", ""], 2, "a path is empty"),
        (["replay", "no/such/file"], 2, "not a file, a folder or a superevent id"),
        (["replay", "S240101a", "--again"], 2, "--again needs --direct"),
        (["replay", "S240101a", "--direct", "--topic", "t"], 2, "are for a broker"),
        (["show", "S240101z"], 3, "`mma status` shows what is archived"),
        (["show", "S240101z-Initial-20240101T000000-0123456789"], 3, "no version"),
        (["simulate", "--event", "../x"], 2, "superevent_id is '../x'"),
        (["simulate", "--seed", "-1"], 2, "value for '--seed'"),
        (["simulate", "--retracted", "--seed", "-1"], 2, "value for '--seed'"),
        (["simulate", "--distance", "1e300"], 2, "value for '--distance'"),
        (["simulate", "--area", "0.01"], 2, "value for '--area'"),
        (["simulate", "--area", "1e9"], 2, "value for '--area'"),
        (["simulate", "--time", "1850-01-01T00:00:00"], 2, "outside the years 2000 to 2099"),
        (["simulate", "--time", "2099-12-31T23:00:00"], 2, "outside the years 2000 to 2099"),
        (["status", "--limit", "99999999999999999999"], 2, "value for '--limit'"),
        (["quarantine", "--limit", "99999999999999999999"], 2, "value for '--limit'"),
        (["quarantine", "retry", "99999999999999999999"], 2, "should be less than or equal to 9223372036854775807"),
        (["quarantine", "dismiss", "99999999999999999999", "--reason", "x"], 2, "should be less than or equal to"),
        (["quarantine", "save", "99999999999999999999", "x"], 2, "should be less than or equal to 9223372036854775807"),
        (["quarantine", "retry", "9223372036854775807"], 3, "no unsolved message in quarantine matches"),
        (["quarantine", "--event", "zzz"], 3, "no message of zzz is in quarantine"),
        (["pointings", "list", "S240101a", "--limit", "99999999999999999999"], 2, "should be less than or equal to"),
        (["backfill", "--run", "O9"], 2, "'O9' is not an observing run"),
        (["backfill", "--between", "2023"], 2, "is not a time range"),
        (["backfill", "--all", "--from-gracedb", "2023-05-18..2023-05-19"], 2, "choose exactly one of"),
        (["crossmatch", "S240101a", "--ra", "1", "--dec", "95"], 2, "declination within ±90"),
        (["crossmatch", "S240101a", "--ra", "1"], 2, "give --ra and --dec"),
        (["crossmatch", "S240101a", "--table", "no/such.csv"], 2, "does not exist"),
        (["catalog", "import", "no/such.fits"], 2, "does not exist"),
        (["catalog", "import", __file__, "--name", "id"], 2, "--ra, --dec and --distance"),
        (
            ["catalog", "import", __file__, "--ra", "a", "--dec", "b", "--distance", "c", "--mass-scale", "ln"],
            2,
            "'ln' is unknown",
        ),
        (["kilonova", "score", "no/such.csv", "--merger", "57982"], 2, "does not exist"),
        (["kilonova", "score", __file__, "--merger", "57982", "--column", "time"], 2, "is not FIELD=NAME"),
        (["kilonova", "train", "--hold-out"], 2, "--hold-out needs --data"),
        (["kilonova", "train", "--data", "no/such/folder"], 2, "does not exist"),
        (["kilonova", "train", str(Path(__file__).parent)], 2, "is a directory"),
        (["kilonova", "train", "no/such/folder/model.npz"], 2, "there is no folder"),
        (["kilonova", "train", "--seed", "-1"], 2, "value for '--seed'"),
        (["catalog", "import", "README.md"], 1, "README.md cannot be read as a table"),
        (["publish-photometry", "no/such.csv"], 2, "does not exist"),
        (["publish-photometry", __file__, "--redshift", "0"], 2, "not a redshift above 0"),
        (["storage", "migrate", "--source", "gcs", "--dest", "/tmp"], 2, "'gcs' is not known"),
        (["storage", "ls", "--store", "ftp://host/x"], 2, "no store for ftp://"),
        (["storage", "verify", "--container", "fitt"], 3, "nothing is there"),
        (["storage", "du", "fitt"], 3, "nothing starts with 'fitt'"),
        (["stream", "seek", "gcn-gwalert", "--time", "noon"], 2, "is not a time"),
        (["publication", "retry", "--since", "noon"], 2, "is not a time"),
        (["publication", "release", "KEY", "--reason", " "], 2, "say why"),
        (["publication", "delete-test-alerts"], 2, "repeat with --yes"),
        (["quarantine", "retry", "--between", "2023"], 2, "is not a time range"),
        (["metrics", "--port", "1", "--textfile", "x"], 2, "not both"),
        (["metrics", "--textfile", "/nonexistent/folder/a"], 1, "No such file or directory"),
        (["archive", "import", "no/such.gz"], 2, "does not exist"),
        (["demo", "--workspace", "no/such.yaml"], 2, "is missing"),
        (["nonsense"], 2, "No such command"),
    ],
)
def test_exit_codes(home: Home, arguments: list[str], code: int, said: str) -> None:
    """Wrong usage is 2, what failed 1, nothing found 3; the reason is on standard error, without a traceback."""
    assert home.archive.counts()["messages"] == 0
    home.products.mkdir()
    result = mma(*arguments)
    assert result.exit_code == code, result.output
    # Typer draws a box round its own messages and folds their lines.
    assert said in " ".join(result.stderr.replace("│", " ").split())
    assert "Traceback" not in result.output


def test_a_command_leaves_the_level_of_logging(home: Home) -> None:
    """What a command quiets while it shows its progress, it lets speak again."""
    logger = logging.getLogger("mma_pipeline.adapters.store")
    before = logger.level
    home.products.mkdir()
    mma("storage", "verify")
    assert logger.level == before


@pytest.mark.parametrize("arguments", [["status"], ["show", "S240101z"], ["quarantine"], ["explain", "S240101z"]])
def test_an_empty_database_is_no_failure(home: Home, arguments: list[str]) -> None:
    """Where nothing was archived yet, reading commands say so, end with 3, and make no tables."""
    result = mma(*arguments, MMA_ARCHIVE_URL=f"sqlite:///{home.folder / 'other.db'}")
    assert result.exit_code == 3
    assert "nothing has been archived there yet" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "env", "said"),
    [
        (["status"], {"MMA_ARCHIVE_URL": "postgresql://127.0.0.1:1/x"}, "the archive's database did not answer"),
        (["archive", "export", "/nonexistent/folder/a"], {}, "No such file or directory"),
        (["simulate", str(Path(__file__))], {}, "File exists"),
        (["settings"], {"MMA_GALAXY_LEVEL": "ninety"}, "MMA_GALAXY_LEVEL"),
        (["crossmatch", "S240101z", "--table", __file__], {}, "S240101z has no version with a map"),
    ],
)
def test_what_fails_is_said_in_one_line(home: Home, arguments: list[str], env: dict[str, str], said: str) -> None:
    """An outage, a path or a setting that cannot be used is one line on standard error, without a traceback."""
    assert home.archive.counts()["messages"] == 0
    result = mma(*arguments, **env)
    assert result.exit_code in {1, 3}
    assert said in result.stderr
    assert len(result.stderr.splitlines()) <= 3
    assert result.exception is None or isinstance(result.exception, SystemExit)


@pytest.mark.parametrize(
    ("env", "what"),
    [
        ({"MMA_GALAXY_LEVEL": "ninety"}, "settings galaxies"),
        ({"MMA_GALAXY_LEVEL": "7"}, "galaxy ranking"),
        ({"MMA_GALAXY_CATALOG": "/nonexistent"}, "galaxy catalog"),
        ({"MMA_STAR_CATALOG": "/nonexistent"}, "catalog for the check star"),
        ({"MMA_INSTRUMENTS": "/nonexistent.json"}, "instruments"),
    ],
)
def test_doctor_names_settings_that_cannot_be_used(home: Home, env: dict[str, str], what: str) -> None:
    """Galaxies and instruments that are configured wrongly are a failed finding with the reason."""
    result = mma("doctor", "--json", **env)
    assert result.exit_code == 1
    failed = {
        finding["what"]: finding["detail"] for finding in json.loads(result.stdout) if finding["verdict"] == "failed"
    }
    assert what in failed


def test_replay_without_broker_says_what_to_set(home: Home, tmp_path: Path) -> None:
    """Without broker and without --direct the command says which setting is missing."""
    (tmp_path / "a.json").write_bytes(good("S240301a"))
    result = mma("replay", tmp_path / "a.json")
    assert result.exit_code == 2
    assert "MMA_KAFKA_BOOTSTRAP" in result.stderr


def test_doctor_with_a_broker(home: Home) -> None:
    """With everything in place the doctor finds nothing failed and ends 0."""
    assert home.archive.counts()["messages"] == 0
    with EmbeddedKafka() as kafka:
        kafka.create_topic("igwn.gwalert")
        findings = mma_json("doctor", MMA_KAFKA_BOOTSTRAP=kafka.bootstrap)
    found = {finding["what"]: finding["verdict"] for finding in findings}
    assert found["archive database"] == found["store"] == "ok"
    assert found["stream gcn-gwalert"] == "ok"
    assert "failed" not in found.values()
    assert home.files() == {}


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Requests to brokers that do not answer are given up after a second."""
    monkeypatch.setattr("mma_pipeline.adapters.kafka.reader.REQUEST_TIMEOUT_S", 1.0)
    return


@pytest.mark.usefixtures("_impatient")
def test_doctor_without_broker(home: Home) -> None:
    """A broker that does not answer is found, with exit code 1, and does not hide the other findings."""
    (port,) = free_ports(1)
    result = mma("doctor", "--json", MMA_KAFKA_BOOTSTRAP=f"127.0.0.1:{port}")
    assert result.exit_code == 1
    found = {finding["what"]: finding for finding in json.loads(result.stdout)}
    assert [what for what, finding in found.items() if finding["verdict"] == "failed"] == ["brokers"]
    assert "no broker answers" in found["brokers"]["detail"]
    assert found["store"]["verdict"] == "ok"


@pytest.mark.parametrize(
    ("name", "value", "what"),
    [("MMA_ARCHIVE_URL", "nonsense", "database"), ("KAFKA_CLIENT_ID", "half-of-them", "brokers")],
)
def test_doctor_finds_wrong_settings(home: Home, name: str, value: str, what: str) -> None:
    """A setting that cannot work is one failed finding in words, and exit code 1."""
    result = mma("doctor", "--json", **{name: value})
    assert result.exit_code == 1
    failed = {f["what"]: f["detail"] for f in json.loads(result.stdout) if f["verdict"] == "failed"}
    assert what in failed
    assert value not in failed[what]


@pytest.mark.parametrize("shape", ["blob", "arc"])
def test_simulate_takes_size_and_shape(tmp_path: Path, shape: str) -> None:
    """The update's region has the size asked for: an ellipse and an arc alike; both have distances."""
    area = 60.0
    options = ("--time", "2024-03-01T12:00:00", "--order", 9, "--area", area, "--shape", shape)
    files = mma_json("simulate", tmp_path, *options)["files"]
    update = json.loads(Path(files[4]).read_text())
    skymap = decode_skymap(base64.b64decode(update["event"]["skymap"]))
    rank = np.argsort(-skymap.probdensity)
    rows = rank[: np.searchsorted(np.cumsum(skymap.prob[rank]), 0.9)]
    found = float(np.sum(skymap.area[rows])) * (180 / np.pi) ** 2
    assert found == pytest.approx(area, rel=0.03)
    assert skymap.is_3d


def test_quarantine_is_read_again_saved_and_dismissed(home: Home, tmp_path: Path) -> None:
    """Each command does what it says, with the exit codes of all commands, and `mma show` names what is unsolved."""
    from datetime import UTC, datetime

    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.products.ingest import quarantine_message

    bad, sound = with_top(superevent_id="S240301c", time_created=None), good("S240301b")
    numbers = []
    for offset, data in enumerate((bad, sound)):
        message = StreamMessage("gcn-gwalert", "igwn.gwalert", 0, offset, data, None, (), None, datetime.now(UTC))
        numbers.append(quarantine_message(home.archive, message, "[/bold] no parser").message_id)
    listed = mma_json("quarantine")
    assert [(entry["message"], entry["event"]) for entry in listed] == [
        (numbers[1], "S240301b"),
        (numbers[0], "S240301c"),
    ]
    shown = mma("show", "S240301b")
    assert shown.exit_code == 0
    assert "[/bold] no parser" in shown.output
    assert mma_json("show", "S240301b")["quarantine"][0]["message"] == numbers[1]

    saved = tmp_path / "body"
    assert mma("quarantine", "save", numbers[0], saved).exit_code == 0
    assert saved.read_bytes() == bad
    assert mma("quarantine", "save", 999, saved).exit_code == 3
    assert mma("quarantine", "save", numbers[0], tmp_path / "none" / "body").exit_code == 1

    assert mma("quarantine", "retry").exit_code == 2
    assert mma("quarantine", "retry", "--all", "--event", "S240301b").exit_code == 2
    assert mma("quarantine", "retry", 999).exit_code == 3
    assert mma("quarantine", "retry", "--since", "2999-01-01").exit_code == 3
    retried = mma("quarantine", "retry", "--all")
    assert retried.exit_code == 1
    assert "time_created is missing" in retried.output
    (record,) = home.archive.versions("S240301b")
    assert record.partition_key in retried.output
    assert [entry["message"] for entry in mma_json("quarantine")] == [numbers[0]]
    assert mma_json("show", "S240301b")["quarantine"] == []

    assert mma("quarantine", "dismiss", numbers[0]).exit_code == 2
    assert mma("quarantine", "dismiss", "--all", "--reason", "withdrawn by its sender").exit_code == 0
    assert mma_json("quarantine") == []
    solutions = {entry["message"]: entry["solution"] for entry in mma_json("quarantine", "--all")}
    assert solutions == {numbers[0]: "dismissed: withdrawn by its sender", numbers[1]: "retried"}
    assert "withdrawn by its sender" in mma("quarantine", "--all").output
    assert mma("quarantine", "retry", "--all").exit_code == 3
