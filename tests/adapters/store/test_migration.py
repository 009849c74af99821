"""`mma storage` on real servers: moves that are killed and go on, failures that stop nothing, comparisons."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.store.migration import Sample
from mma_pipeline.cli import app
from tests.services.azurite import Azurite
from tests.services.installed import go_program
from tests.services.s3 import S3Account
from tests.services.swift_cluster import SwiftCluster

ROOT = Path(__file__).parents[3]
#: Objects of a move, and after how many it is killed.
COUNT, KILLED = 300, 50
# the first test of a run may have to install its server
pytestmark = [pytest.mark.service("s3, minio, azurite, swift"), pytest.mark.timeout(2700)]


def mma(environ: dict[str, str], *words: str, stderr: int = subprocess.PIPE) -> subprocess.Popen[str]:
    """Start ``mma storage …`` in a process of its own, with nothing but the given names in its environment."""
    program = "import sys; from mma_pipeline.cli import app; sys.argv[0] = 'mma'; app()"
    base = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.Popen(
        [sys.executable, "-c", program, "storage", *words],
        env={**base, "PYTHONPATH": str(ROOT), "DAGSTER_HOME": "/nonexistent", "COLUMNS": "200", **environ},
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def run(environ: dict[str, str], *words: str) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of ``mma storage …`` in this process, with the same environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name in set(os.environ) - {"PATH", "HOME"}:
            patch.delenv(name)
        for name, value in {"DAGSTER_HOME": "/nonexistent", **environ}.items():
            patch.setenv(name, value)
        answer = CliRunner().invoke(app, ["storage", *words])
    assert answer.exception is None or isinstance(answer.exception, SystemExit), answer.exception
    return answer.exit_code, answer.stdout, answer.stderr


def contents(count: int) -> dict[str, bytes]:
    """Objects like the site's: small files of several kinds, one in a hundred larger."""
    made = {}
    for n in range(count):
        folder, kind = ("fit", "test", "mma")[n % 3], ("_alert.json", ".fits.gz", "-contours-smooth.json")[n % 3]
        size = 200_000 if n % 100 == 0 else 100 + n
        made[f"{folder}/S{n:06d}-Initial{kind}"] = (hashlib.sha256(str(n).encode()).digest() * (size // 32 + 1))[:size]
    return made


def fill(store: Store, made: dict[str, bytes]) -> None:
    """Write the objects."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: store.put(*item, metadata={"source_offset": "17"}, look=False), made.items()))


@pytest.fixture
def everything(request: pytest.FixtureRequest, swift_cluster: SwiftCluster, azurite: Azurite) -> dict[str, str]:
    """The environment that reaches all three clouds, each with an empty place named like the others.

    S3 is MinIO, and moto's server where there is no Go to build MinIO.
    """
    s3: S3Account = request.getfixturevalue("minio" if go_program() else "s3_server")
    name = f"m{uuid.uuid4().hex[:20]}"
    return {
        **s3.environ,
        **swift_cluster.environ(),
        **azurite.environ,
        "AWS_BUCKET": name,
        "OS_CONTAINER_NAME": name,
    }


def test_killed_twice_and_resumed(everything: dict[str, str], tmp_path: Path) -> None:
    """Objects go S3 -> Swift -> Azure -> folder; each move is killed twice, goes on, and ends equal by digest."""
    made = contents(COUNT)
    name = everything["AWS_BUCKET"]
    fill(Store.open(f"s3://{name}", environ=everything, create=True), made)
    folder = tmp_path / "products"
    for source, dest in (("s3", "swift"), ("swift", f"abfs://{name}"), (f"abfs://{name}", str(folder))):
        words = ("migrate", "--source", source, "--dest", dest, "--container", "all")
        seen = 0
        for _ in range(2):
            process = mma(everything, *words, "--verbose")
            assert process.stdout is not None
            # what nobody reads stops the process: it cannot run far ahead of the test that kills it
            fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
            moved = 0
            for line in process.stdout:
                moved += line.endswith(": moved\n")
                if moved >= KILLED:
                    break
            os.kill(process.pid, signal.SIGKILL)
            process.communicate()
            seen += moved
        code, out, err = run(everything, *words, "--json")
        assert code == 0, err
        report = json.loads(out)
        assert report["failed"] == []
        assert report["moved"] + report["same"] == COUNT
        assert report["same"] >= seen == 2 * KILLED  # what the killed moves reported is not moved again
    code, out, err = run(everything, "verify", "--store", "s3", "--against", "swift")
    assert code == 0, err
    found = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file() and ".mma" not in p.parts}
    assert {key: hashlib.sha256(path.read_bytes()).hexdigest() for key, path in found.items()} == {
        key: hashlib.sha256(data).hexdigest() for key, data in made.items()
    }
    store = Store.open(folder)
    some = store.stat(next(iter(made)))
    assert some is not None
    assert some.metadata == {"source_offset": "17"}
    assert run(everything, "verify", "--store", str(folder))[0] == 0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder store with thirty objects."""
    fill(Store.open(tmp_path / "source"), contents(30))
    return tmp_path / "source"


def test_container(folder: Path, tmp_path: Path) -> None:
    """Only the folder asked for is moved; a dry run moves nothing and says what it would."""
    words = ("migrate", "--source", str(folder), "--dest", str(tmp_path / "dest"), "--container", "fit")
    code, out, _ = run({}, *words, "--dry-run", "--verbose")
    assert code == 0
    assert "10 files" in out
    assert out.count("would move fit/") == 10
    assert not (tmp_path / "dest").exists()
    code, out, _ = run({}, *words)
    assert code == 0
    assert "10 files moved" in out
    assert {o.key.split("/")[0] for o in Store.open(tmp_path / "dest").ls()} == {"fit"}
    code, out, _ = run({}, *words)
    assert "0 files moved" in out
    assert "10 were there already" in out


def test_estimate(tmp_path: Path) -> None:
    """A dry run counts files and bytes exactly, reads 100 of them for the time, and writes nothing."""
    made = contents(230)
    fill(Store.open(tmp_path / "source"), made)
    words = ("migrate", "--source", str(tmp_path / "source"), "--dest", str(tmp_path / "dest"), "--dry-run")
    code, out, err = run({}, *words, "--json")
    assert code == 0, err
    said = json.loads(out)
    assert (said["files"], said["bytes"], said["there"]) == (230, sum(map(len, made.values())), 0)
    assert said["sampled"] == 100
    assert 0 < said["read_s"] < said["write_s"]
    assert re.search(r"about .+: reading .+, measured on 100 files; writing .+", run({}, *words)[1])
    assert not (tmp_path / "dest").exists()


def test_estimate_by_proportion() -> None:
    """The sample's times grow with the number of files; without a readable file there is no estimate."""
    assert Sample(files=100, read_s=2.0, look_s=1.0).estimate(1500) == (30.0, 45.0)
    assert Sample(files=0, read_s=2.0, look_s=1.0).estimate(1500) is None


def test_progress_on_a_terminal(folder: Path, tmp_path: Path) -> None:
    """On a terminal a line shows percentage, files and rate while files move; the statistics come at the end."""
    screen, terminal = pty.openpty()
    process = mma({"TERM": "xterm"}, "migrate", "--source", str(folder), "--dest", str(tmp_path / "d"), stderr=terminal)
    os.close(terminal)
    shown = b""
    with contextlib.suppress(OSError):  # what a terminal says when nobody holds its other end
        while piece := os.read(screen, 4096):
            shown += piece
    os.close(screen)
    out, _ = process.communicate(timeout=500)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert "100%" in text
    assert "30/30" in text
    assert re.search(r"\d (bytes|[kM]B)/s of \d", text), text
    assert re.search(r"30 files moved \(\S+ kB, .+/s\), 0 were there already; .+ s", out)


def test_failures_stop_nothing(folder: Path, tmp_path: Path) -> None:
    """An object that cannot be written is listed at the end with its reason; the others arrive; the exit code is 1."""
    dest = tmp_path / "dest"
    dest.mkdir()
    (dest / "fit").write_bytes(b"a file where a folder has to be")
    damaged = folder / "test" / next((folder / "test").iterdir()).name
    stat = damaged.stat()
    with damaged.open("r+b") as file:
        file.write(b"X")
    os.utime(damaged, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    code, out, err = run({}, "migrate", "--source", str(folder), "--dest", str(dest))
    assert code == 1
    assert "19 files moved" in out
    assert err.count("failed: fit/") == 10
    assert f"failed: test/{damaged.name}" in err
    assert "11 files failed" in err


def test_wrong_credentials(azurite: Azurite, folder: Path) -> None:
    """A move that cannot log in ends with one line and no secret."""
    key = "d3JvbmctYWNjb3VudC1rZXk="
    environ = azurite.environ | {"DEST_AZURE_ACCOUNT_KEY": key}
    code, out, err = run(environ, "migrate", "--source", str(folder), "--dest", "abfs://fit")
    assert code == 1
    assert "credentials" in err
    assert "Traceback" not in err
    assert key not in out + err


def test_verify(folder: Path, tmp_path: Path) -> None:
    """Objects that changed, are missing or are too many are named, and the exit code is 1."""
    other = tmp_path / "other"
    assert run({}, "migrate", "--source", str(folder), "--dest", str(other))[0] == 0
    assert run({}, "verify", "--store", str(folder))[0] == 0
    assert run({}, "verify", "--store", str(folder), "--against", str(other))[0] == 0
    names = sorted(p for p in (other / "fit").iterdir())
    names[0].write_bytes(b"changed")
    names[1].unlink()
    Store.open(other).put("fit/extra", b"1")
    code, _, err = run({}, "verify", "--store", str(folder), "--against", str(other))
    assert code == 1
    for name in (names[0].name, names[1].name, "extra"):
        assert f"failed: fit/{name}" in err
    assert "3 files failed" in err


def test_listing_and_counting(folder: Path) -> None:
    """`ls` and `du` agree with the folder, for people and as JSON."""
    made = contents(30)
    code, out, _ = run({}, "ls", "--store", str(folder), "--json")
    assert code == 0
    assert {entry["key"]: entry["size_bytes"] for entry in json.loads(out)} == {k: len(v) for k, v in made.items()}
    assert "fit/" in run({}, "ls", "fit/", "--store", str(folder))[1]
    code, out, _ = run({}, "du", "--store", str(folder), "--json")
    assert {row["folder"]: row["files"] for row in json.loads(out)} == {"fit": 10, "test": 10, "mma": 10}
    assert run({}, "ls", "none", "--store", str(folder))[0] == 3
    assert run({}, "migrate", "--source", str(folder), "--dest", str(folder))[0] == 2
    assert run({}, "migrate", "--source", "gcs", "--dest", str(folder))[0] == 2
