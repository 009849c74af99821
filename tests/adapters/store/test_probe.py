"""A look at the store says why it cannot be used, and never takes longer than it may."""

from __future__ import annotations

import socket
from pathlib import Path

from mma_pipeline.adapters.store.probe import StoreProbe


def asked(look: StoreProbe, limit_s: float = 20.0) -> str | None:
    """One question and its answer."""
    look.ask()
    return look.answer(limit_s)


def test_a_store_that_works_is_no_trouble(tmp_path: Path) -> None:
    """A folder answers, also before anything was written to it, and the look leaves nothing there."""
    look = StoreProbe((tmp_path / "products").as_uri(), {})
    assert asked(look) is None
    assert asked(look) is None
    assert not (tmp_path / "products").exists()


def test_a_server_that_accepts_and_never_answers() -> None:
    """The look ends with its limit while the question stays open; nothing is asked a second time meanwhile."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        credentials = {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{server.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "wonderland",
        }
        look = StoreProbe("s3://gwtreasuremap", credentials)
        assert asked(look, 0.5) == "s3://gwtreasuremap does not answer within 0 s"
        first = look._asking
        assert asked(look, 0.5) == "s3://gwtreasuremap does not answer within 0 s"
        assert look._asking is first


def test_an_address_that_no_store_has() -> None:
    """A wrong setting is named."""
    assert "known:" in str(asked(StoreProbe("ftp://somewhere", {})))
