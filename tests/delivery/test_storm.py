"""Nothing is lost and nothing is done twice, whatever dies when."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.delivery.stack import Stack
from tests.delivery.storm import TOPICS, Storm
from tests.services.fixtures import needs
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer


@pytest.fixture
def broker() -> Iterator[KafkaBroker]:
    """A broker of its own: it is killed, and its topics have the names that other tests may have made."""
    with needs("Apache Kafka"), KafkaBroker.running() as running:
        yield running


@pytest.mark.timeout(900)
def test_every_message_once_whatever_is_killed(
    broker: KafkaBroker, postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Kills of daemon, code server, worker, its queue, run, database, broker, all of them: each message leads to one of everything.

    `make soak` does the same with 200 notices a round for an hour.
    """
    for topic in TOPICS:
        broker.create_topic(topic)
    stack = Stack(tmp_path_factory.mktemp("storm"), broker, postgres, warm=True)
    with stack.running():
        report = Storm(stack, broker, postgres, seed=11).rage(8, blows=4, every_s=(2, 6), settle_s=600)
    assert not report.problems, f"{report}\n{stack.log('daemon')}"
