"""Fixtures that every test may use."""

import gc
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from mma_pipeline.adapters.earth_orientation import use_packaged_tables

#: Fixtures that start a server.
SERVERS = {
    "azurite",
    "kafka",
    "kubernetes_api",
    "login_provider",
    "minio",
    "oauth2_proxy",
    "postgres",
    "postgres_url",
    "redis",
    "s3_server",
    "swift_cluster",
}


#: Files that take a minute or more, longest first, then folders of long files: begun last, one of them would keep one worker
#: busy and the others idle.
LONG = (
    *("test_storm.py", "test_restart.py", "test_real_alerts.py", "test_production.py", "test_api_server.py"),
    *("test_clock.py", "test_migration.py", "test_survey_storm.py", "test_malformed.py", "test_archive_moves.py"),
    *("test_ui.py", "test_login.py", "test_portal_login.py", "test_products.py", "kilonova"),
    *("delivery", "k8s", "browser", "cli", "defs", "surveys", "portal"),
)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Import all tests without collecting garbage; what they imported stays, and is not looked through again and again."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.collect()
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what needs a server, so that `make check` can leave it out; put first what takes long."""
    for item in items:
        named = set(getattr(item, "fixturenames", ())) & SERVERS
        parameters = getattr(getattr(item, "callspec", None), "params", {}).values()
        if named or item.get_closest_marker("service") or "postgresql" in parameters or "postgres" in parameters:
            item.add_marker("server")
    items.sort(key=lambda item: next((n for n, part in enumerate(LONG) if part in item.path.parts), len(LONG)))


pytest_plugins = ["tests.services.fixtures", "tests.homes"]

#: A busy machine draws examples slowly and runs them slowly: that says nothing about what is tested.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")

#: astropy is what positions and times are compared with: it must answer offline and at any age of its tables.
use_packaged_tables()
