"""An alert is posted by its own run, once, whatever is away or dies: warm lane, Apache Kafka, PostgreSQL, the stand-in of the site."""

from __future__ import annotations

import json
import os
import signal
from collections import Counter
from collections.abc import Iterator

import dagster as dg
import pytest

from mma_pipeline.adapters.archive import writing
from mma_pipeline.adapters.archive.database import lock_event
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.defs.jobs import PROMPT_PUBLICATION
from mma_pipeline.settings import current
from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.delivery.comparison import DERIVED, read_topic
from tests.delivery.stack import Stack
from tests.delivery.storm import TOPICS, publishing
from tests.services.fixtures import needs
from tests.services.gwtm_standin import GwtmStandIn
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer
from tests.services.process import wait_until

pytestmark = pytest.mark.timeout(1200)
SUCCESS, FAILURE = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE


class Deployment:
    """A warm lane that publishes, with what it publishes to."""

    def __init__(self, stack: Stack, kafka: KafkaBroker, site: GwtmStandIn) -> None:
        self.stack, self.kafka, self.site = stack, kafka, site

    def send(self, event: str) -> None:
        """A real alert on its stream."""
        self.kafka.produce(TOPICS[0], body(event, skymap=tiny_map()))

    def runs(self, job: str | None, *statuses: dg.DagsterRunStatus, event: str | None = None) -> list[dg.DagsterRun]:
        """Runs of a job, those of some statuses, of an event."""
        tags = {} if event is None else {"mma/event": event}
        with self.stack.instance() as instance:
            return list(instance.get_runs(dg.RunsFilter(job_name=job, statuses=list(statuses) or None, tags=tags)))

    def made(self, event: str) -> bool:
        """Whether the event's version has all its products, and a run of them has succeeded."""
        found = self.stack.archive().versions(event)
        return bool(self.runs("alert_products", SUCCESS, event=event)) and all(
            expected_files(record, current()) <= {p.name for p in self.stack.archive().products(record.partition_key)}
            for record in found
        )

    def rows(self) -> Counter[str]:
        """Rows at the site by event."""
        return Counter(row["graceid"] for row in list(self.site.alerts))

    def messages(self) -> Counter[str]:
        """Messages on the topic by event."""
        return Counter(json.loads(message)["event_id"] for message in read_topic(self.kafka, DERIVED))

    def looks(self) -> int:
        """How often the publication sensor has looked so far."""
        with self.stack.instance() as instance:
            return sum(
                len(instance.get_ticks(state.instigator_origin_id, state.selector_id))
                for state in instance.all_instigator_state()
                if state.instigator_name == "publication_sensor"
            )

    def look_again(self) -> None:
        """Wait for two more whole looks of the publication sensor."""
        before = self.looks()
        wait_until(lambda: self.looks() >= before + 3, "looks of the publication sensor", timeout=120, every=0.5)


@pytest.fixture
def deployment(postgres: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """Running, with a broker of its own: its topics have the names that other tests may have made."""
    with needs("Apache Kafka"), KafkaBroker.running() as kafka, GwtmStandIn() as site:
        for topic in TOPICS:
            kafka.create_topic(topic)
        folder = tmp_path_factory.mktemp("posted")
        stack = Stack(folder / "stack", kafka, postgres, warm=True, env=publishing(folder, site, kafka))
        with stack.running():
            yield Deployment(stack, kafka, site)


def test_posted_once_whatever_happens(deployment: Deployment) -> None:
    """By the alert's own run alone; later, once, where the site is away; by another run where that one is killed before."""
    first, second, third = "S240301a", "S240301b", "S240301c"
    deployment.send(first)
    wait_until(lambda: deployment.made(first), "the alert's run", timeout=300, every=0.5)
    assert (deployment.rows(), deployment.messages()) == ({first: 1}, {first: 1})
    deployment.look_again()
    # Pages are another matter.
    assert {run.job_name for run in deployment.runs(None, event=first)} <= {"alert_products", "event_pages"}
    assert not deployment.runs("publish_outbox")

    # The site is away: the alert's run succeeds with its products and its message, and the row follows.
    deployment.site.fail("query_alerts", "500", times=10_000)
    deployment.send(second)
    wait_until(lambda: deployment.made(second), "the products", timeout=300, every=0.5)
    assert not deployment.runs("alert_products", FAILURE)
    wait_until(lambda: deployment.messages()[second] == 1, "the message", timeout=60, every=0.5)
    assert deployment.rows()[second] == 0
    deployment.site._faults.clear()
    wait_until(lambda: deployment.rows()[second] == 1, "the row", timeout=300, every=0.5)

    # Between the products and the decision, for which it waits here, the process of the run is killed.
    with writing(deployment.stack.archive().engine) as connection:
        deployment.send(third)
        wait_until(lambda: bool(deployment.stack.archive().versions(third)), "the version", timeout=120, every=0.05)
        lock_event(connection, third)
        wait_until(lambda: _at_publication(deployment, third), "the run's last step", timeout=300, every=0.2)
        (run,) = deployment.runs("alert_products", event=third)
        os.kill(_process(deployment, run), signal.SIGKILL)
    wait_until(
        lambda: deployment.rows()[third] == deployment.messages()[third] == 1, "the post", timeout=300, every=0.5
    )
    wait_until(lambda: not _open_runs(deployment), "the runs' end", timeout=300, every=0.5)
    deployment.look_again()
    assert deployment.runs("alert_products", FAILURE, event=third)
    assert deployment.rows() == deployment.messages() == {first: 1, second: 1, third: 1}


def _events(deployment: Deployment, run: dg.DagsterRun) -> list[dg.DagsterEvent]:
    with deployment.stack.instance() as instance:
        return [e.dagster_event for e in instance.all_logs(run.run_id) if e.dagster_event is not None]


def _at_publication(deployment: Deployment, event: str) -> bool:
    return any(
        found.event_type is dg.DagsterEventType.STEP_START and found.step_key == PROMPT_PUBLICATION
        for run in deployment.runs("alert_products", event=event)
        for found in _events(deployment, run)
    )


def _process(deployment: Deployment, run: dg.DagsterRun) -> int:
    """The process that a run says it has."""
    told = [e for e in _events(deployment, run) if "Started process for run" in (e.message or "")]
    return int(str(told[-1].engine_event_data.metadata["pid"].value))


def _open_runs(deployment: Deployment) -> list[dg.DagsterRun]:
    return [run for run in deployment.runs(None) if not run.is_finished]
