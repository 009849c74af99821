"""S3 and everything that speaks it (AWS, MinIO, Ceph, Swift's s3api), through s3fs's connection.

s3fs's own file methods lose metadata on the way (`info` does not return it) and list where an object is missing, so the
calls are made one level below, on the same client: one request to look up, one to read, one to write.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from mma_pipeline.adapters.store.model import Digest, Payload, StoredObject, check_size, pieces, whole_size

_T = TypeVar("_T")
_PART = 16 << 20
"""Bytes of one part of a multipart upload; 10,000 parts of 16 MiB are 156 GiB."""


class S3Backend:
    """One bucket, or a prefix of it.

    Args:
        bucket: must exist, unless ``create`` is given.
        prefix: keys live under ``prefix/``; empty for the whole bucket.
        environ: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_DEFAULT_REGION, AWS_ENDPOINT_URL;
            without keys, AWS's own chain (profile, instance role) is asked.
        endpoint: server other than AWS.
        timeout_s: for connecting, and for each wait for bytes, seconds.
        create: make the bucket if it is missing.
    """

    def __init__(
        self,
        bucket: str,
        prefix: str,
        *,
        environ: Mapping[str, str],
        endpoint: str | None = None,
        timeout_s: float = 30.0,
        create: bool = False,
    ) -> None:
        import s3fs

        self.name = f"s3://{bucket}/{prefix}".rstrip("/")
        secret, token = environ.get("AWS_SECRET_ACCESS_KEY"), environ.get("AWS_SESSION_TOKEN")
        self.secrets = tuple(value for value in (secret, token) if value)
        self._bucket, self._prefix, self._create = bucket, f"{prefix}/" if prefix else "", create
        region = environ.get("AWS_DEFAULT_REGION") or environ.get("AWS_REGION")
        self._location: dict[str, Any] = {}
        if region and region != "us-east-1":
            self._location = {"CreateBucketConfiguration": {"LocationConstraint": region}}
        self._fs = s3fs.S3FileSystem(
            key=environ.get("AWS_ACCESS_KEY_ID") or None,
            secret=secret or None,
            token=token or None,
            endpoint_url=endpoint or environ.get("AWS_ENDPOINT_URL") or None,
            client_kwargs={"region_name": region} if region else {},
            config_kwargs={
                "connect_timeout": timeout_s,
                "read_timeout": timeout_s,
                "max_pool_connections": 64,
                "retries": {"total_max_attempts": 1},  # `Store` retries, nobody else
                # Content-MD5 is sent instead: servers other than AWS refuse the newer trailing checksums
                "request_checksum_calculation": "when_required",
                "response_checksum_validation": "when_required",
            },
            use_listings_cache=False,
            skip_instance_cache=True,
        )
        self._fs.retries = 1

    def write(self, key: str, data: Payload, digest: Digest, content_type: str, metadata: Mapping[str, str]) -> None:
        """Put in one request, or in parts above 16 MiB; S3 shows the object when the last byte was accepted."""
        described = {"ContentType": content_type, "Metadata": {**metadata, "sha256": digest.sha256}}
        try:
            self._run(self._write(key, data, digest, described))
        except FileNotFoundError:  # no such bucket
            if not self._create:
                raise
            with contextlib.suppress(FileExistsError):  # another writer was faster
                self._fs.call_s3("create_bucket", Bucket=self._bucket, **self._location)
            self._run(self._write(key, data, digest, described))

    def read(self, key: str, into: Path | None = None) -> tuple[StoredObject, bytes]:
        """Get what is said of the object and its bytes from one answer."""
        return self._run(self._read(key, into))

    def part(self, key: str, start: int, length: int) -> tuple[StoredObject, bytes]:
        """Get a range of bytes in one request."""
        return self._run(self._part(key, start, length))

    def head(self, key: str) -> StoredObject | None:
        """Ask for the headers."""
        try:
            answer = self._fs.call_s3("head_object", Bucket=self._bucket, Key=self._prefix + key)
        except FileNotFoundError:
            return None
        return _from_headers(key, answer)

    def ls(self, prefix: str) -> Iterator[StoredObject]:
        """Page through the bucket, 1,000 keys a request."""
        token: dict[str, str] = {}
        while True:
            page = self._fs.call_s3("list_objects_v2", Bucket=self._bucket, Prefix=self._prefix + prefix, **token)
            for entry in page.get("Contents", ()):
                key = entry["Key"].removeprefix(self._prefix)
                if not key.endswith("/"):  # a folder's marker
                    yield StoredObject(key, entry["Size"], md5=_md5(entry.get("ETag")))
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def copy(self, src: str, dst: str) -> None:
        """Copy on the server's side; type and metadata come along."""
        source = {"Bucket": self._bucket, "Key": self._prefix + src}
        self._fs.call_s3("copy_object", Bucket=self._bucket, Key=self._prefix + dst, CopySource=source)

    def delete(self, key: str) -> None:
        """Delete (S3 does not say whether it was there)."""
        self._fs.call_s3("delete_object", Bucket=self._bucket, Key=self._prefix + key)

    def _run(self, work: Coroutine[Any, Any, _T]) -> _T:
        from fsspec.asyn import sync

        result: _T = sync(self._fs.loop, lambda: work)
        return result

    async def _write(self, key: str, data: Payload, digest: Digest, described: Mapping[str, Any]) -> None:
        target = {"Bucket": self._bucket, "Key": self._prefix + key}
        call = self._fs._call_s3  # the coroutine form of call_s3
        if digest.size <= _PART:
            body = data if isinstance(data, bytes) else data.read_bytes()
            checksum = base64.b64encode(bytes.fromhex(digest.md5)).decode()
            await call("put_object", **target, **described, Body=body, ContentMD5=checksum)
            return
        upload = {**target, "UploadId": (await call("create_multipart_upload", **target, **described))["UploadId"]}
        async with contextlib.AsyncExitStack() as unless_complete:
            unless_complete.push_async_callback(call, "abort_multipart_upload", **upload)
            parts = []
            for number, piece in enumerate(pieces(data, _PART), start=1):
                md5 = hashlib.md5(piece, usedforsecurity=False).digest()
                part = await call(
                    "upload_part", **upload, PartNumber=number, Body=piece, ContentMD5=base64.b64encode(md5).decode()
                )
                parts.append({"PartNumber": number, "ETag": part["ETag"]})
            await call("complete_multipart_upload", **upload, MultipartUpload={"Parts": parts})
            unless_complete.pop_all()

    async def _part(self, key: str, start: int, length: int) -> tuple[StoredObject, bytes]:
        wanted = f"bytes={start}-{start + length - 1}"
        answer = await self._fs._call_s3("get_object", Bucket=self._bucket, Key=self._prefix + key, Range=wanted)
        async with answer["Body"] as body:
            data = await body.read()
        found = _from_headers(key, answer)
        check_size(found, len(data))  # the answer's length is the part's
        return replace(found, size=whole_size(answer.get("ContentRange"), len(data))), data

    async def _read(self, key: str, into: Path | None) -> tuple[StoredObject, bytes]:
        answer = await self._fs._call_s3("get_object", Bucket=self._bucket, Key=self._prefix + key)
        found = _from_headers(key, answer)
        async with answer["Body"] as body:
            if into is None:
                data = await body.read()
                check_size(found, len(data))
                return found, data
            size = 0
            with into.open("wb") as file:
                while piece := await body.read(1 << 20):
                    size += file.write(piece)
            check_size(found, size)
        return found, b""


def _from_headers(key: str, answer: Mapping[str, Any]) -> StoredObject:
    """Read an answer to HEAD or GET."""
    notes = {name.lower(): value for name, value in answer.get("Metadata", {}).items()}
    # with a customer's or KMS's key the ETag is no MD5
    plain = answer.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in answer
    return StoredObject(
        key,
        answer["ContentLength"],
        notes.pop("sha256", None),
        _md5(answer.get("ETag")) if plain else None,
        answer.get("ContentType"),
        notes,
    )


def _md5(etag: str | None) -> str | None:
    """MD5 from an ETag; None for a multipart upload's (they hold a dash)."""
    value = (etag or "").strip('"').lower()
    return value if len(value) == 32 and "-" not in value else None
