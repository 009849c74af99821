"""No credential lies in the tree, and the image has the packages that the tests ran with."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
#: What credentials look like, by the services that we use; gitleaks looks for many more in CI.
PATTERNS = {
    "private key": r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----",
    "AWS access key": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "GitHub token": r"\bgh[pousr]_[A-Za-z0-9]{36}\b",
    "Slack webhook": r"hooks\.slack\.com/services/T[A-Z0-9]{8,}/B[A-Z0-9]{8,}/[A-Za-z0-9]{20,}",
    "Slack token": r"\bxox[abprs]-[0-9A-Za-z-]{20,}",
    "Azure account key": r"AccountKey=(?!Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq)[A-Za-z0-9+/]{80,}",
    "JSON web token": r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{20,}",
}


def tracked() -> list[Path]:
    """Every file that git keeps."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.decode().split("\0") if name]


def test_no_credential_is_in_the_tree() -> None:
    """No tracked file holds what looks like a key, a token or a webhook's address."""
    found = [
        f"{path.relative_to(ROOT)}: {what}"
        for path in tracked()
        if path.is_file() and path != Path(__file__)
        for what, pattern in PATTERNS.items()
        if re.search(pattern, path.read_text(errors="ignore"))
    ]
    assert not found


def test_the_image_installs_what_the_tests_ran_with() -> None:
    """Each package of the image is pinned to the version, and to hashes, of the constraints that the tests install."""
    pin = re.compile(r"^([a-z0-9][a-z0-9._-]*)(?:\[[^]]*\])?==(\S+)", re.MULTILINE)
    tested = {match[1]: match[2] for match in pin.finditer((ROOT / "constraints.txt").read_text())}
    image = {match[1]: match[2] for match in pin.finditer((ROOT / "constraints-run.txt").read_text())}
    assert image.items() <= tested.items()
    assert {"dagster", "dagster-k8s", "dagster-celery", "dagster-webserver"} <= set(image)
    assert not {"pytest", "ruff", "moto", "helm-python-sdk"} & set(image)


def test_the_image_has_every_package_that_is_imported() -> None:
    """What the package imports is among the image's packages, not only among the tests'.

    The TOM has an image of its own, and the image does not train: training/ belongs to the extra `[train]`.
    """
    named = set(re.findall(r"^([a-z0-9][a-z0-9._-]*)==", (ROOT / "constraints-run.txt").read_text(), re.MULTILINE))
    owners = packages_distributions()
    lacking = {
        name
        for path in (ROOT / "mma_pipeline").rglob("*.py")
        if path.relative_to(ROOT / "mma_pipeline").parts[0] not in {"tom", "training"}
        for name in imported(path)
        if name not in sys.stdlib_module_names | {"mma_pipeline", "__future__"}
        and not named & {re.sub(r"[-_.]+", "-", owner).lower() for owner in owners.get(name, [])}
    }
    assert not lacking


def imported(path: Path) -> set[str]:
    """Top-level names of all absolute imports of a file, those inside functions too."""
    nodes = list(ast.walk(ast.parse(path.read_text())))
    whole = {alias.name.split(".")[0] for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return whole | {str(n.module).split(".")[0] for n in nodes if isinstance(n, ast.ImportFrom) and not n.level}


def test_every_dependency_is_imported_or_says_why_it_is_there() -> None:
    """A dependency that nothing imports has a comment with the reason in pyproject.toml."""
    owners = packages_distributions()
    used = {
        re.sub(r"[-_.]+", "-", owner).lower()
        for path in (ROOT / "mma_pipeline").rglob("*.py")
        for name in imported(path)
        for owner in owners.get(name, [])
    }
    text = (ROOT / "pyproject.toml").read_text()
    listed = text[text.index("\ndependencies = [") : text.index("[project.optional-dependencies]")]
    unexplained = re.findall(r'^    "([A-Za-z0-9._-]+)[^"]*",$', listed, re.MULTILINE)
    assert [name for name in unexplained if re.sub(r"[-_.]+", "-", name).lower() not in used] == []
