"""The Azure Blob store, on Azurite."""

from __future__ import annotations

import uuid

import pytest

from mma_pipeline.adapters.errors import ConfigurationError, PermanentError, TransientError
from mma_pipeline.adapters.store import Store
from tests.adapters.store.remote import Place, RemoteContract
from tests.services.azurite import Azurite
from tests.services.fixtures import needs

# the first test of a run may have to install its server
pytestmark = [pytest.mark.service("azurite"), pytest.mark.timeout(1200)]


class TestAzure(RemoteContract):
    """One container."""

    @pytest.fixture
    def place(self, azurite: Azurite) -> Place:
        """A prefix of its own in a container."""
        return Place(f"abfs://stores/{uuid.uuid4().hex}", azurite.port, azurite.environ_at, ("AZURE_ACCOUNT_KEY",))

    def test_site_layout(self, azurite: Azurite) -> None:
        """Without a container the first segment of the key is the container, as the GWTM site reads it."""
        store = Store.open("abfs://", environ=azurite.environ)
        store.put("fit/S1-Initial_alert.json", b"{}")
        assert Store.open("abfs://fit", environ=azurite.environ).get("S1-Initial_alert.json") == b"{}"
        assert [o.key for o in store.ls("fit/")] == ["fit/S1-Initial_alert.json"]
        assert "fit/S1-Initial_alert.json" in [o.key for o in store.ls()]
        store.copy("fit/S1-Initial_alert.json", "mma/S1/x.json")
        assert store.get("mma/S1/x.json") == b"{}"
        store.delete("fit/S1-Initial_alert.json")
        with pytest.raises(ConfigurationError, match="starts with one"):
            store.put("alone", b"1")
        with pytest.raises(PermanentError):
            store.put("galaxy_catalog/x.fits", b"1")  # no Azure container may be called so

    def test_name_alone_does_not_log_in(self) -> None:
        """Without an account the error says what to set."""
        with pytest.raises(ConfigurationError, match="AZURE_ACCOUNT_NAME"):
            Store.open("abfs://fit", environ={})

    def test_malformed_key(self) -> None:
        """A key that is no base64 is one clear error that does not show it."""
        environ = {"AZURE_ACCOUNT_NAME": "a", "AZURE_ACCOUNT_KEY": "not!base64!"}

        def work() -> None:
            Store.open("abfs://fit", environ=environ, attempts=1).put("a", b"1")

        with pytest.raises(PermanentError) as caught:
            work()
        assert "not!base64!" not in str(caught.value)

    def test_full_disk(self) -> None:
        """A server whose disk is full is a TransientError after limited tries; the old object stays."""
        with needs("Azurite"), Azurite.running(file_limit=3_000_000) as full:
            store = Store.open("abfs://stores", environ=full.environ)
            store.put("a", b"o" * 2_000_000)
            hasty = Store.open("abfs://stores", environ=full.environ, attempts=2, first_wait_s=0.05, timeout_s=8)
            with pytest.raises(TransientError, match="stores/a"):
                hasty.put("a", b"n" * 2_000_000)
            assert store.get("a") == b"o" * 2_000_000
