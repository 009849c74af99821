"""The environment names of the GWTM listeners decide as they did there."""

from __future__ import annotations

import pytest

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.redact import redact
from mma_pipeline.adapters.store import StoreSettings, store_settings
from mma_pipeline.adapters.store.environment import url_of_source

LOCAL = "file:///products"


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, StoreSettings(LOCAL)),
        ({"STORAGE_BUCKET_SOURCE": "s3"}, StoreSettings("s3://gwtreasuremap")),
        ({"STORAGE_BUCKET_SOURCE": "s3", "AWS_BUCKET": "mine"}, StoreSettings("s3://mine")),
        ({"STORAGE_BUCKET_SOURCE": "abfs"}, StoreSettings("abfs://")),
        ({"STORAGE_BUCKET_SOURCE": "swift"}, StoreSettings("swift://gwtreasuremap")),
        ({"STORAGE_BUCKET_SOURCE": "swift", "OS_CONTAINER_NAME": "c"}, StoreSettings("swift://c")),
        ({"STORAGE_BUCKET_SOURCE": "s3", "MMA_STORE_URL": "memory://x"}, StoreSettings("memory://x")),
        ({"STORAGE_BUCKET_SOURCE": "s3", "DRY_RUN": "true"}, StoreSettings(LOCAL, "s3://gwtreasuremap")),
        ({"STORAGE_BUCKET_SOURCE": "s3", "WRITE_TO_STORAGE": "false"}, StoreSettings(LOCAL, "s3://gwtreasuremap")),
        ({"STORAGE_BUCKET_SOURCE": "s3", "WRITE_TO_STORAGE": "", "DRY_RUN": ""}, StoreSettings("s3://gwtreasuremap")),
        (
            {"STORAGE_BUCKET_SOURCE": "s3", "WRITE_TO_STORAGE": "1", "DRY_RUN": "no"},
            StoreSettings("s3://gwtreasuremap"),
        ),
        ({"DRY_RUN": "yes"}, StoreSettings(LOCAL)),
    ],
)
def test_names(environ: dict[str, str], expected: StoreSettings) -> None:
    """Each name has its meaning; nothing is written elsewhere in a dry run."""
    assert store_settings(environ, local=LOCAL) == expected


@pytest.mark.parametrize("environ", [{"STORAGE_BUCKET_SOURCE": "gcs"}, {"DRY_RUN": "ture"}, {"WRITE_TO_STORAGE": "2"}])
def test_what_cannot_be_meant(environ: dict[str, str]) -> None:
    """A mistyped value stops the start: guessing could publish."""
    with pytest.raises(ConfigurationError):
        store_settings(environ, local=LOCAL)


def test_source_names() -> None:
    """A move takes the short names, a URL or a path."""
    assert url_of_source("azure", {}) == "abfs://"
    assert url_of_source("./folder", {}) == "./folder"
    assert url_of_source("s3://bucket/p", {}) == "s3://bucket/p"


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
