"""An archive of the previous release: what only reads leaves it as it is and says what to run."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.archive.migrate import current_revision
from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.cli import app
from mma_pipeline.defs.resources import ArchiveResource
from tests import older_archive
from tests.homes import Home

KEY = older_archive.KEYS[0]
#: Every command that opens the archive, but `mma archive migrate`.
COMMANDS = [
    ["status"],
    ["status", "--json"],
    ["show", older_archive.EVENT],
    ["show", KEY, "--json"],
    ["quarantine"],
    ["quarantine", "--json"],
    ["quarantine", "save", "2", "{folder}/message"],
    ["quarantine", "retry", "--all", "--json"],
    ["quarantine", "dismiss", "2", "--reason", "seen"],
    ["explain", older_archive.EVENT],
    ["explain", KEY, "--json"],
    ["publication", "list"],
    ["publication", "list", "--json"],
    ["publication", "blocked", "--json"],
    ["publication", "retry", "--all"],
    ["publication", "release", KEY, "--reason", "seen"],
    ["publication", "send"],
    ["crossmatch", older_archive.EVENT, "--ra", "150", "--dec", "20"],
    ["crossmatch", older_archive.EVENT, "--ra", "150", "--dec", "20", "--json"],
    ["pointings", "list", older_archive.EVENT],
    ["pointings", "coverage", older_archive.EVENT, "--json"],
    ["windows", older_archive.EVENT],
    ["forecast", older_archive.EVENT],
    ["survey", "stats"],
    ["survey", "explain", "ZTF18abcdefg"],
    ["doctor"],
    ["doctor", "--json"],
    ["metrics"],
    ["backfill", "--all", "--dry-run", "--json"],
    ["backfill", older_archive.EVENT],
    ["archive", "export", "{folder}/archive.jsonl.gz"],
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_command_changes_an_older_archive(command: list[str], home: Home, tmp_path: Path) -> None:
    """It fails, says `mma archive migrate`, with --json too, and no table, column or row is another one afterwards."""
    engine = older_archive.make(home.env["MMA_ARCHIVE_URL"])
    before = older_archive.contents(engine)
    result = CliRunner().invoke(app, [part.format(folder=tmp_path) for part in command])
    assert result.exit_code == 1
    assert "mma archive migrate" in " ".join(result.output.split())
    assert older_archive.contents(engine) == before


def test_the_running_pipeline_does_not_change_it_either(home: Home) -> None:
    """Sensors and assets, which may make the tables of an empty database, refuse an older one."""
    engine = older_archive.make(home.env["MMA_ARCHIVE_URL"])
    with pytest.raises(PermanentError, match="mma archive migrate"):
        ArchiveResource(url=home.env["MMA_ARCHIVE_URL"]).open()
    assert current_revision(engine) == older_archive.REVISION


def test_commands_that_read_no_archive_go_on(home: Home) -> None:
    """`mma stream` and `mma settings` work beside an older archive, and leave it."""
    engine = older_archive.make(home.env["MMA_ARCHIVE_URL"])
    for command in (["stream", "--json"], ["settings", "--json"]):
        assert CliRunner().invoke(app, command).exit_code == 0
    assert current_revision(engine) == older_archive.REVISION
