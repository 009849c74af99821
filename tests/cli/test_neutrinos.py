"""`mma` with neutrino notices: simulated, replayed, shown; and what the doctor says of publication."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.cli import app, doctor
from tests.alerts import SHARED, body
from tests.defs.malformed import tiny_map
from tests.homes import Home
from tests.neutrinos import notice, track
from tests.services.gwtm_schemas import ADMIN
from tests.services.gwtm_standin import GwtmStandIn
from tests.services.process import free_ports

EXAMPLES = SHARED / "data" / "icecube"


def mma_json(*arguments: object, code: int = 0, **env: str) -> Any:
    """What `mma … --json` prints, parsed."""
    result = CliRunner().invoke(app, [*map(str, arguments), "--json"], env=env)
    assert result.exit_code == code, result.output
    return json.loads(result.stdout)


def test_simulated_notice_is_replayed_and_shown(home: Home, tmp_path: Path) -> None:
    """`simulate --neutrino` writes a notice that `replay` brings in and `show` lists beside the event's alerts."""
    options = ("--time", "2024-03-01T12:00:00", "--order", 6, "--neutrino", "--retracted", "--event", "MS240301a")
    files = mma_json("simulate", tmp_path, *options)["files"]
    (path,) = [Path(name) for name in files if name.endswith("-IceCube.json")]
    assert path.name == "MS240301a-20240301T124000-IceCube.json"
    for name in files[:-1]:
        home.receive(Path(name).read_bytes())
    assert mma_json("replay", "--direct", path)[0]["outcome"] == "made"
    assert mma_json("replay", "--direct", path)[0]["outcome"] == "already there"
    shown = {version["stem"]: version for version in mma_json("show", "MS240301a")["versions"]}
    assert set(shown) == {"MS240301a-Preliminary", "MS240301a-Retraction", "MS240301a-IceCube"}
    found = shown["MS240301a-IceCube"]
    assert found["missing"] == []
    assert found["message"]["stream"] == "replay"
    assert found["statistics"]["neutrino_coincidence"]["map_version"] == shown["MS240301a-Preliminary"]["partition"]
    assert found["statistics"]["neutrino_notice"]["schema_drift"] == []
    table = CliRunner().invoke(app, ["show", "MS240301a", "--all"])
    assert "MS240301a-IceCube" in table.output
    assert "the same, all tracks counted" in table.output
    assert mma_json("status")["versions"][0]["missing"] == []


@pytest.mark.skipif(not EXAMPLES.is_dir(), reason=f"{EXAMPLES} is not there")
def test_real_examples(home: Home) -> None:
    """Of the published files the example is made; the schema itself is no notice and goes to quarantine."""
    outcome = {entry["name"]: entry for entry in mma_json("replay", "--direct", EXAMPLES, code=1)}
    assert outcome["lvk_nu_track_search.example.json"]["stem"] == "S230914ak-IceCube"
    assert outcome["lvk_nu_track_search.schema.json"]["outcome"] == "quarantined"


def test_replay_knows_the_topic(home: Home, tmp_path: Path) -> None:
    """Through Kafka each file goes to the topic of its stream, unless one is named."""
    (tmp_path / "a.json").write_bytes(body(skymap=tiny_map()))
    (tmp_path / "b.json").write_bytes(notice("MS240301a", track(1.0, 2.0)))
    (tmp_path / "c.json").write_bytes(b"broken")
    topics = ["igwn.gwalert", "gcn.notices.icecube.lvk_nu_track_search", "igwn.gwalert"]
    with EmbeddedKafka() as kafka:
        for topic in {*topics, "mine"}:
            kafka.create_topic(topic)
        sent = mma_json("replay", tmp_path, "--force", "--bootstrap", kafka.bootstrap)
        assert [entry["topic"] for entry in sent] == topics
        named = mma_json("replay", tmp_path / "b.json", "--bootstrap", kafka.bootstrap, "--topic", "mine")
    assert named[0]["topic"] == "mine"


def _publication(*, code: int = 0, **env: str) -> dict[str, dict[str, str]]:
    """The doctor's findings about publication, by what they are about."""
    found = mma_json("doctor", code=code, **env)
    return {finding["what"]: finding for finding in found if finding["what"].startswith("publication")}


@pytest.fixture(autouse=True)
def _only_publication(monkeypatch: pytest.MonkeyPatch) -> None:
    """The doctor's other checks have tests of their own."""
    monkeypatch.setattr(doctor_module(), "CHECKS", (doctor_module()._publication,))
    for name in ("API_BASE", "API_TOKEN", "MMA_HOP_URL", "MMA_WEBHOOK_URL", "MMA_PUBLICATION_CONFIG", "DRY_RUN"):
        monkeypatch.delenv(name, raising=False)


def doctor_module() -> Any:
    """The module, which the package's command of the same name hides."""
    import sys

    assert callable(doctor)
    return sys.modules["mma_pipeline.cli.doctor"]


def test_doctor_without_destination(home: Home) -> None:
    """No destination is worth a word and no failure."""
    assert _publication()["publication"]["verdict"] == "warning"


def test_doctor_asks_the_site(home: Home) -> None:
    """The right token is ok; a wrong one fails with the site's words, is not shown, and nothing was posted."""
    with GwtmStandIn() as server:
        good = _publication(API_BASE=server.base, API_TOKEN=ADMIN)
        assert good["publication gwtm"]["verdict"] == "ok"
        bad = _publication(code=1, API_BASE=server.base, API_TOKEN="no-such-token-123")
        assert bad["publication gwtm"]["verdict"] == "failed"
        assert "refused our token" in bad["publication gwtm"]["detail"]
        assert "no-such-token-123" not in json.dumps(bad)
        before = server.requests.total()
        dry = _publication(API_BASE=server.base, API_TOKEN=ADMIN, DRY_RUN="true")
        assert dry["publication"]["verdict"] == "warning"
        assert server.requests.total() == before
        assert not server.alerts, "the question that tells an administrator's token stores nothing"
    missing = _publication(code=1, API_BASE=server.base)
    assert "API_TOKEN is not set" in missing["publication gwtm"]["detail"]


def test_doctor_asks_the_topic(home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A topic that can be read is ok with its size; a broker that is not there fails and hides no other destination."""
    monkeypatch.setattr("mma_pipeline.adapters.publishing.probe.TIMEOUT_S", 2.0)
    (nobody,) = free_ports(1)
    config = tmp_path / "publication.toml"
    with EmbeddedKafka() as kafka:
        kafka.create_topic("derived")
        tables = [
            f"[destinations.{name}]\nkind = 'hopskotch'\nurl = 'kafka://{where}/derived'\nanonymous = true\n"
            for name, where in (("away", f"127.0.0.1:{nobody}"), ("there", kafka.bootstrap))
        ]
        config.write_text("\n".join([*tables, "[destinations.people]\nkind = 'webhook'\nurl_env = 'SLACK_URL'\n"]))
        env = {"MMA_PUBLICATION_CONFIG": str(config), "SLACK_URL": "https://hooks.example/T0000-B0000-XXXXXXXX"}
        found = _publication(code=1, **env)
    verdicts = {what: finding["verdict"] for what, finding in found.items()}
    assert verdicts == {"publication away": "failed", "publication there": "ok", "publication people": "ok"}
    assert "topic derived" in found["publication there"]["detail"]
    assert "XXXXXXXX" not in json.dumps(found)
