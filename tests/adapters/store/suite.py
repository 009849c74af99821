"""The contract of a store, written once; every backend's test class inherits it and brings a ``store`` fixture."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from mma_pipeline.adapters.errors import DigestError, InvalidKeyError, NotFoundError
from mma_pipeline.adapters.store import Store

ODD_KEYS = [
    "fit/S230518h-Preliminary1_moc.fits.gz",
    "mma/S230518h/überraschung ☄.json",
    "mma/a b/c+d&e=f%20g;h,i@j.txt",
    "mma/q?x#y.txt",
    "mma/[brackets]*~!'$().txt",
]


class StoreContract:
    """What every store must do."""

    small_objects = 1000

    def test_put_and_get(self, store: Store) -> None:
        """What is read is what was written, with size, SHA-256, type and metadata."""
        put = store.put("fit/a.json", b"{}", content_type="application/json", metadata={"source_offset": "17"})
        assert (put.written, put.size, put.sha256) == (True, 2, hashlib.sha256(b"{}").hexdigest())
        assert store.get("fit/a.json") == b"{}"
        found = store.stat("fit/a.json")
        assert found is not None
        assert (found.size, found.sha256, found.content_type) == (2, put.sha256, "application/json")
        assert found.metadata == {"source_offset": "17"}

    def test_pieces(self, store: Store) -> None:
        """An object comes in pieces as a whole or as any range of it; what was replaced meanwhile ends with an error."""
        data = bytes(range(256)) * 40_000  # 10 MB: three pieces
        store.put("fit/large.bin", data)
        found = store.stat("fit/large.bin")
        assert found is not None
        assert b"".join(store.pieces(found)) == data
        for start, stop in ((0, 1), (5, 9), (4 << 20, 9_000_000), (10_239_999, 10_240_000), (7, 7)):
            assert b"".join(store.pieces(found, start, stop)) == data[start:stop]
        store.put("fit/large.bin", data[::-1])
        with pytest.raises(DigestError, match="replaced"):
            list(store.pieces(found))
        empty = store.put("fit/empty", b"")
        assert list(store.pieces(empty)) == []
        store.delete("fit/large.bin")
        with pytest.raises(NotFoundError):
            list(store.pieces(found))

    def test_empty_object(self, store: Store) -> None:
        """An object may be empty."""
        assert store.put("empty", b"").written
        assert store.get("empty") == b""
        assert not store.put("empty", b"").written

    def test_type_by_name(self, store: Store) -> None:
        """Without a type, the name decides; a gzipped FITS file is gzip."""
        store.put("a.fits.gz", b"x")
        found = store.stat("a.fits.gz")
        assert found is not None
        assert found.content_type == "application/gzip"

    def test_unchanged_is_not_written(self, store: Store) -> None:
        """The same bytes again write nothing, also when their metadata (another offset) differ."""
        first = store.put("p/x", b"same", metadata={"offset": "1"})
        again = store.put("p/x", b"same", metadata={"offset": "2"})
        assert first.written
        assert not again.written
        assert again.sha256 == first.sha256
        assert again.metadata == {"offset": "1"}

    def test_overwrite(self, store: Store) -> None:
        """Other bytes of the same length replace the object and its metadata."""
        store.put("p/x", b"one", metadata={"v": "1"})
        assert store.put("p/x", b"two", metadata={"v": "2"}).written
        assert store.get("p/x") == b"two"
        found = store.stat("p/x")
        assert found is not None
        assert found.metadata == {"v": "2"}

    def test_missing(self, store: Store) -> None:
        """A missing object is None to `stat` and NotFoundError to everything that needs it."""
        assert store.stat("not/there") is None
        assert not store.exists("not/there")
        for ask in (store.get, store.delete, lambda key: store.copy(key, "elsewhere")):
            with pytest.raises(NotFoundError, match="not/there"):
                ask("not/there")

    def test_delete(self, store: Store) -> None:
        """A deleted object is gone, and can be written again."""
        store.put("p/x", b"1")
        store.delete("p/x")
        assert not store.exists("p/x")
        assert store.put("p/x", b"1").written

    def test_copy(self, store: Store) -> None:
        """A copy has the same bytes, type and metadata, and is not made twice."""
        store.put("p/x", b"1", content_type="text/plain", metadata={"v": "1"})
        assert store.copy("p/x", "q/y").written
        assert not store.copy("p/x", "q/y").written
        found = store.stat("q/y")
        assert store.get("q/y") == b"1"
        assert found is not None
        assert (found.content_type, found.metadata) == ("text/plain", {"v": "1"})

    def test_listing(self, store: Store) -> None:
        """A listing is by prefix of the key, sorted, with sizes, and holds nothing but objects."""
        for key in (
            "fit/S1-Initial.json",
            "fit/S1-Initial1.json",
            "fit/S2-Initial.json",
            "test/MS1.json",
            "fits",
        ):
            store.put(key, key.encode())
        assert [o.key for o in store.ls("fit/")] == [
            "fit/S1-Initial.json",
            "fit/S1-Initial1.json",
            "fit/S2-Initial.json",
        ]
        assert [o.key for o in store.ls("fit/S1")] == ["fit/S1-Initial.json", "fit/S1-Initial1.json"]
        assert [(o.key, o.size) for o in store.ls("test/")] == [("test/MS1.json", 13)]
        assert len(store.ls()) == 5
        assert store.ls("nothing/here") == []

    @pytest.mark.parametrize("key", ODD_KEYS)
    def test_odd_names(self, store: Store, key: str) -> None:
        """Unicode and characters that URLs or globs treat specially are plain letters in a key."""
        store.put(key, key.encode(), metadata={"v": "1"})
        store.put(key + "x", b"other")
        assert store.get(key) == key.encode()
        assert key in [o.key for o in store.ls(key.rpartition("/")[0] + "/")]
        store.delete(key)
        assert store.stat(key) is None
        assert store.get(key + "x") == b"other"

    @pytest.mark.parametrize(
        "key",
        ["", "/etc/passwd", "../x", "a/../../x", "a//b", "a/./b", "a\\..\\b", "a\nb", "a\0b", "a/", ".mma/meta/a",
         "x" * 300, "a/" * 600 + "b", "a/b.", "\ud800", "\u202eabc"],
    )  # fmt: skip
    def test_keys_cannot_escape(self, store: Store, key: str) -> None:
        """No key leaves the prefix or names what another store could not hold."""
        for act in (lambda: store.put(key, b"x"), lambda: store.get(key), lambda: store.delete(key)):
            with pytest.raises(InvalidKeyError):
                act()
        assert store.ls() == []

    @pytest.mark.parametrize(
        "metadata", [{"Übel": "x"}, {"a": "ü"}, {"a": "x\ny"}, {"": "x"}, {"a-b": "x"}, {"a": ""}, {"a": "x" * 300}]
    )
    def test_metadata_is_plain(self, store: Store, metadata: dict[str, str]) -> None:
        """Metadata that HTTP headers cannot carry are refused before anything is written."""
        with pytest.raises(InvalidKeyError):
            store.put("a", b"x", metadata=metadata)
        assert not store.exists("a")

    def test_large_object(self, store: Store, tmp_path) -> None:
        """100 MB pass through memory or files, in parts where the backend wants parts, and come back equal."""
        path, back = tmp_path / "large", tmp_path / "back"
        with path.open("wb") as file:
            for n in range(100):
                file.write(hashlib.sha256(str(n).encode()).digest() * 31250)
        put = store.put("big/large.bin", path, metadata={"v": "1"})
        assert put.written
        assert put.size == 100_000_000
        assert store.get_file("big/large.bin", back).sha256 == put.sha256
        found = store.stat("big/large.bin")
        assert found is not None
        assert (found.size, found.sha256, found.metadata) == (put.size, put.sha256, {"v": "1"})
        assert not store.put("big/large.bin", path).written
        assert [o.key for o in store.ls()] == ["big/large.bin"]
        back.unlink()

    def test_many_small(self, store: Store) -> None:
        """A thousand objects from eight threads are all there, also past one page of a listing."""
        keys = [f"many/{n:04d}" for n in range(self.small_objects)]
        with ThreadPoolExecutor(8) as pool:
            assert all(put.written for put in pool.map(lambda key: store.put(key, key.encode(), look=False), keys))
        assert [o.key for o in store.ls("many/")] == keys

    def test_concurrent_writers_and_readers(self, store: Store) -> None:
        """While several write one key, a reader sees one whole version, never a mixture, never nothing."""
        versions = [bytes([65 + n]) * (200_000 + n) for n in range(4)]
        store.put("hot", versions[0], metadata={"letter": "A"})
        stop, wrong = threading.Event(), []

        def read() -> None:
            while not stop.is_set():
                data = store.get("hot")
                if data not in versions:
                    wrong.append(len(data))

        with ThreadPoolExecutor(6) as pool:
            readers = [pool.submit(read) for _ in range(2)]
            writers = [pool.submit(store.put, "hot", v, metadata={"letter": chr(v[0])}) for v in versions * 5]
            try:
                for writer in writers:
                    writer.result()
            finally:  # a writer that failed must not leave the readers running
                stop.set()
            for reader in readers:
                reader.result()
        assert wrong == []
        final = store.stat("hot")
        assert final is not None
        assert final.sha256 == hashlib.sha256(store.get("hot")).hexdigest()
        assert final.metadata == {"letter": chr(store.get("hot")[0])}

    def test_copy_while_written(self, store: Store) -> None:
        """A copy of what is being replaced is one whole version with its own digest and metadata."""
        versions = [bytes([65 + n]) * (50_000 + n) for n in range(4)]
        store.put("hot", versions[0], metadata={"letter": "A"})
        with ThreadPoolExecutor(5) as pool:
            writers = [pool.submit(store.put, "hot", v, metadata={"letter": chr(v[0])}) for v in versions * 3]
            copies = [pool.submit(store.copy, "hot", f"copies/{n}") for n in range(6)]
            for done in (*writers, *copies):
                done.result()
        for n in range(6):
            data, found = store.get(f"copies/{n}"), store.stat(f"copies/{n}")
            assert data in versions
            assert found is not None
            assert found.sha256 == hashlib.sha256(data).hexdigest()
            assert found.metadata == {"letter": chr(data[0])}
