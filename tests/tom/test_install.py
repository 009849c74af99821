"""The TOM as a user gets it: a wheel without our science dependencies, from another folder."""

from __future__ import annotations

import importlib
import os
import pkgutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import mma_pipeline.tom

ROOT = Path(__file__).parents[2]
#: What the main environment has and this one must not need.
ABSENT = ("dagster", "healpy", "ligo", "sklearn", "mocpy", "hop", "gcn_kafka", "fastavro")


@pytest.fixture(scope="module")
def installed(tmp_path_factory) -> Path:
    """Folder with the wheel's content, as `pip install --no-deps` lays it down."""
    out = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(out)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=280)
    (wheel,) = out.glob("*.whl")
    target = out / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    return target


def command(site: Path, folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the TOM's command line from `folder` with the installed package."""
    clean = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
    env = clean | {"PYTHONPATH": str(site), "DJANGO_SECRET_KEY": "x", "TOM_DATA_DIR": str(folder)} | environment
    line = [sys.executable, "-m", "mma_pipeline.tom", *arguments]
    return subprocess.run(line, cwd=folder, env=env, capture_output=True, text=True, timeout=280, check=False)


def test_wheel_runs_elsewhere(installed, tmp_path) -> None:
    """The wheel's migrations are complete and make the tables, and its templates are in it."""
    drift = command(installed, tmp_path, "makemigrations", "mma_tom", "--check", "--dry-run")
    assert drift.returncode == 0, drift.stdout
    made = command(installed, tmp_path, "migrate", "--verbosity", "0")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "tom.sqlite3").is_file()
    assert (installed / "mma_pipeline/tom/templates/mma_tom/partials/target_alerts.html").is_file()


def test_every_module_imports_without_our_dependencies() -> None:
    """All modules of the TOM import here, where what the pipeline computes with is not installed."""
    for name in ABSENT:
        assert importlib.util.find_spec(name) is None, f"{name} is installed: this environment proves nothing"
    for module in pkgutil.walk_packages(mma_pipeline.tom.__path__, "mma_pipeline.tom."):
        if module.name != "mma_pipeline.tom.__main__":
            importlib.import_module(module.name)


@pytest.mark.parametrize(
    ("environment", "words"),
    [
        ({"DJANGO_SECRET_KEY": ""}, "Set DJANGO_SECRET_KEY"),
        ({"OIDC_CLIENT_ID": "x"}, "set OIDC_OP_AUTHORIZATION_ENDPOINT too"),
        ({"DJANGO_DEBUG": "maybe"}, "DJANGO_DEBUG is 'maybe': use true or false"),
        ({"TOM_MIN_KILONOVA_PROBABILITY": "high"}, "TOM_MIN_KILONOVA_PROBABILITY is 'high': use a number"),
    ],
)
def test_a_wrong_setting_is_said(installed, tmp_path, environment: dict[str, str], words: str) -> None:
    """A setting that is missing or wrong ends the start with a sentence that says what to do."""
    answer = command(installed, tmp_path, "check", **environment)
    assert answer.returncode != 0
    assert words in answer.stderr
