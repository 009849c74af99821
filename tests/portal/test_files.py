"""Files of the store over HTTP: bytes, types, digests, ranges, and nothing but what the pipeline writes."""

from __future__ import annotations

import base64
import hashlib

import pytest
from fastapi.testclient import TestClient

from mma_pipeline.adapters.store import Store
from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import Portal
from tests.homes import Home


def test_every_file_is_served(web: TestClient, filled: Home) -> None:
    """Every file of the store comes with its bytes, its SHA-256 as ETag and digest, and a type."""
    files = filled.files()
    assert len(files) > 20
    for key, data in files.items():
        answer = web.get(f"/files/{key}")
        digest = hashlib.sha256(data)
        assert answer.content == data
        assert answer.headers["etag"] == f'"{digest.hexdigest()}"'
        assert answer.headers["repr-digest"] == f"sha-256=:{base64.b64encode(digest.digest()).decode()}:"
        assert answer.headers["content-length"] == str(len(data))
        assert answer.headers["content-type"]


@pytest.mark.parametrize(
    "path",
    [
        "../archive.db",
        "..%2farchive.db",
        "%2e%2e/archive.db",
        "fit/../../archive.db",
        "fit/..%2f..%2f..%2farchive.db",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "fit/..%5c..%5carchive.db",
        ".mma/lock",
        "fit",
        "fit/",
        "mma/S240301a",
        "mma/%00",
        "mma/%ff",
        "dagster.yaml",
        "other/x",
        "",
        "mma/" + "a" * 2000,
    ],
)
def test_no_way_out(web: TestClient, path: str) -> None:
    """What is no file of the pipeline in the store is not found, however it is spelled."""
    answer = web.get(f"/files/{path}")
    assert answer.status_code == 404
    assert "SQLite" not in answer.text


def test_ranges(web: TestClient, filled: Home) -> None:
    """One range is sent as asked for; what lies outside is refused; what cannot be read gets the whole (RFC 9110, 14)."""
    key = next(key for key in filled.files() if key.endswith("_moc.fits.gz"))
    data, url = filled.files()[key], f"/files/{key}"
    size = len(data)
    for asked, first, last in (
        ("bytes=0-9", 0, 9),
        ("bytes=5-", 5, size - 1),
        ("bytes=-7", size - 7, size - 1),
        (f"bytes=10-{size + 100}", 10, size - 1),
        (f"bytes=-{size + 5}", 0, size - 1),
    ):
        answer = web.get(url, headers={"range": asked})
        assert (answer.status_code, answer.content) == (206, data[first : last + 1]), asked
        assert answer.headers["content-range"] == f"bytes {first}-{last}/{size}"
    for asked in (f"bytes={size}-", "bytes=-0", "bytes=99999999999999999999-"):
        answer = web.get(url, headers={"range": asked})
        assert (answer.status_code, answer.headers["content-range"]) == (416, f"bytes */{size}")
    for asked in ("bytes=0-1,4-5", "bytes=9-3", "bytes=-", "pages=1-2", "bytes=a-b"):
        assert web.get(url, headers={"range": asked}).content == data
    changed = {"range": "bytes=0-9", "if-range": '"another"'}
    assert web.get(url, headers=changed).content == data


def test_validators(web: TestClient, filled: Home) -> None:
    """A file that the reader has is not sent again; HEAD tells everything without the bytes."""
    key, data = next(iter(filled.files().items()))
    tag = f'"{hashlib.sha256(data).hexdigest()}"'
    again = web.get(f"/files/{key}", headers={"if-none-match": f"W/{tag}"})
    assert (again.status_code, again.content) == (304, b"")
    head = web.head(f"/files/{key}")
    assert (head.status_code, head.content, head.headers["content-length"]) == (200, b"", str(len(data)))
    assert head.headers["etag"] == tag


def test_pages_of_strangers_do_not_run(filled: Home) -> None:
    """A file that says it is HTML or SVG is saved, not shown, and runs nowhere; an event's page is shown."""
    store = Store.open("memory://portal-strangers")
    store.put("mma/S240301a/evil.html", b"<script>alert(1)</script>", content_type="text/html")
    store.put("mma/S240301a/x/index.html", b"<script>alert(1)</script>", content_type="text/html")
    store.put("mma/S240301a/evil.svg", b"<svg onload='alert(1)'/>", content_type="image/svg+xml")
    store.put("mma/S240301a/index.html", b"<p>page</p>", content_type="text/html; charset=utf-8")
    with TestClient(create_app(Portal(filled.archive, store))) as client:
        for name in ("evil.html", "x/index.html", "evil.svg"):
            answer = client.get(f"/files/mma/S240301a/{name}")
            assert answer.headers["content-disposition"].startswith("attachment;")
            assert "sandbox" in answer.headers["content-security-policy"]
        page = client.get("/files/mma/S240301a/index.html")
        assert page.headers["content-disposition"].startswith("inline;")


def test_damaged_file_never_arrives_whole(filled: Home) -> None:
    """Bytes that are not those that were written break the answer off instead of completing it."""
    from mma_pipeline.adapters.store.memory import MemoryBackend

    store = Store.open("memory://portal-damage")
    data = b"x" * (9 << 20)
    store.put("mma/S240301a/large.bin", data)
    objects = MemoryBackend.named("portal-damage")._objects
    found, _ = objects["mma/S240301a/large.bin"]
    objects["mma/S240301a/large.bin"] = (found, data[:-1] + b"y")
    with (
        TestClient(create_app(Portal(filled.archive, store))) as client,
        pytest.raises(RuntimeError, match="already started"),
    ):
        client.get("/files/mma/S240301a/large.bin")


def test_pictures_show_in_the_ui_beside_the_portal(home: Home) -> None:
    """Pages of the portal's site may show pictures, and on one machine, where addresses are no site, all may; no other file."""
    home.store.put("mma/S240301a/words.png", b"\x89PNG", content_type="image/png")
    home.store.put("mma/S240301a/words.txt", b"words", content_type="text/plain")
    policy, web = "cross-origin-resource-policy", TestClient(create_app(Portal(home.archive, home.store)))
    assert web.get("https://portal.example.org/files/mma/S240301a/words.png").headers[policy] == "same-site"
    for address in ("http://127.0.0.1:3001", "http://[::1]:3001"):
        assert web.get(f"{address}/files/mma/S240301a/words.png").headers[policy] == "cross-origin"
        assert web.get(f"{address}/files/mma/S240301a/words.txt").headers[policy] == "same-origin"
