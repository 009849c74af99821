"""The documentation leads somewhere: its links, and the commands that it tells the reader to type."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import pytest
import typer
import yaml

from mma_pipeline.cli import app

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`]+)`")


def _name(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def _anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub and mkdocs form them."""
    headings = re.findall(r"^#+ +(.+?) *$", FENCED.sub("", page.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\s-]", "", heading.lower()).strip() for heading in headings]
    return {re.sub(r"[\s-]+", "-", heading) for heading in plain}


def _commands(page: Path, program: str) -> Iterator[list[str]]:
    """The arguments of each command of a program that the page names in code."""
    text = page.read_text()
    blocks = "\n".join(FENCED.findall(text))
    lines = [*blocks.splitlines(), *CODE.findall(FENCED.sub("", text))]
    for line in lines:
        for found in re.finditer(rf"(?:^ *|-- |&& |\bnice ){program} ([^#|>&\n]+)", line.replace("\n", " ")):
            yield found.group(1).split()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_links_lead_to_files_and_headings(page: Path) -> None:
    """Every relative link and picture of a page is there, and the heading that it names is."""
    broken = []
    for target in re.findall(r"\]\(([^)\s]+)\)", CODE.sub("", FENCED.sub("", page.read_text()))):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = unquote(target).partition("#")
        file = page.parent / name if name else page
        if not file.exists() or (anchor and re.sub("-+", "-", anchor) not in _anchors(file)):
            broken.append(target)
    assert broken == []


def test_every_page_is_in_the_navigation() -> None:
    """The site's navigation names every page below docs/, and no other."""

    def leaves(node: object) -> Iterator[str]:
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            for value in node.values():
                yield from leaves(value)
        elif isinstance(node, list):
            for value in node:
                yield from leaves(value)

    text = (ROOT / ".mkdocs.yml").read_text()
    nav = yaml.safe_load(text[text.index("\nnav:") :])["nav"]
    assert sorted(leaves(nav)) == sorted(p.relative_to(ROOT / "docs").as_posix() for p in (ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_make_targets_exist(page: Path) -> None:
    """Every `make TARGET` that a page names is a target of the Makefile."""
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = {arguments[0] for arguments in _commands(page, "make")}
    assert named - targets == set()


@pytest.mark.parametrize("page", PAGES, ids=_name)
def test_mma_commands_exist(page: Path) -> None:
    """Every `mma COMMAND` that a page names is one, with the options that it is given."""
    wrong = []
    for arguments in _commands(page, "mma"):
        command = typer.main.get_command(app)
        options: set[str] = set()
        for word in arguments:
            inner = getattr(command, "commands", None)
            if inner is not None and word in inner:
                command = inner[word]
                options |= {
                    name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)
                }
            elif word.startswith("--") and word != "--help" and word.split("=")[0].rstrip(".,:;)]") not in options:
                wrong.append(" ".join(arguments))
            elif (
                inner is not None
                and not getattr(command, "invoke_without_command", False)
                and word[0].isalpha()
                and word.islower()
            ):
                wrong.append(" ".join(arguments))
                break
    assert wrong == []


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=_name)
def test_modules_named_are_there(page: Path) -> None:
    """Every module that a page names, as a path or with dots, is in the tree; the changelog may name those of the past."""
    text = page.read_text()
    code = " ".join([*FENCED.findall(text), *CODE.findall(text)])
    roots = (
        ROOT,
        ROOT / "mma_pipeline",
        ROOT / "tests",
        ROOT / "mma_pipeline" / "science",
        ROOT / "mma_pipeline" / "tom",
    )
    paths = {
        name for name in re.findall(r"[\w.]+(?:/[\w.]+)+\.py\b", code) if not any((r / name).is_file() for r in roots)
    }
    dotted = set()
    for name in re.findall(r"\bmma_pipeline(?:\.[a-z_0-9]+)+", text):
        place = ROOT.joinpath(*name.split("."))
        # The last part may be a function or a value of the module before it.
        if not any(p.exists() for p in (place, place.with_suffix(".py"), place.parent.with_suffix(".py"))):
            dotted.add(name)
    assert paths | dotted == set()
