"""The Swift store and the fsspec filesystem under it, on a real Swift with a real Keystone."""

from __future__ import annotations

import uuid

import fsspec
import pytest

from mma_pipeline.adapters.errors import ConfigurationError, CredentialsError, StoreFullError
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.swift_account import SEGMENT_BYTES
from mma_pipeline.adapters.store.swiftfs import SwiftFileSystem
from tests.adapters.store.remote import Place, RemoteContract
from tests.adapters.store.test_s3 import set_quota
from tests.services.swift_cluster import SwiftCluster

# the first test of a run may have to install its server
pytestmark = [pytest.mark.service("swift"), pytest.mark.timeout(1200)]


class TestSwift(RemoteContract):
    """Logged in with a password."""

    @pytest.fixture
    def place(self, swift_cluster: SwiftCluster) -> Place:
        """A prefix of its own in a container."""
        return Place(
            f"swift://stores/{uuid.uuid4().hex}",
            swift_cluster.port,
            lambda port: swift_cluster.environ(port=port),
            ("OS_PASSWORD",),
        )

    def test_application_credential(self, place: Place, store: Store, swift_cluster: SwiftCluster) -> None:
        """An application credential, given as the listeners give it or by its own names, logs in as well."""
        environ = swift_cluster.environ(application=True)
        assert Store.open(place.url, environ=environ).put("a", b"1").written
        named = {
            "OS_AUTH_URL": swift_cluster.keystone.url,
            "OS_APPLICATION_CREDENTIAL_ID": environ["OS_USERNAME"],
            "OS_APPLICATION_CREDENTIAL_SECRET": environ["OS_PASSWORD"],
        }
        assert Store.open(place.url, environ=named).get("a") == b"1"
        with pytest.raises(CredentialsError):
            Store.open(place.url, environ=environ | {"OS_PASSWORD": "wrong-secret"}).get("a")
        assert store.get("a") == b"1"

    def test_reader_may_not_write(self, place: Place, swift_cluster: SwiftCluster) -> None:
        """A user without the right role is refused."""
        with pytest.raises(CredentialsError):
            Store.open(place.url, environ=swift_cluster.environ(user="reader")).put("a", b"1")

    def test_segments_go_with_their_object(self, swift_cluster: SwiftCluster, tmp_path) -> None:
        """Segments lie in a container of their own and are deleted when their object is replaced or deleted."""
        container = f"c{uuid.uuid4().hex}"
        store = Store.open(f"swift://{container}", environ=swift_cluster.environ())
        segments = Store.open(f"swift://{container}_segments", environ=swift_cluster.environ())
        filesystem: SwiftFileSystem = segments._backend._fs  # type: ignore[attr-defined]
        large = tmp_path / "large"
        for content in (b"1", b"2"):
            large.write_bytes(content * (SEGMENT_BYTES + 1))
            store.put("x", large)
            assert len(filesystem.find(f"{container}_segments")) == 2
        assert store.put("x", b"small").written
        assert filesystem.find(f"{container}_segments") == []
        assert [(o.key, o.size) for o in store.ls()] == [("x", 5)]

    def test_no_space(self, swift_cluster: SwiftCluster) -> None:
        """Over the quota: a StoreFullError, and the old object stays."""
        store = Store.open(f"swift://q{uuid.uuid4().hex}", environ=swift_cluster.environ())
        store.put("a", b"old")
        set_quota(store, 1000)
        with pytest.raises(StoreFullError, match="quota"):
            store.put("a", b"n" * 2000)
        assert store.get("a") == b"old"

    @pytest.mark.parametrize("missing", ["OS_AUTH_URL", "OS_USERNAME", "OS_PASSWORD", "OS_PROJECT_NAME"])
    def test_missing_setting(self, swift_cluster: SwiftCluster, missing: str) -> None:
        """The error names the setting."""
        environ = swift_cluster.environ()
        del environ[missing]
        with pytest.raises(ConfigurationError, match=missing):
            Store.open("swift://c", environ=environ)


