"""Rules, configuration, the dry explanation, and messages to people."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from mma_pipeline.adapters.archive.publications import State
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.publishing import config
from mma_pipeline.adapters.publishing.config import DestinationConfig
from mma_pipeline.adapters.publishing.rules import Rule
from mma_pipeline.adapters.publishing.webhook import WebhookDestination
from mma_pipeline.notices import derived
from mma_pipeline.settings import Settings
from tests.adapters.publishing.helpers import (
    ALERTS,
    EVERYTHING,
    GWTM,
    all_publications,
    decide_all,
    decider,
    gwtm,
    make_products,
    needs_alerts,
    publisher,
    take_in,
)
from tests.homes import new_archive
from tests.notices.test_derived import FULL
from tests.services.gwtm_standin import GwtmStandIn

SECRET = "T0000-B0000-XXXXXXXXXXXX"


def passes(rule: Rule, alert: derived.DerivedAlert = FULL) -> bool:
    """Whether a rule takes an alert."""
    return all(reason.passed for reason in rule.judge(alert))


@pytest.mark.parametrize(
    ("rule", "passed"),
    [
        (Rule(), True),
        (Rule(roles=("test",)), False),
        (Rule(labels=("Update",)), True),
        (Rule(labels=("Initial",)), False),
        (Rule(groups=("Burst",)), False),
        (Rule(significant=True), True),
        (Rule(far_max=3.2e-10), True),
        (Rule(far_max=1e-10), False),
        (Rule(area_90_max=666), True),
        (Rule(area_90_max=665), False),
        (Rule(distance_max=200), False),
        (Rule(classes_min={"BNS": 0.1, "NSBH": 0.5}), True),
        (Rule(classes_min={"BNS": 0.1}), False),
        (Rule(classes_min={"HasNS": 0.9}), True),
        (Rule(far_max=1e-9, area_90_max=1000, significant=True), True),
    ],
)
def test_limits_are_kept(rule: Rule, passed: bool) -> None:
    """Each criterion alone, at its limit and beyond, and together."""
    assert passes(rule) is passed


def test_what_is_not_stated_does_not_pass() -> None:
    """No false alarm rate, area, flag or class: a limit on it is not met, and the reason says why."""
    bare = replace(FULL, event=None, localisation=None)
    for rule in (Rule(far_max=1), Rule(area_90_max=1e5), Rule(significant=False), Rule(classes_min={"BNS": 0.0})):
        reasons = rule.judge(bare)
        assert [r.found for r in reasons if not r.passed] == ["not stated"]


FILE = """
[destinations.gwtm]
kind = "gwtm"
[destinations.gwtm.rule]
roles = ["observation", "test"]

[destinations.kn]
kind = "hopskotch"
url = "kafka://kafka.scimma.org/mma.alerts"
formats = ["v1", "v2"]
rule = { significant = true, classes_min = { BNS = 0.1, NSBH = 0.1 }, distance_max = 300 }

