"""What a version's alert says: which distance, and links that people outside can open, or none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.publishing.compose import compose
from mma_pipeline.adapters.publishing.decision import Decider
from mma_pipeline.adapters.publishing.rules import Rule
from mma_pipeline.settings import Settings
from tests.adapters.publishing.helpers import DestinationConfig, take_in
from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.homes import new_archive

LAYERS = {"distance_mean_mpc": 280.0, "distance_std_mpc": 69.0}


@pytest.fixture
def archive(tmp_path: Path) -> Archive:
    """An empty archive."""
    return new_archive(f"sqlite:///{tmp_path / 'a.db'}")


@pytest.fixture
def record(archive: Archive) -> VersionRecord:
    """A version with a map."""
    return take_in(archive, [body("S240301a", skymap=tiny_map())])[0]


def product(record: VersionRecord, name: str, key: str, **statistics: Any) -> ProductRecord:
    """A product as its asset notes it."""
    digest = "0" * 64
    return ProductRecord(
        record.partition_key, name, name, key, digest, 10, "image/png", "1", digest, statistics, datetime.now(UTC)
    )


@pytest.mark.parametrize(
    ("stated", "expected"),
    [
        ({"header_distance_mean_mpc": 277.9, "header_distance_std_mpc": 68.3}, (277.9, 68.3)),
        ({"header_distance_mean_mpc": None, "header_distance_std_mpc": None}, (280.0, 69.0)),
        ({"header_distance_mean_mpc": 277.9, "header_distance_std_mpc": None}, (277.9, None)),
        ({"header_distance_mean_mpc": None, "header_distance_std_mpc": 68.3}, (280.0, 69.0)),
        ({}, (280.0, 69.0)),
    ],
)
def test_mean_and_deviation_come_from_one_source(
    record: VersionRecord, stated: dict[str, float | None], expected: tuple[float, float | None]
) -> None:
    """The header's where it states a mean, else the layers'; never one of each. The layers' stand beside it."""
    alert, _ = compose(
        record, [product(record, "statistics", "k", **LAYERS, **stated)], Settings({}).publication.public_address
    )
    place = alert.localisation
    assert place is not None
    assert (place.distance_mean, place.distance_std) == expected
    assert (place.distance_mean_layers, place.distance_std_layers) == (280.0, 69.0)


def test_links_lead_below_the_public_address(archive: Archive, record: VersionRecord) -> None:
    """Messages, webhooks and pictures use it, keys quoted; without it they have no link at all."""
    archive.record_product(product(record, "picture", "mma/S240301a/x/sky map#1.png"))
    hook = DestinationConfig("people", "webhook", Rule())
    base = "https://alerts.example.org/products"
    for env, wanted in (
        ({"MMA_PUBLIC_URL": base}, f"{base}/mma/S240301a/x/sky%20map%231.png"),
        ({"MMA_PUBLIC_URL": f"{base}/"}, f"{base}/mma/S240301a/x/sky%20map%231.png"),
        ({"MMA_STORE_URL": "file:///srv/products"}, None),
        ({"MMA_PUBLIC_URL": " "}, None),
    ):
        (decision,) = Decider(archive, Settings(env).publication.public_address, [hook]).preview(
            record, datetime.now(UTC)
        )
        (draft,) = decision.drafts
        assert draft.payload["picture"] == wanted
        assert [p["url"] for p in draft.payload["alert"].get("products", ())] == ([wanted] if wanted else [])


@pytest.mark.parametrize(
    "wrong",
    ["alerts.example.org", "file:///srv", "s3://bucket", "https://", "https://u:s3cr3t@x/", "https://x/?a=s3cr3t"],
)
def test_addresses_that_cannot_be(wrong: str) -> None:
    """What is no plain web address is refused at once, and not repeated: it may hold a secret."""
    with pytest.raises(ConfigurationError, match="MMA_PUBLIC_URL") as caught:
        Settings({"MMA_PUBLIC_URL": wrong}).publication  # noqa: B018 - reading it is what must fail
    assert "s3cr3t" not in str(caught.value)