class TestFilesystem:
    """SwiftFileSystem as other programs use it, through fsspec."""

    @pytest.fixture
    def root(self, swift_cluster: SwiftCluster, monkeypatch: pytest.MonkeyPatch) -> str:
        """A container with a few files; fsspec's own configuration holds the login."""
        monkeypatch.setitem(fsspec.config.conf, "swift", {"login": swift_cluster.environ()})
        # the wheel registers it; a checkout that is not installed does so here
        fsspec.register_implementation("swift", SwiftFileSystem, clobber=True)
        filesystem = fsspec.filesystem("swift")
        container = f"f{uuid.uuid4().hex}"
        filesystem.mkdir(container)
        filesystem.pipe({f"{container}/a/x": b"0123456789", f"{container}/a/b/y": b"y", f"{container}/z": b""})
        return container

    def test_listing(self, root: str) -> None:
        """One level, everything below, patterns, sizes."""
        filesystem = fsspec.filesystem("swift")
        assert sorted(filesystem.ls(root, detail=False)) == [f"{root}/a", f"{root}/z"]
        assert filesystem.find(root) == [f"{root}/a/b/y", f"{root}/a/x", f"{root}/z"]
        assert filesystem.glob(f"{root}/a/*") == [f"{root}/a/b", f"{root}/a/x"]
        assert filesystem.du(root) == 11
        assert filesystem.isdir(f"{root}/a")
        assert filesystem.info(f"{root}/a/x")["size"] == 10
        assert root in filesystem.ls("", detail=False)
        with pytest.raises(FileNotFoundError):
            filesystem.info(f"{root}/missing")

    def test_login_is_handed_in(self, root: str, swift_cluster: SwiftCluster, monkeypatch: pytest.MonkeyPatch) -> None:
        """The login is an option of fsspec, and never taken from the process's environment."""
        monkeypatch.delitem(fsspec.config.conf, "swift")
        with fsspec.open(f"swift://{root}/z", "rb", login=swift_cluster.environ()) as file:
            assert file.read() == b""
        for name, value in swift_cluster.environ().items():
            monkeypatch.setenv(name, value)
        with pytest.raises(ConfigurationError, match="OS_AUTH_URL"):
            fsspec.filesystem("swift")

    def test_ranges(self, root: str) -> None:
        """A part of a file, from either end."""
        filesystem = fsspec.filesystem("swift")
        assert filesystem.cat_file(f"{root}/a/x", 2, 5) == b"234"
        assert filesystem.cat_file(f"{root}/a/x", -3) == b"789"
        assert filesystem.cat_file(f"{root}/a/x", 5, 5) == b""
        with pytest.raises(FileNotFoundError):
            filesystem.cat_file(f"{root}/missing")

    def test_open(self, root: str) -> None:
        """Files open for reading with seek, and for writing; nothing is there before they are closed."""
        with fsspec.open(f"swift://{root}/a/x", "rb") as file:
            file.seek(4)
            assert file.read(3) == b"456"
        filesystem = fsspec.filesystem("swift")
        with fsspec.open(f"swift://{root}/new.txt", "wb") as file:
            for _ in range(3):
                file.write(b"n" * 3_000_000)
            assert not filesystem.exists(f"{root}/new.txt")
        assert filesystem.info(f"{root}/new.txt")["size"] == 9_000_000
        with pytest.raises(FileExistsError):
            filesystem.open(f"{root}/new.txt", "xb")

    def test_move_and_remove(self, root: str) -> None:
        """Copies, moves and deletions, of one file and of a tree."""
        filesystem = fsspec.filesystem("swift")
        filesystem.mv(f"{root}/a/x", f"{root}/moved")
        assert filesystem.cat(f"{root}/moved") == b"0123456789"
        assert not filesystem.exists(f"{root}/a/x")
        filesystem.rm(f"{root}/a", recursive=True)
        assert filesystem.find(root) == [f"{root}/moved", f"{root}/z"]
