"""No module imports itself round a corner, neither when it is loaded nor from inside a function."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "mma_pipeline"
#: The TOM is a Django app, whose parts find each other by Django's registry.
LEFT_OUT = "tom"


def module_name(package: Path, path: Path) -> str:
    """Dotted name of a file of the package."""
    parts = path.relative_to(package.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_nodes(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """All imports below a node, without those that only a type checker follows."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child
        elif isinstance(child, ast.If) and ast.unparse(child.test).endswith("TYPE_CHECKING"):
            for other in child.orelse:
                yield from import_nodes(other)
        else:
            yield from import_nodes(child)


def imported_modules(package: Path, path: Path, known: set[str]) -> set[str]:
    """The package's modules that a file imports anywhere in it."""
    name = module_name(package, path)
    parent = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found = set()
    for node in import_nodes(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        else:
            up = parent.split(".")[: parent.count(".") + 2 - node.level] if node.level else []
            base = ".".join([*up, *([node.module] if node.module else [])])
            # `from package import module` needs the module; `from module import name` the module before it.
            names = {f"{base}.{a.name}" if f"{base}.{a.name}" in known else base for a in node.names}
        found |= names & known
    return found - {name}


def circle(package: Path) -> list[str]:
    """Modules of a package that import each other in a circle, each imported by the next; empty where there is none."""
    files = {module_name(package, p): p for p in package.rglob("*.py") if LEFT_OUT not in p.relative_to(package).parts}
    try:
        TopologicalSorter({name: imported_modules(package, path, set(files)) for name, path in files.items()}).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def test_the_package_imports_in_no_circle() -> None:
    """The imports of all modules, those inside functions too, can be put in an order."""
    assert circle(PACKAGE) == []


@pytest.mark.parametrize(
    "back",
    [
        "from sky import one",
        "import sky.one",
        "from . import one",
        "from .one import A",
        "def f():\n    from sky.one import A",
        "class B:\n    if True:\n        from sky.one import A",
    ],
)
def test_a_circle_is_found(tmp_path: Path, back: str) -> None:
    """However the second module imports the first, the circle is named; an import for type checkers is none."""
    package = tmp_path / "sky"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("from sky.two import b\nA = 1\n")
    (package / "two.py").write_text(back)
    assert set(circle(package)) == {"sky.one", "sky.two"}
    (package / "two.py").write_text("if TYPE_CHECKING:\n    from sky.one import A\n")
    assert circle(package) == []