[destinations.people]
kind = "webhook"
url_env = "SLACK"
template = "slack"
"""


def test_configuration_file(tmp_path: Path) -> None:
    """Destinations with their rules as written; secrets stay in the environment."""
    path = tmp_path / "publication.toml"
    path.write_text(FILE)
    site, topic, people = config.load(Settings({"MMA_PUBLICATION_CONFIG": str(path)}).access)
    assert (site.name, site.kind, site.rule.roles) == ("gwtm", "gwtm", ("observation", "test"))
    assert topic.rule == Rule(significant=True, classes_min={"BNS": 0.1, "NSBH": 0.1}, distance_max=300.0)
    opened = config.open_destination(people, Settings({"SLACK": f"https://hooks.example/{SECRET}"}).access)
    assert SECRET not in repr(opened)
    with pytest.raises(ConfigurationError, match="SLACK is not set"):
        config.open_destination(people, Settings({}).access)


@pytest.mark.parametrize(
    "text",
    [
        "x = 1",
        "[destinations.a]",
        "[destinations.a]\nkind = 'post'",
        "[destinations.a]\nkind = 'gwtm'\ntoken = 'x'",
        "[destinations.a]\nkind = 'hopskotch'",
        "[destinations.a]\nkind = 'gwtm'\nrule = {far = 1}",
        "[destinations.a]\nkind = 'gwtm'\nrule = {far_max = '1'}",
        "[destinations.a]\nkind = 'gwtm'\nrule = {significant = 1}",
        "[destinations.a]\nkind = 'gwtm'\nrule = {classes_min = {BNS = 'x'}}",
        "[destinations.'../a']\nkind = 'gwtm'",
        "[destinations",
    ],
)
def test_wrong_configuration_is_one_clear_error(tmp_path: Path, text: str) -> None:
    """Nothing unknown is accepted and ignored; the error names the file."""
    path = tmp_path / "publication.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=r"publication\.toml"):
        config.load(Settings({"MMA_PUBLICATION_CONFIG": str(path)}).access)


def test_environment_alone() -> None:
    """The variables of the listeners before are enough for GWTM; nothing set means nothing is published."""
    assert config.load(Settings({}).access) == ()
    env = {
        "API_BASE": "https://gwtm.example/api/v1/",
        "API_TOKEN": "t",
        "MMA_HOP_URL": "kafka://x/t",
        "DRY_RUN": "True",
    }
    assert [d.kind for d in config.load(Settings(env).access)] == ["gwtm", "hopskotch"]
    assert Settings(env).access.dry_run
    assert not Settings({"DRY_RUN": "false"}).access.dry_run
    with pytest.raises(ConfigurationError, match="DRY_RUN"):
        Settings({"DRY_RUN": "perhaps"}).access  # noqa: B018 - reading it is what must fail


class _Hook(BaseHTTPRequestHandler):
    """A chat server: keeps what it is sent, answers as told."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        server: Any = self.server
        server.seen.append((self.path, dict(self.headers), json.loads(body)))
        status = server.answers.pop(0) if server.answers else 200
        self.send_response(status)
        self.end_headers()
        self.wfile.write(f"<html>no_service {self.path}</html>".encode() if status != 200 else b"ok")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def hook() -> Iterator[Any]:
    """A chat server on a free port."""
    server: Any = HTTPServer(("127.0.0.1", 0), _Hook)
    server.seen, server.answers = [], []
    server.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def test_slack_message_is_what_slack_takes() -> None:
    """Text, a section and the picture; figures in units that people use."""
    target = WebhookDestination("people", "https://x/y", template="slack")
    message = target.render({"alert": FULL.to_json(), "picture": "https://x/map.png"})
    assert message["text"].startswith("S230518h Update: NSBH 86 %")
    for wanted in ("one false alarm in 99 years", "90 % area 666 deg²", "278 ± 68 Mpc", "with Fermi"):
        assert wanted in message["text"]
    assert message["blocks"][1] == {
        "type": "image",
        "image_url": "https://x/map.png",
        "alt_text": "Sky map of S230518h",
    }
    assert len(target.render({"alert": FULL.to_json(), "picture": None})["blocks"]) == 1
    # What is not stated is left out, and small areas and shares are not zero.
    bare = {"event_id": "S1", "version": {"label": "Update"}, "role": "observation"}
    place = {"area_90": 0.04, "distance_mean": 278.4}
    event = {"classification": {"BNS": 0.996, "Terrestrial": 0.004}}
    assert target.render({"alert": bare | {"event": event, "localisation": place}})["text"] == (
        "S1 Update: BNS >99 %; 90 % area 0.04 deg²; 278 Mpc"
    )
    hostile = replace(FULL, event_id='S230518h", "channel": "#x')
    assert "channel" not in target.render({"alert": hostile.to_json()})


def test_own_template(tmp_path: Path) -> None:
    """A file of one's own is used; one that makes no JSON or reaches for Python is an error that says so."""
    path = tmp_path / "t.j2"
    path.write_text('{"content": {{ summary | tojson }}}')
    target = WebhookDestination("people", "https://x/y", template_file=str(path))
    assert target.render({"alert": FULL.to_json()})["content"].startswith("S230518h")
    for bad in ("not json", "{{ alert.__class__.__mro__[1].__subclasses__() }}", "{% if %}"):
        path.write_text(bad)
        with pytest.raises(ConfigurationError, match="does not make JSON"):
            target.render({"alert": FULL.to_json()})


