"""Alerts in, products and posts out, on the real parts, while one code server takes over from another.

Apache Kafka, PostgreSQL for Dagster's storage, the workers' queue and the archive, S3, the GWTM stand-in; the settings are
those that the chart renders for a small cluster. `make test-k8s` runs it.
"""

from __future__ import annotations

import hashlib
import json
import signal
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.defs.all_products import expected_files
from mma_pipeline.notices import lvk
from mma_pipeline.science.simulation.alerts import simulate_event
from mma_pipeline.settings import current
from tests.delivery.stack import Stack
from tests.delivery.storm import TOPICS
from tests.k8s.chart import dagster_settings, render, values_of
from tests.services.fixtures import needs
from tests.services.gwtm_schemas import ADMIN
from tests.services.gwtm_standin import GwtmStandIn
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer
from tests.services.process import free_ports, wait_until
from tests.services.proxy import Proxy
from tests.services.s3 import S3Server

pytestmark = pytest.mark.timeout(1800)
DAY = datetime(2023, 6, 1, 12, tzinfo=UTC)
EVENT, OTHER = "S230601a", "S230602b"


class Production(Stack):
    """The stack with the chart's settings; the daemon finds the code server by way of `proxy`, as by a Service."""

    def __init__(self, folder: Path, kafka: KafkaBroker, postgres: PostgresServer, proxy: Proxy, **env: str) -> None:
        """Write settings; nothing runs yet."""
        self.proxy = proxy
        super().__init__(folder, kafka, postgres, warm=True, env=env)
        proxy.target = self.port

    def _write_settings(self) -> None:
        settings: dict[str, Any] = dagster_settings(render(values_of("values-small.yaml")))
        self.env["MMA_CELERY_BROKER"] = self.queue.url
        self.env["MMA_CELERY_BACKEND"] = f"db+{self.archive_url}"
        self.env["DAGSTER_PG_URL"] = self.archive_url.replace("+psycopg2", "")
        (self.home / "dagster.yaml").write_text(yaml.safe_dump(settings))
        place = {"host": "127.0.0.1", "port": self.proxy.port, "location_name": "mma_pipeline"}
        (self.folder / "workspace.yaml").write_text(yaml.safe_dump({"load_from": [{"grpc_server": place}]}))

    def wait(self, ready: Callable[[], bool], what: str, *, timeout: float) -> None:
        """Wait, as long as every process lives: nothing starts one again here."""

        def check() -> bool:
            self.check_alive()
            return ready()

        wait_until(check, what, timeout=timeout, every=1)

    def roll_over(self) -> None:
        """A second code server starts, takes over when it is ready, and the first one is told to end."""
        (port,) = free_ports(1)
        old = self._children["code-server"]
        self._commands["code-server"] = [*self._commands["code-server"][:-1], str(port)]
        self._start("code-server")
        wait_until(lambda: _serves(port), "the second code server", timeout=300, every=0.5)
        self.proxy.target = port
        old.end(signal.SIGTERM, timeout=70)


def _serves(port: int) -> bool:
    """What the chart's readiness probe asks."""
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        try:
            request = health_pb2.HealthCheckRequest(service="DagsterApi")
            answer = health_pb2_grpc.HealthStub(channel).Check(request, timeout=5)
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def kafka() -> Iterator[KafkaBroker]:
    """A broker of its own: its topics have the names that other tests may have made and written to."""
    with needs("Apache Kafka"), KafkaBroker.running() as running:
        yield running


def test_alerts_in_products_and_posts_out(
    kafka: KafkaBroker, postgres: PostgresServer, s3_server: S3Server, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Each notice is archived once, made once and posted once; the bucket holds every file with the noted digest."""
    for topic in TOPICS:
        kafka.create_topic(topic)
    bodies = {
        event: [_body(n) for n in simulate_event(event, time=DAY, seed=7, max_order=6)] for event in (EVENT, OTHER)
    }
    bodies[OTHER] = bodies[OTHER][:2]  # enough to say that the second code server goes on
    keys = {v.partition_key for many in bodies.values() for b in many for v in lvk.versions_of(lvk.parse_json(b))}
    s3: Any = s3_server.client()
    s3.create_bucket(Bucket="gwtreasuremap", CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    with GwtmStandIn() as site, Proxy.to(0) as proxy:
        there = {"MMA_STORE_URL": "", "STORAGE_BUCKET_SOURCE": "s3", "API_BASE": site.base, "API_TOKEN": ADMIN}
        folder = tmp_path_factory.mktemp("production")
        stack = Production(folder, kafka, postgres, proxy, **there, **s3_server.environ)
        with stack.running():
            first, *rest = bodies[EVENT]
            kafka.produce(TOPICS[0], first)
            stack.wait(lambda: bool(stack.archive().versions()), "the first alert in the archive", timeout=300)
            for body in (*rest, b"not json"):
                kafka.produce(TOPICS[0], body)
            stack.roll_over()
            for body in bodies[OTHER]:
                kafka.produce(TOPICS[0], body)
            try:
                stack.wait(lambda: not _missing(stack.archive(), keys, site), "everything", timeout=1200)
            except TimeoutError:
                pytest.fail(f"{stack.log('daemon')}\n{stack.log('worker')}\n{_missing(stack.archive(), keys, site)}")
        archive = stack.archive()
        assert archive.counts()["messages"] == sum(map(len, bodies.values())) + 1
        assert archive.counts()["quarantined"] == 1
        posted = [(row["graceid"], row["alert_type"], row["timesent"]) for row in site.alerts]
        assert len(posted) == len(set(posted)) == len(keys), posted
        for key in keys:
            for product in archive.products(key):
                data = s3.get_object(Bucket="gwtreasuremap", Key=product.store_key)["Body"].read()
                assert hashlib.sha256(data).hexdigest() == product.sha256, product.store_key


def _body(notice: Any) -> bytes:
    return json.dumps(lvk.to_record(notice)).encode()


def _missing(archive: Archive, keys: set[str], site: GwtmStandIn) -> list[str]:
    """What is still to come."""
    records = {record.partition_key: record for record in archive.versions()}
    found = [f"version {key}" for key in sorted(keys - set(records))]
    for key in sorted(keys & set(records)):
        lacking = expected_files(records[key], current()) - {product.name for product in archive.products(key)}
        found += [f"{key}: {name}" for name in sorted(lacking)]
    if len(site.alerts) < len(keys):
        found.append(f"{len(site.alerts)} of {len(keys)} posts")
    return found
