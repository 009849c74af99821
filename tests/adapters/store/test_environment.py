"""The environment names of the GWTM listeners decide as they did there."""

from __future__ import annotations

import pytest

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.redact import redact
from mma_pipeline.adapters.store.environment import url_of_source
from mma_pipeline.settings import Settings

LOCAL = "file:///products"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, LOCAL),
        ({"STORAGE_BUCKET_SOURCE": "s3"}, "s3://gwtreasuremap"),
        ({"STORAGE_BUCKET_SOURCE": "s3", "AWS_BUCKET": "mine"}, "s3://mine"),
        ({"STORAGE_BUCKET_SOURCE": "abfs"}, "abfs://"),
        ({"STORAGE_BUCKET_SOURCE": "swift"}, "swift://gwtreasuremap"),
        ({"STORAGE_BUCKET_SOURCE": "swift", "OS_CONTAINER_NAME": "c"}, "swift://c"),
        ({"STORAGE_BUCKET_SOURCE": "s3", "MMA_STORE_URL": "memory://x"}, "memory://x"),
        ({"STORAGE_BUCKET_SOURCE": "s3", "DRY_RUN": "true"}, LOCAL),
        ({"STORAGE_BUCKET_SOURCE": "s3", "WRITE_TO_STORAGE": "false"}, LOCAL),
        ({"STORAGE_BUCKET_SOURCE": "s3", "WRITE_TO_STORAGE": "", "DRY_RUN": ""}, "s3://gwtreasuremap"),
        ({"STORAGE_BUCKET_SOURCE": "s3", "WRITE_TO_STORAGE": "1", "DRY_RUN": "no"}, "s3://gwtreasuremap"),
        ({"DRY_RUN": "yes"}, LOCAL),
    ],
)
def test_names(environ: dict[str, str], expected: str) -> None:
    """Each name has its meaning; nothing is written elsewhere in a dry run."""
    assert Settings(environ | {"DAGSTER_HOME": "/"}).store_url == expected


@pytest.mark.parametrize("environ", [{"STORAGE_BUCKET_SOURCE": "gcs"}, {"DRY_RUN": "ture"}, {"WRITE_TO_STORAGE": "2"}])
def test_what_cannot_be_meant(environ: dict[str, str]) -> None:
    """A mistyped value stops the start: guessing could publish."""
    with pytest.raises(ConfigurationError):
        Settings(environ).store_url  # noqa: B018 - reading it is what must fail


def test_source_names() -> None:
    """A move takes the short names, a URL or a path."""
    assert url_of_source("azure") == "abfs://"
    assert url_of_source("./folder") == "./folder"
    assert url_of_source("s3://bucket/p") == "s3://bucket/p"


@pytest.mark.parametrize(
    "text",
    [
        "https://user:hunter22@host/x",
        "https://a.blob/x?sv=1&sig=hunter22%3D&se=2",
        "DefaultEndpointsProtocol=https;AccountName=a;AccountKey=hunter22==;X=1",
        "headers: {'Authorization': 'SharedKey a:hunter22'}",
        "X-Auth-Token: hunter22",
        "{'password': 'hunter22'}",
        "aws_secret_access_key=hunter22",
        "the literal hunter22 somewhere",
    ],
)
def test_redaction(text: str) -> None:
    """What libraries say loses its secrets, by form or by value."""
    assert "hunter22" not in redact(text, ["hunter22"] if "literal" in text else ())
