"""A real Apache Kafka broker for tests, the soak and the benchmarks: KRaft, one node, free loopback ports.

`with KafkaBroker.running() as broker:` gives plain text on `broker.bootstrap` and SASL (SCRAM-SHA-512, SCRAM-SHA-256,
and OAUTHBEARER where an OIDC provider is given) on `broker.sasl_bootstrap`. The jars come from Maven (kafka/pom.xml).
Ports and data outlive `kill()` and `stop()`, so that `start()` brings the same broker back.
"""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import os
import shutil
import signal
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from tests.services.process import Child, ServiceUnavailableError, free_ports, wait_until

HERE = Path(__file__).parent / "kafka"
USERS = {"alice": "alice-secret", "observer": "observer-secret"}
ADMIN_TIMEOUT = 30


def class_path() -> str:
    """Return the class path of the broker, resolved once by Maven and remembered beside Maven's own repository.

    Raises ServiceUnavailableError without Java 17, without Maven, or where Maven cannot resolve the jars.
    """
    for program in ("java", "mvn"):
        if shutil.which(program) is None:
            raise ServiceUnavailableError(f"no {program}: install openjdk-17-jre-headless and maven for the real Kafka")
    pom = HERE / "pom.xml"
    cache = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "mma_pipeline"
    cache.mkdir(parents=True, exist_ok=True)
    remembered = cache / f"kafka-classpath-{hashlib.sha256(pom.read_bytes()).hexdigest()[:12]}"
    with (cache / "kafka.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # pytest-xdist workers ask at the same time
        if remembered.exists():
            found = remembered.read_text()
            if all(Path(jar).exists() for jar in found.split(os.pathsep)):
                return found
        goal = "org.apache.maven.plugins:maven-dependency-plugin:3.8.1:build-classpath"
        command = ["mvn", "-q", "-B", "-f", str(pom), goal, f"-Dmdep.outputFile={remembered}"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            remembered.unlink(missing_ok=True)
            raise ServiceUnavailableError(f"Maven could not resolve Kafka: {(done.stdout + done.stderr)[-800:]}")
        return remembered.read_text()


class KafkaBroker:
    """One broker with its directory, ports and log."""

    def __init__(self, directory: Path, *, oidc_jwks_url: str | None = None, max_reauth_ms: int = 0) -> None:
        """Prepare (not start) a broker in `directory`.

        `oidc_jwks_url`: keys of the OIDC provider whose tokens the SASL listener takes (audience "kafka").
        `max_reauth_ms`: after this many ms (0: never) a SASL client must have authenticated again.
        """
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.log = directory / "kafka.log"
        self.port, self.controller_port, self.sasl_port = free_ports(3)
        self.bootstrap = f"127.0.0.1:{self.port}"
        self.sasl_bootstrap = f"127.0.0.1:{self.sasl_port}"
        self.passwords = dict(USERS)
        self._jwks = oidc_jwks_url
        self._child: Child | None = None
        self._class_path = class_path()
        self._properties = directory / "server.properties"
        self._properties.write_text(self._settings(max_reauth_ms))

    @classmethod
    @contextlib.contextmanager
    def running(cls, **options: Any) -> Iterator[KafkaBroker]:
        """Run a broker in a throw-away directory."""
        with tempfile.TemporaryDirectory(prefix="mma-kafka-") as directory:
            broker = cls(Path(directory), **options)
            broker.start()
            try:
                yield broker
            finally:
                broker.kill()

    # --- life ---------------------------------------------------------------------------------------------------

    def start(self, timeout: float = 90) -> None:
        """Start (or start again) and wait until the broker answers and coordinates consumer groups."""
        if not (self.directory / "data" / "meta.properties").exists():
            self._format()
        self._child = Child("Kafka", self._java("kafka.Kafka", str(self._properties)), self.log)
        self._child.wait_ready(self._answers, timeout)
        self._child.wait_ready(self._coordinates, timeout)

    def stop(self) -> None:
        """End the broker as an operator would."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL: no flush, no farewell."""
        self._end(signal.SIGKILL)

    def restart(self, *, kill: bool = False) -> None:
        """Stop (or kill) and start on the same ports and data."""
        if kill:
            self.kill()
        else:
            self.stop()
        self.start()

    @property
    def alive(self) -> bool:
        """Return whether the process runs."""
        return self._child is not None and self._child.alive

    def give_way(self) -> None:
        """Run with the lowest priority, as far as this machine's other processes are concerned."""
        if self._child is None:
            raise RuntimeError("the broker does not run")
        for thread in Path(f"/proc/{self._child.process.pid}/task").iterdir():
            os.setpriority(os.PRIO_PROCESS, int(thread.name), 19)

    # --- clients ------------------------------------------------------------------------------------------------

    def client(self, **more: str | int | bool) -> dict[str, str | int | bool]:
        """Return the settings of a plain-text client."""
        return {"bootstrap.servers": self.bootstrap, **more}

    def sasl_client(self, user: str = "alice", **more: str | int | bool) -> dict[str, str | int | bool]:
        """Return the settings of a SCRAM-SHA-512 client."""
        return {
            "bootstrap.servers": self.sasl_bootstrap,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": self.passwords[user],
            **more,
        }

    def admin(self) -> AdminClient:
        """Return an administrator's client."""
        return AdminClient(self.client())

    def produce(
        self,
        topic: str,
        value: bytes,
        *,
        key: bytes | None = None,
        headers: list[tuple[str, bytes]] | None = None,
        partition: int = -1,
    ) -> None:
        """Write one message and wait until the broker has it; for many, hold a Producer."""
        producer = Producer(self.client(**{"message.max.bytes": 10_000_000}))
        failures: list[Any] = []
        producer.produce(
            topic, value, key=key, headers=headers, partition=partition, on_delivery=lambda e, _: failures.append(e)
        )
        if producer.flush(ADMIN_TIMEOUT) or failures != [None]:
            raise RuntimeError(f"not written to {topic}: {failures}")

    def watermarks(self, topic: str, partition: int = 0) -> tuple[int, int]:
        """Return the first available offset and the next one to be written."""
        consumer = Consumer(self.client(**{"group.id": f"look-{uuid.uuid4()}"}))
        try:
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=ADMIN_TIMEOUT)
            return low, high
        finally:
            consumer.close()

    # --- what happens to a stream -------------------------------------------------------------------------------

    def create_topic(self, topic: str, partitions: int = 1, **config: str) -> None:
        """Create a topic and wait until it can be written."""
        new = NewTopic(topic, partitions, 1, config={k.replace("_", "."): v for k, v in config.items()})
        admin = self.admin()  # held until the answer: an AdminClient that is collected drops its requests
        admin.create_topics([new])[topic].result(ADMIN_TIMEOUT)
        self._wait_partitions(topic, partitions)

    def delete_topic(self, topic: str) -> None:
        """Delete a topic and wait until it is gone."""
        admin = self.admin()
        admin.delete_topics([topic])[topic].result(ADMIN_TIMEOUT)
        wait_until(lambda: topic not in admin.list_topics(timeout=5).topics, f"{topic} deleted")

    def recreate_topic(self, topic: str, partitions: int = 1) -> None:
        """Delete a topic and create it anew: offsets begin at 0 again."""
        self.delete_topic(topic)
        self.create_topic(topic, partitions)

    def add_partitions(self, topic: str, total: int) -> None:
        """Grow a topic to `total` partitions."""
        admin = self.admin()
        admin.create_partitions([NewPartitions(topic, total)])[topic].result(ADMIN_TIMEOUT)
        self._wait_partitions(topic, total)

    def expire(self, topic: str, before_offset: int, partition: int = 0) -> None:
        """Drop the records before an offset, as retention does (the log's start offset moves)."""
        where = TopicPartition(topic, partition, before_offset)
        admin = self.admin()
        for future in admin.delete_records([where]).values():
            future.result(ADMIN_TIMEOUT)

    def set_config(self, topic: str, **config: str) -> None:
        """Change settings of a topic (`retention_ms="1000"`)."""
        changes = {name.replace("_", "."): value for name, value in config.items()}
        resource = ConfigResource(ResourceType.TOPIC, topic, set_config=changes)
        admin = self.admin()
        admin.alter_configs([resource])[resource].result(ADMIN_TIMEOUT)

    def set_password(self, user: str, password: str) -> None:
        """Create a SCRAM user or change the password of one."""
        admin = self.admin()
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            change = UserScramCredentialUpsertion(user, ScramCredentialInfo(mechanism, 4096), password.encode())
            for future in admin.alter_user_scram_credentials([change]).values():
                future.result(ADMIN_TIMEOUT)
        self.passwords[user] = password

    # --- inside -------------------------------------------------------------------------------------------------

    def _answers(self) -> bool:
        try:
            return bool(AdminClient(self.client(log_level=0)).list_topics(timeout=1).brokers)
        except KafkaException:
            return False

    def _coordinates(self) -> bool:
        """Whether groups are told their offsets: the topic of offsets is made when the first group asks."""
        consumer = Consumer(self.client(**{"group.id": "first", "log_level": 0}))
        try:
            return bool(consumer.committed([TopicPartition("none", 0)], timeout=5))
        except KafkaException:
            return False
        finally:
            consumer.close()

    def _wait_partitions(self, topic: str, partitions: int) -> None:
        admin = self.admin()

        def there() -> bool:
            found = admin.list_topics(topic, timeout=5).topics[topic]
            return found.error is None and [p.leader for p in found.partitions.values()] == [1] * partitions

        wait_until(there, f"{topic} with {partitions} partition(s)")

    def _end(self, how: signal.Signals) -> None:
        if self._child is not None:
            self._child.end(how)
            self._child = None

    def _java(self, main: str, *arguments: str) -> list[str]:
        options = ["-Xms128m", "-Xmx384m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xshare:auto"]
        options.append(f"-Dlog4j.configuration=file:{HERE / 'log4j.properties'}")
        if self._jwks:
            options.append(f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={self._jwks}")
        return ["java", *options, "-cp", self._class_path, main, *arguments]

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        command = self._java("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._properties))
        for user, password in self.passwords.items():
            for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
                command += ["--add-scram", f"{mechanism}=[name={user},password={password}]"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        if done.returncode:
            raise RuntimeError(f"Kafka's storage could not be formatted: {done.stdout}{done.stderr}")

    def _settings(self, max_reauth_ms: int) -> str:
        scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
        settings = {
            "process.roles": "broker,controller",
            "node.id": 1,
            "controller.quorum.voters": f"1@127.0.0.1:{self.controller_port}",
            "listeners": f"PLAINTEXT://{self.bootstrap},CONTROLLER://127.0.0.1:{self.controller_port},"
            f"SASL_PLAINTEXT://{self.sasl_bootstrap}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap},SASL_PLAINTEXT://{self.sasl_bootstrap}",
            "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL_PLAINTEXT:SASL_PLAINTEXT",
            "controller.listener.names": "CONTROLLER",
            "inter.broker.listener.name": "PLAINTEXT",
            "sasl.enabled.mechanisms": "SCRAM-SHA-512,SCRAM-SHA-256" + (",OAUTHBEARER" if self._jwks else ""),
            "listener.name.sasl_plaintext.scram-sha-512.sasl.jaas.config": scram,
            "listener.name.sasl_plaintext.scram-sha-256.sasl.jaas.config": scram,
            "log.dirs": self.directory / "data",
            "num.partitions": 1,
            "offsets.topic.num.partitions": 1,
            "offsets.topic.replication.factor": 1,
            "transaction.state.log.num.partitions": 4,
            "transaction.state.log.replication.factor": 1,
            "transaction.state.log.min.isr": 1,
            "group.initial.rebalance.delay.ms": 0,
            "auto.create.topics.enable": "false",
            "message.max.bytes": 10485760,
            "replica.fetch.max.bytes": 10485760,
            "log.retention.check.interval.ms": 1000,
            "log.segment.delete.delay.ms": 1000,
            # A killed broker's old session must end before it may register again.
            "broker.session.timeout.ms": 3000,
            "broker.heartbeat.interval.ms": 500,
            "log.cleaner.dedupe.buffer.size": 16777216,
        }
        if max_reauth_ms:
            settings["connections.max.reauth.ms"] = max_reauth_ms
        if self._jwks:
            bearer = "listener.name.sasl_plaintext.oauthbearer.sasl"
            package = "org.apache.kafka.common.security.oauthbearer"
            settings[f"{bearer}.jaas.config"] = f"{package}.OAuthBearerLoginModule required;"
            settings[f"{bearer}.server.callback.handler.class"] = f"{package}.OAuthBearerValidatorCallbackHandler"
            settings[f"{bearer}.oauthbearer.jwks.endpoint.url"] = self._jwks
            settings[f"{bearer}.oauthbearer.expected.audience"] = "kafka"
        return "".join(f"{name}={value}\n" for name, value in settings.items())
