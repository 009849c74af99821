"""The stores that need no server."""

from __future__ import annotations

import hashlib
import logging
import os
import uuid

import pytest

from mma_pipeline.adapters.errors import ConfigurationError, DigestError, PermanentError, StoreFullError
from mma_pipeline.adapters.store import Store
from tests.adapters.store.suite import StoreContract


class TestLocal(StoreContract):
    """A folder."""

    @pytest.fixture
    def store(self, tmp_path) -> Store:
        """An empty folder's store."""
        return Store.open(tmp_path / "store")

    def test_replaced_by_hand(self, store: Store, tmp_path) -> None:
        """After a person replaced a file, its digest is that of the new content and the old bytes are written anew."""
        store.put("fit/a.txt", b"abc", metadata={"v": "1"})
        path = tmp_path / "store/fit/a.txt"
        path.write_bytes(b"xyz")
        found = store.stat("fit/a.txt")
        assert found is not None
        assert (found.sha256, found.metadata) == (hashlib.sha256(b"xyz").hexdigest(), {})
        assert store.put("fit/a.txt", b"abc").written

    def test_damaged_behind_the_clock(self, store: Store, tmp_path) -> None:
        """Bytes that changed while size and time did not are found when the object is read."""
        store.put("a", b"abc")
        path = tmp_path / "store/a"
        stat = path.stat()
        with path.open("r+b") as file:
            file.write(b"abX")
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        with pytest.raises(DigestError, match="written"):
            store.get("a")

    def test_foreign_file(self, store: Store, tmp_path) -> None:
        """A file that another program put there is an object like any other."""
        (tmp_path / "store/fit").mkdir(parents=True)
        (tmp_path / "store/fit/x.json").write_bytes(b"{}")
        found = store.stat("fit/x.json")
        assert found is not None
        assert (found.sha256, found.content_type) == (hashlib.sha256(b"{}").hexdigest(), "application/json")
        assert not store.put("fit/x.json", b"{}").written

    def test_folder_holds_only_objects(self, store: Store, tmp_path) -> None:
        """Readers of the folder see the objects, and everything else is hidden; no unfinished file stays."""
        store.put("fit/a", b"1")
        store.put("b", b"2")
        root = tmp_path / "store"
        assert sorted(p.name for p in root.iterdir() if not p.name.startswith(".")) == ["b", "fit"]
        assert list((root / ".mma/tmp").iterdir()) == []

    def test_leftovers_of_killed_writers(self, store: Store, tmp_path) -> None:
        """What a killed writer left is removed after a day, and not before: it may still be written."""
        store.put("a", b"1")
        unfinished = tmp_path / "store/.mma/tmp"
        for name in ("old", "new"):
            (unfinished / name).write_bytes(b"part")
        os.utime(unfinished / "old", (1, 1))
        Store.open(tmp_path / "store").put("b", b"1")
        assert [p.name for p in unfinished.iterdir()] == ["new"]

    def test_file_in_the_way(self, store: Store) -> None:
        """A key below an existing object is refused with a reason."""
        store.put("a", b"1")
        with pytest.raises(PermanentError, match="in the way"):
            store.put("a/b", b"2")
        assert store.stat("a/b") is None

    def test_full_disk(self, tmp_path) -> None:
        """A full disk is a StoreFullError, the old object stays whole, nothing unfinished is left."""
        import resource

        store = Store.open(tmp_path / "store")
        store.put("a", b"old")
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        import signal

        handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
        try:
            with pytest.raises(StoreFullError, match="no space"):
                store.put("a", b"n" * 100_000)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
            signal.signal(signal.SIGXFSZ, handler)
        assert store.get("a") == b"old"
        assert list((tmp_path / "store/.mma/tmp").iterdir()) == []


class TestMemory(StoreContract):
    """A dictionary."""

    @pytest.fixture
    def store(self) -> Store:
        """A store under a name of its own."""
        return Store.open(f"memory://{uuid.uuid4().hex}")

    def test_shared_by_name(self, store: Store) -> None:
        """Two stores of one name are the same place."""
        store.put("a", b"1")
        assert Store.open(store.url()).get("a") == b"1"


def test_dry_run_writes_nothing(tmp_path, caplog) -> None:
    """With writes off, nothing is written and the log says what would have been."""
    store = Store.open(tmp_path / "store", writes=False)
    with caplog.at_level(logging.INFO):
        put = store.put("a", b"1")
    assert (put.written, put.size) == (False, 1)
    assert not (tmp_path / "store").exists()
    assert "would put" in caplog.text


@pytest.mark.parametrize("url", ["", "ftp://host/x", "file://host/x", "s3://id:hunter22@bucket"])
def test_addresses_that_cannot_work(url: str) -> None:
    """A wrong address is one clear error that does not repeat what may be a secret."""
    with pytest.raises(ConfigurationError) as caught:
        Store.open(url)
    assert "hunter22" not in str(caught.value)
