"""`mma settings`: shows the settings in force, and where each value comes from."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from mma_pipeline.cli.app import JsonOption, console, fail, print_json
from mma_pipeline.settings import GROUPS, Settings, current


def settings(
    as_json: JsonOption = False,
    markdown: Annotated[
        bool, typer.Option("--markdown", help="Print the page docs/settings.md: every setting with its default.")
    ] = False,
) -> None:
    """Show the settings in force with secrets hidden, and the variable that each value comes from."""
    if markdown:
        typer.echo(page(), nl=False)
        return
    found = current()
    rows, problems = list(found.in_force()), found.problems()
    if as_json:
        print_json([asdict(row) for row in rows])
        if problems:
            raise fail("; ".join(problems.values()))
        return
    table = Table("group", "variable", "value", "from")
    for row in rows:
        style = "dim" if row.origin == "default" else ""
        table.add_row(row.group, row.name, Text(row.value or "not set", style), Text(row.origin, style))
    console.print(table)
    console.print(f"state lives in {found.home}", highlight=False, markup=False)
    if problems:
        raise fail("; ".join(problems.values()))


def page() -> str:
    """The documentation of every setting, as Markdown."""
    lines = [
        "# Settings",
        "",
        "Every setting is an environment variable. `mma settings` shows what is in force on this machine and where each",
        "value comes from. An empty variable counts as not set. `true`, `yes`, `on` and `1` mean yes; `false`, `no`, `off` and",
        "`0` mean no; anything else is refused. Where several names are given, the first that is set wins.",
        "",
        "`DAGSTER_HOME` names the folder for local state, by default `dagster_home` below the current folder.",
        "",
        "This page is made by `mma settings --markdown`.",
    ]
    rows = list(Settings({}).in_force())
    for group, kind in GROUPS.items():
        lines += [
            "",
            f"## {group.capitalize()}",
            "",
            (kind.__doc__ or "").strip(),
            "",
            "| variable | meaning | default |",
            "|---|---|---|",
        ]
        for row in rows:
            if row.group == group:
                names = ", ".join(f"`{name}`" for name in (row.name, *row.aliases))
                default = f"`{row.default}`" if row.default else ""
                lines.append(f"| {names} | {row.about} | {default} |")
    return "\n".join(lines) + "\n"
