"""The release has one number, wherever it is written."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import yaml

from mma_pipeline import __version__

ROOT = Path(__file__).parents[1]


def test_package_metadata_take_the_version_from_the_package() -> None:
    """pyproject.toml states no version of its own: the build reads the package's."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert "version" not in settings["project"]
    assert settings["project"]["dynamic"] == ["version"]
    assert settings["tool"]["hatch"]["version"]["path"] == "mma_pipeline/__init__.py"


def test_chart_and_citation_name_the_release() -> None:
    """Chart, image tag in the chart, and citation are of the package's release."""
    chart = yaml.safe_load((ROOT / "helm" / "mma-pipeline" / "Chart.yaml").read_text())
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (chart["version"], chart["appVersion"], citation["version"]) == (__version__,) * 3


def test_commands_that_build_the_image_name_the_release() -> None:
    """The image's tag in the Dockerfile and the operations page is the release."""
    text = "".join((ROOT / name).read_text() for name in ("Dockerfile", "docs/operations.md"))
    assert set(re.findall(r"docker build -t \S*mma-pipeline:(\S+)", text)) == {__version__}


def test_chart_runs_the_image_of_the_release() -> None:
    """Every image tag that the chart's values and the ArgoCD Applications name is the release."""
    files = [*(ROOT / "helm" / "mma-pipeline").glob("values*.yaml"), *(ROOT / "helm" / "argocd").glob("*.yaml")]
    tags = {tag for file in files for tag in re.findall(r"mma-pipeline\S*,?\s+tag: \"([^\"]+)\"", file.read_text())}
    assert tags == {__version__}


def test_changelog_begins_with_the_release() -> None:
    """The newest dated section of the changelog, below what is not released yet, is the release and has the citation's date."""
    (version, date), *_ = re.findall(r"^## (\S+) \((\S+)\)$", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE)
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (version, date) == (__version__, str(citation["date-released"]))
