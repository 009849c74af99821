"""The pytest side of the services: session fixtures, and what happens where a service is missing.

A missing service skips its tests, is listed at the end of the run, and fails with CI=true. Under pytest-xdist each
worker runs its own servers on its own free ports.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest

from tests.services.installed import in_ci
from tests.services.process import ServiceUnavailableError

_MISSING: dict[str, str] = {}


@contextlib.contextmanager
def needs(service: str) -> Iterator[None]:
    """Turn ServiceUnavailableError into a loud skip, or with CI=true into a failure."""
    try:
        yield
    except ServiceUnavailableError as error:
        _MISSING[service] = str(error)
        if in_ci():
            pytest.fail(f"{service} is missing and CI=true: {error}", pytrace=False)
        pytest.skip(f"{service} is missing: {error}")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """List the services that this run did without."""
    reports = terminalreporter.stats.get("skipped", [])
    for report in reports:  # with xdist the workers know, and the controller sees only their reports
        reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
        name, found, why = reason.removeprefix("Skipped: ").partition(" is missing: ")
        if found:
            _MISSING.setdefault(name, why)
    for service, why in _MISSING.items():
        terminalreporter.write_line(f"NOT TESTED against {service}: {why}", red=True, bold=True)


@pytest.fixture(scope="session")
def kafka() -> Iterator[object]:
    """A running Apache Kafka broker (tests.services.kafka.KafkaBroker); leave it running, use your own topics."""
    from tests.services.kafka import KafkaBroker

    with needs("Apache Kafka"), KafkaBroker.running() as broker:
        yield broker


@pytest.fixture(scope="session")
def postgres() -> Iterator[object]:
    """A running PostgreSQL (tests.services.postgres.PostgresServer); use a database of your own."""
    from tests.services.postgres import PostgresServer

    with needs("PostgreSQL"), PostgresServer.running() as server:
        yield server


@pytest.fixture(scope="session")
def redis() -> Iterator[object]:
    """A running Redis with a password (tests.services.redis.RedisServer); leave it running, use a queue of your own."""
    from tests.services.redis import RedisServer

    with needs("Redis"), RedisServer.running() as server:
        yield server


@pytest.fixture
def postgres_url(postgres: object) -> str:
    """The URL of an empty PostgreSQL database of the test's own."""
    return postgres.create_database()  # type: ignore[attr-defined]


@pytest.fixture(scope="session")
def s3_server() -> Iterator[object]:
    """A running S3 server that authenticates (tests.services.s3.S3Server); use a bucket or prefix of your own."""
    from tests.services.s3 import S3Server

    with needs("S3"), S3Server.running() as server:
        yield server


@pytest.fixture(scope="session")
def minio() -> Iterator[object]:
    """A running MinIO (tests.services.minio.Minio); use a bucket or prefix of your own."""
    from tests.services.minio import Minio

    with needs("MinIO"), Minio.running() as server:
        yield server


@pytest.fixture(scope="session")
def azurite() -> Iterator[object]:
    """A running Azure Blob server (tests.services.azurite.Azurite); use a container of your own."""
    from tests.services.azurite import Azurite

    with needs("Azurite"), Azurite.running() as server:
        yield server


@pytest.fixture(scope="session")
def swift_cluster() -> Iterator[object]:
    """A running OpenStack Swift with Keystone (tests.services.swift_cluster.SwiftCluster); use your own container."""
    from tests.services.swift_cluster import SwiftCluster

    with needs("OpenStack Swift"), SwiftCluster.running() as cluster:
        yield cluster


@pytest.fixture(scope="session")
def kubernetes_api() -> Iterator[object]:
    """A running Kubernetes API server (tests.services.kubernetes.KubernetesApi); use a namespace of your own."""
    from tests.services.kubernetes import KubernetesApi

    with needs("Kubernetes API server"), KubernetesApi.running() as server:
        yield server


@pytest.fixture(scope="session")
def login_provider() -> object:
    """What runs an OpenID Connect provider (tests.services.login_provider.LoginProvider), as it is installed here."""
    from tests.services.installed import oidc_provider_folder
    from tests.services.login_provider import LoginProvider

    with needs("oidc-provider"):
        oidc_provider_folder()
    return LoginProvider


@pytest.fixture(scope="session")
def oauth2_proxy() -> object:
    """What runs oauth2-proxy (tests.services.oauth2_proxy.OAuth2Proxy), built here the first time."""
    from tests.services.installed import oauth2_proxy_program
    from tests.services.oauth2_proxy import OAuth2Proxy

    with needs("oauth2-proxy"):
        oauth2_proxy_program()
    return OAuth2Proxy
