"""Commands that meet something that is there already, or cannot be had: one clear message, and nothing is lost."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.adapters.store import Store
from mma_pipeline.cli import app
from mma_pipeline.cli.app import Exit
from mma_pipeline.cli.local_dagster import fresh_home

ROOT = Path(__file__).resolve().parents[2]
RUNNER = CliRunner()
SECOND = "from pathlib import Path; import sys; from mma_pipeline.cli.local_dagster import fresh_home; fresh_home(Path(sys.argv[1]))"


def test_a_second_demo_leaves_the_first_alone(tmp_path: Path) -> None:
    """Who starts a demo where one runs is told so, and the first keeps its files; later the folder is made anew."""
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path)
    script = f"{SECOND}; print('there', flush=True); sys.stdin.read()"
    first = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert first.stdout is not None
        assert first.stdout.readline() == "there\n"
        (tmp_path / "demo" / "archive.db").write_text("of the first")
        second = subprocess.run([sys.executable, "-c", SECOND, str(tmp_path)], capture_output=True, text=True)
        assert second.returncode == Exit.FAILED
        assert "a demo is running in" in second.stderr
        assert (tmp_path / "demo" / "archive.db").read_text() == "of the first"
    finally:
        first.communicate()
    subprocess.run([sys.executable, "-c", SECOND, str(tmp_path)], check=True)
    assert [path.name for path in (tmp_path / "demo").iterdir()] == ["dagster.yaml"]


def test_a_folder_that_no_demo_made_is_not_emptied(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What somebody keeps in a folder of that name stays there."""
    shutil.copy(ROOT / "dagster_home" / "dagster.yaml", tmp_path)
    (tmp_path / "demo").mkdir()
    (tmp_path / "demo" / "thesis.txt").write_text("mine")
    with pytest.raises(typer.Exit):
        fresh_home(tmp_path)
    assert "move it away" in capsys.readouterr().err
    assert (tmp_path / "demo" / "thesis.txt").read_text() == "mine"


def test_a_port_that_is_taken_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`mma serve` says that it cannot listen, not that the portal is there."""
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path))
    monkeypatch.setenv("MMA_ARCHIVE_URL", f"sqlite:///{tmp_path / 'archive.db'}")
    assert RUNNER.invoke(app, ["archive", "migrate"]).exit_code == 0
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        answer = RUNNER.invoke(app, ["serve", "--port", port])
    assert answer.exit_code == Exit.FAILED
    assert f"127.0.0.1:{port} cannot be listened on" in answer.output
    assert "portal:" not in answer.output


@pytest.mark.parametrize("port", ["0", "-3", "99999"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    """`mma metrics` takes the ports that exist."""
    assert RUNNER.invoke(app, ["metrics", "--port", port]).exit_code == Exit.USAGE


def test_two_simulations_of_one_event_are_not_mixed(tmp_path: Path) -> None:
    """A folder that has another simulation of the event is refused, and stays; the same one again writes the same files."""
    asked = ["simulate", str(tmp_path), "--event", "MS260101aa", "--order", "8", "--time"]
    assert RUNNER.invoke(app, [*asked, "2026-01-01T00:00:00"]).exit_code == 0
    files = {path: path.read_bytes() for path in tmp_path.iterdir()}
    again = RUNNER.invoke(app, [*asked, "2026-01-01T00:00:04"])
    assert again.exit_code == Exit.USAGE
    assert "another simulation of MS260101aa" in again.output
    assert RUNNER.invoke(app, [*asked, "2026-01-01T00:00:00"]).exit_code == 0
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == files


@pytest.mark.skipif(not Path("/proc/self").is_dir(), reason="no folder here in which nobody can make one")
def test_a_store_that_cannot_be_made_says_so() -> None:
    """A store's folder that nobody can make is named as that, not as a missing object."""
    with pytest.raises(PermanentError, match="the folder cannot be made"):
        Store.open("file:///proc/nope").put("key", b"data")


def test_a_plot_is_png(tmp_path: Path) -> None:
    """`mma windows --plot` writes no PNG under another name."""
    answer = RUNNER.invoke(app, ["windows", "S230518h", "--plot", str(tmp_path / "x.pdf")])
    assert answer.exit_code == Exit.USAGE
    assert "ends with .png" in answer.output
