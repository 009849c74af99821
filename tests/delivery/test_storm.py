"""Nothing is lost and nothing is done twice, whatever dies when."""

from __future__ import annotations

import pytest

from tests.delivery.stack import Stack
from tests.delivery.storm import TOPICS, Storm
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer


@pytest.mark.timeout(900)
def test_every_message_once_whatever_is_killed(
    kafka: KafkaBroker, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Kills of daemon, code server, worker, run, database and broker: each message leads to one of everything.

    `make soak` does the same with 200 notices a round for an hour.
    """
    for topic in TOPICS:
        kafka.create_topic(topic)
    stack = Stack(tmp_path_factory.mktemp("storm"), kafka, postgres, warm=True)
    with stack.running():
        report = Storm(stack, kafka, postgres, seed=11).rage(20, blows=6, every_s=(2, 6), settle_s=600)
    assert not report.problems, f"{report}\n{stack.log('daemon')}"
