"""House rules that a linter does not know."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "mma_pipeline"
#: Hosts of package registries, in pieces so that this file does not name one.
REGISTRIES = [
    "pypi" + ".org",
    "python" + "hosted.org",
    "npm" + "js.org",
    "npm" + "js.com",
    "yarn" + "pkg.com",
    "repo.maven." + "apache.org",
    "repo1." + "maven.org",
    "proxy.golang" + ".org",
    "docker" + ".io/",
    "ghcr" + ".io",
    "quay" + ".io",
]
#: Words that tell a unit or a shape: one of them belongs into the docstring of a function that takes or gives numbers.
UNITS = re.compile(
    r"\bdeg|°|degrees?|\brad\b|radians?|\bsr\b|sr⁻|steradian|Mpc|kpc|\bkm\b|\bcm\b|seconds?|\bs\b|\bms\b|minutes?|hours?|days?|MJD|"
    r"\bHz\b|bytes?|MB|\bmag|AB\b|magnitudes?|solar|Msun|M☉|erg|Jy|Å|µm|\bnm\b|shape|probabilit|unitless|dimensionless|fraction|"
    r"\bper\b|order|\bindex|indices|UNIQ|pixel|NESTED|rows?\b|count|number|percent|%|sigma|ratio|bits|unit|redshift|Julian|score|rank",
    re.IGNORECASE,
)
NUMERIC = re.compile(r"Array|ndarray|npt\.|\bfloat\b")


def _tracked() -> list[Path]:
    done = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_registry_is_named() -> None:
    """No tracked file names the host of a package registry: where packages come from is the machine's business."""
    found = []
    for path in _tracked():
        text = path.read_bytes().decode("utf-8", errors="ignore")
        found += [f"{path.relative_to(ROOT)}: {host}" for host in REGISTRIES if host in text]
    assert found == []


def test_nothing_is_printed() -> None:
    """The package logs or returns what it has to say: `print` is for no module."""
    found = []
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
                found.append(f"{path.relative_to(ROOT)}:{node.lineno}")
    assert found == []


def _public_numeric_functions() -> Iterator[tuple[str, ast.FunctionDef]]:
    """Public functions of `science` whose annotations hold arrays or floats."""
    for path in sorted((PACKAGE / "science").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
                arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
                annotations = [a.annotation for a in arguments] + [node.returns]
                if any(a is not None and NUMERIC.search(ast.unparse(a)) for a in annotations):
                    yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def test_numbers_have_units() -> None:
    """The docstring of every public function of science that takes or gives numbers says units or shapes."""
    functions = dict(_public_numeric_functions())
    assert len(functions) > 10
    assert [name for name, node in functions.items() if not UNITS.search(ast.get_docstring(node) or "")] == []


#: Modules whose texts go to people as messages.
MESSAGES = (
    "adapters/publishing/webhook.py", "adapters/hopskotch/plugin.py", "notices/outgoing", "notices/candidate_summary.py",
    "defs/operations/health.py", "defs/operations/finders.py", "defs/publication/problems.py",
)  # fmt: skip


def test_numbers_in_messages_are_words() -> None:
    """Messages to people have their numbers from `notices.words`: none is cut to digits where a text is made."""
    found, cut = [], re.compile(r"\.\d*[efg%]|^[egf%]$")
    paths = [path for name in MESSAGES for path in sorted((PACKAGE / name).rglob("*.py")) or [PACKAGE / name]]
    for path in paths:
        text = path.read_text()
        found += [f"{path.relative_to(ROOT)}: {one}" for one in re.findall(r'"%[^"]*"\s*(?:%|\|\s*format)', text)]
        for node in ast.walk(ast.parse(text)):
            spec = node.format_spec if isinstance(node, ast.FormattedValue) else None
            if spec is not None and any(isinstance(v, ast.Constant) and cut.search(v.value) for v in spec.values):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {ast.unparse(node)}")
    assert len(paths) > len(MESSAGES)
    assert found == []


def test_every_test_says_what_must_hold() -> None:
    """Each test function has a docstring."""
    found = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_") and not ast.get_docstring(node):
                found.append(f"{path.relative_to(ROOT)}:{node.lineno} {node.name}")
    assert found == []


def test_times_of_astropy_come_with_its_packaged_tables() -> None:
    """A module that takes times or coordinates from astropy asks for the packaged tables first, lest their age stop it.

    Science, which cannot import the adapter that sets the tables, takes none.
    """
    found = []
    for path in PACKAGE.rglob("*.py"):
        text = path.read_text()
        takes = re.search(r"^\s*(from|import) (astropy\.(time|coordinates)|astroplan)\b", text, re.MULTILINE)
        if takes and "tom" not in path.relative_to(PACKAGE).parts and "use_packaged_tables()" not in text:
            found.append(str(path.relative_to(ROOT)))
    assert found == []
    assert "\nuse_packaged_tables()\n" in (PACKAGE / "tom/project/settings.py").read_text(), "for all of the TOM"
