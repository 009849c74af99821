"""BOOM's notices on GCN reach the surveys: read where GCN is read, with its credential."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.archive.surveys import SurveyArchive
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.hopskotch.stream import HopBroker
from mma_pipeline.adapters.kafka.embedded import EmbeddedKafka
from mma_pipeline.adapters.kafka.gcn import GcnBroker
from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
from mma_pipeline.adapters.surveys.stream import SurveyBroker, survey_stream
from mma_pipeline.cli import app
from tests.gcn_notices import FOLDER, needs_examples
from tests.homes import Home

TOPIC = "gcn.notices.boom.alert"


@needs_examples
def test_boom_is_read_from_gcn(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the topic named and nothing else, the notice is read, counted, and kept with its light curve's object."""
    with EmbeddedKafka() as kafka:
        kafka.create_topic(TOPIC)
        notice = (FOLDER / "gcn-schema" / "notices" / "boom" / "alert.example.json").read_bytes()
        ConfirmedProducer({"bootstrap.servers": kafka.bootstrap}).send(TOPIC, notice, key="boom")
        for name, value in (
            ("MMA_KAFKA_BOOTSTRAP", kafka.bootstrap),
            ("MMA_SURVEY_TOPICS", TOPIC),
            ("MMA_SURVEY_OFFSET_RESET", "earliest"),
        ):
            monkeypatch.setenv(name, value)
        answer = CliRunner().invoke(app, ["survey", "read", "--nice", "0", "--until-idle", "8"])
    assert answer.exit_code == 0, answer.output
    counts = SurveyArchive(home.archive).partitions("survey")
    assert sum(one.seen for one in counts) == 1
    assert home.archive.quarantined() == []


def test_where_the_topics_are_read() -> None:
    """GCN with its credential and a group of its own; a named broker wins; topics of two brokers are one clear error."""
    gcn = GcnBroker("id", "secret", group_id="alerts")
    found = survey_stream(SurveyBroker(), HopBroker(), gcn, "survey", [TOPIC])
    assert found is not None
    assert found.client["sasl.oauthbearer.client.id"] == "id"
    assert (found.client["group.id"], found.start) == ("mma-survey", "latest")
    own = survey_stream(SurveyBroker("127.0.0.1:1"), HopBroker(), gcn, "survey", [TOPIC])
    assert own is not None
    assert own.client["bootstrap.servers"] == "127.0.0.1:1"
    with pytest.raises(ConfigurationError, match="one broker"):
        survey_stream(SurveyBroker(), HopBroker(), gcn, "survey", [TOPIC, "ztf"])
    assert survey_stream(SurveyBroker(), HopBroker(), GcnBroker(), "survey", [TOPIC]) is None
