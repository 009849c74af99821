"""The S3 store, on moto's server, on MinIO, and on Swift's S3 interface with Keystone's credentials."""

from __future__ import annotations

import uuid

import pytest

from mma_pipeline.adapters.errors import PermanentError, StoreFullError, TransientError
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.model import Digest
from tests.adapters.store.remote import Place, RemoteContract
from tests.services.fixtures import needs
from tests.services.installed import go_program
from tests.services.minio import Minio
from tests.services.proxy import Proxy
from tests.services.s3 import S3Account, S3Server
from tests.services.swift_cluster import SwiftCluster

# the first test of a run may have to install its server
pytestmark = [pytest.mark.service("s3, minio, swift"), pytest.mark.timeout(2700)]


class S3Contract(RemoteContract):
    """What the store must do on an S3 server that gives the fixture ``server``."""

    @pytest.fixture
    def place(self, server: S3Account) -> Place:
        """A prefix of its own in a bucket."""
        client = server.client()
        if "stores" not in [b["Name"] for b in client.list_buckets()["Buckets"]]:  # type: ignore[attr-defined]
            where = {"LocationConstraint": "eu-west-1"}
            client.create_bucket(Bucket="stores", CreateBucketConfiguration=where)  # type: ignore[attr-defined]
        return Place(f"s3://stores/{uuid.uuid4().hex}", server.port, server.environ_at, ("AWS_SECRET_ACCESS_KEY",))

    def test_large_object_is_multipart(self, place: Place, store: Store, server: S3Account) -> None:
        """What is large goes in parts, and the server knows type and metadata as any client sees them."""
        store.put("x.json", b"n" * (20 << 20), metadata={"offset": "7"})
        seen = server.client().head_object(  # type: ignore[attr-defined]
            Bucket="stores", Key=place.url.removeprefix("s3://stores/") + "/x.json"
        )
        assert seen["ETag"].endswith('-2"')
        assert (seen["ContentType"], seen["Metadata"]["offset"]) == ("application/json", "7")

    def test_broken_upload_leaves_no_parts(self, place: Place, server: S3Account, proxy: Proxy) -> None:
        """The parts of an upload that was cut are removed: they would be paid for, and no listing shows them."""
        shaky = place.open(proxy.port, first_wait_s=0.05)
        proxy.break_next(1, after=10 << 20)
        assert shaky.put("x", b"n" * (20 << 20)).written
        assert proxy.cuts == 0
        left = server.client().list_multipart_uploads(Bucket="stores")  # type: ignore[attr-defined]
        prefix = place.url.removeprefix("s3://stores/")
        assert [one["Key"] for one in left.get("Uploads", ()) if one["Key"].startswith(prefix)] == []

    def test_written_by_others(self, place: Place, store: Store, server: S3Account) -> None:
        """An object without our digest counts as unchanged if its MD5 agrees, and is written anew if not."""
        key = place.url.removeprefix("s3://stores/") + "/fit/a.json"
        server.client().put_object(Bucket="stores", Key=key, Body=b"{}")  # type: ignore[attr-defined]
        assert not store.put("fit/a.json", b"{}").written
        assert store.get("fit/a.json") == b"{}"
        assert store.put("fit/a.json", b"[]").written

    def test_missing_bucket(self, server: S3Account) -> None:
        """A bucket that is not there is said to be not there, and is not made unless asked for."""
        name = f"missing-{uuid.uuid4().hex}"
        with pytest.raises(PermanentError, match="does not exist"):
            Store.open(f"s3://{name}", environ=server.environ).put("a", b"1")
        assert Store.open(f"s3://{name}", environ=server.environ, create=True).put("a", b"1").written


class TestS3(S3Contract):
    """moto's server, which checks signatures."""

    @pytest.fixture
    def server(self, s3_server: S3Server) -> S3Server:
        """The server."""
        return s3_server


@pytest.mark.skipif(go_program() is None, reason="MinIO is missing: no Go to build it; moto's server stands in")
class TestMinio(S3Contract):
    """MinIO, which keeps objects on disk and checks signatures and digests."""

    @pytest.fixture
    def server(self, minio: Minio) -> Minio:
        """The server."""
        return minio

    def test_damaged_on_the_way(self, store: Store) -> None:
        """The server refuses bytes that are not those that the digest was taken of; nothing is kept."""
        digest = Digest.of(b"what was meant")
        with pytest.raises(TransientError, match="interrupted"):
            store._try("put", "a", lambda: store._backend.write("a", b"what arrives..", digest, "text/plain", {}))
        assert not store.exists("a")

    def test_full_disk(self) -> None:
        """A server that cannot write is a TransientError after limited tries; the old object stays."""
        with needs("MinIO"), Minio.running(file_limit=3_000_000) as full:
            store = Store.open("s3://stores", environ=full.environ, create=True, attempts=2, first_wait_s=0.05)
            store.put("a", b"o" * 2_000_000)
            with pytest.raises(TransientError, match="stores/a"):
                store.put("a", b"n" * 4_000_000)
            assert store.get("a") == b"o" * 2_000_000


class TestS3OnSwift:
    """An S3 server of another make: Swift's, with Keystone's EC2 credentials."""

    @pytest.fixture
    def store(self, swift_cluster: SwiftCluster) -> Store:
        """A bucket of its own."""
        environ = swift_cluster.s3_environ()
        return Store.open(f"s3://b{uuid.uuid4().hex}", environ=environ, create=True, first_wait_s=0.05)

    def test_round_trip(self, store: Store) -> None:
        """Written, read, looked up, listed, copied, deleted; small and in parts."""
        store.put("fit/ü☄.json", b"{}", metadata={"offset": "1"})
        store.put("fit/large", b"n" * (17 << 20))
        assert store.get("fit/ü☄.json") == b"{}"
        found = store.stat("fit/large")
        assert found is not None
        assert found.size == 17 << 20
        assert [o.key for o in store.ls("fit/")] == ["fit/large", "fit/ü☄.json"]
        assert store.copy("fit/ü☄.json", "b").metadata == {"offset": "1"}
        store.delete("fit/large")
        assert store.stat("fit/large") is None

    def test_no_space(self, store: Store, swift_cluster: SwiftCluster) -> None:
        """Over the quota: a StoreFullError, and the old object stays."""
        store.put("a", b"old")
        quota = Store.open(store.url().replace("s3://", "swift://"), environ=swift_cluster.environ())
        set_quota(quota, 1000)
        with pytest.raises(StoreFullError, match="quota"):
            store.put("a", b"n" * 2000)
        assert store.get("a") == b"old"


def set_quota(store: Store, size: int) -> None:
    """Limit a Swift container to ``size`` bytes."""
    from swiftclient import client

    backend = store._backend
    headers = {"X-Container-Meta-Quota-Bytes": str(size)}
    backend._account.call(client.post_container, backend._container, headers=headers)  # type: ignore[attr-defined]