@needs_alerts
def test_people_are_told_of_versions_and_failures(hook: Any, tmp_path: Path) -> None:
    """A version and a publication that was given up each make one message; the secret address shows nowhere."""
    people = DestinationConfig("people", "webhook", EVERYTHING)
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    with GwtmStandIn() as server:
        server.fail("post_alert", "400")
        records = take_in(archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()])
        decide_all(archive, [*records, *records], GWTM, people)
        target = WebhookDestination("people", hook.url)
        send = publisher(archive, gwtm(server), target, failure_webhooks=[people])
        hook.answers = [503]
        for name in ("gwtm", "people", "people"):
            send.run(name)
    texts = [body["text"] for _, _, body in hook.seen]
    assert len(texts) == 3  # the first was answered with 503 and sent again under the same key
    (told,) = [text for text in texts if text.startswith("Publication to gwtm failed for S230518h")]
    keys = [headers["Idempotency-Key"] for _, headers, body in hook.seen if body["text"] != told]
    assert len(keys) == 2
    assert keys[0] == keys[1]
    assert SECRET not in str(all_publications(archive))


@needs_alerts
def test_rate_is_limited(hook: Any, tmp_path: Path) -> None:
    """No more than so many messages in a minute; the rest go in the next."""
    people = DestinationConfig("people", "webhook", EVERYTHING)
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    bodies = [p.read_bytes() for p in sorted(ALERTS.glob("S2*.json"))][:5]
    decide_all(archive, take_in(archive, bodies), people)
    target = WebhookDestination("people", hook.url, per_minute=2)
    publisher(archive, target).run("people")
    assert len(hook.seen) == 2
    publisher(archive, target, clock=lambda: datetime.now(UTC) + timedelta(seconds=61)).run("people")
    assert len(hook.seen) == 4


def test_refused_webhook_keeps_the_secret(hook: Any) -> None:
    """The server's words are kept, without its page's markup and without the address."""
    from mma_pipeline.adapters.archive.publications import Publication
    from mma_pipeline.adapters.errors import AdapterError

    hook.answers = [403]
    now = datetime.now(UTC)
    row = Publication(1, "people", "version", "k", "S1", None, {"alert": FULL.to_json()}, State.SENDING, 1, now, now, None, False, {}, {}, None)  # fmt: skip
    with pytest.raises(AdapterError) as caught:
        WebhookDestination("people", hook.url).send(row, lambda progress: None)
    assert "no_service" in str(caught.value)
    assert SECRET not in repr(caught.value) + str(caught.value.__cause__)
    with pytest.raises(AdapterError) as caught:
        WebhookDestination("people", f"http://127.0.0.1:1/{SECRET}").send(row, lambda progress: None)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


@needs_alerts
def test_preview_explains_and_writes_nothing(tmp_path: Path) -> None:
    """Why something would and something would not be sent, in words, with nothing in the outbox."""
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    (record,) = take_in(archive, [next(ALERTS.glob("S230518h-PRELIMINARY*.json")).read_bytes()])
    picky = DestinationConfig("picky", "webhook", Rule(area_90_max=10, far_max=1e-9))
    early, narrow = decider(archive, GWTM, picky).preview(record, datetime.now(UTC))
    assert early.deferred
    assert early.drafts == ()
    assert [r.criterion for r in early.reasons if not r.passed] == ["its products exist"]
    assert not narrow.accepted
    assert [(r.criterion, r.found) for r in narrow.reasons if not r.passed] == [
        ("90 % area at most 10 deg²", "not stated")
    ]
    make_products(archive, record)
    wide, narrow = decider(archive, GWTM, picky).preview(record, datetime.now(UTC))
    assert wide.accepted
    assert [draft.kind for draft in wide.drafts] == ["alert"]
    assert [(r.criterion, r.found) for r in narrow.reasons if not r.passed] == [
        ("90 % area at most 10 deg²", "400 deg²")
    ]
    assert all_publications(archive) == []
