"""Settings are read in one place, described on one page, and hide their secrets."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from typer.testing import CliRunner

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.cli import app
from mma_pipeline.cli.settings import page
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.settings import Settings

ROOT = Path(__file__).parents[1]
#: Who reads the environment, beside the TOM, whose settings are Django's in another environment.
READER = {"mma_pipeline/settings/environment.py"}


def _reads_environment(path: Path) -> bool:
    tree = ast.parse(path.read_text())
    return any(
        isinstance(node, ast.Attribute)
        and node.attr in {"environ", "getenv", "environb"}
        and isinstance(node.value, ast.Name)
        and node.value.id == "os"
        for node in ast.walk(tree)
    )


def test_environment_is_read_in_one_place() -> None:
    """Nothing in the package but one module of the settings looks at the environment."""
    files = (p for p in (ROOT / "mma_pipeline").rglob("*.py") if "mma_pipeline/tom/" not in p.as_posix())
    found = {path.relative_to(ROOT).as_posix() for path in files if _reads_environment(path)}
    assert found == READER


#: Modules that look the process's settings up, beside the commands: the resources of Dagster, the launcher that it makes by
#: dagster.yaml, and the client of the portal, which runs where people work.
LOOK_UP = {"client.py", "defs/resources.py", "instance/launcher.py"}


def test_settings_are_looked_up_at_the_boundary() -> None:
    """Commands, resources, launcher and client look the settings up; all others are handed what they need."""
    package = ROOT / "mma_pipeline"
    found = set()
    for path in package.rglob("*.py"):
        names = {
            alias.name
            for node in ast.walk(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom) and node.module == "mma_pipeline.settings"
            for alias in node.names
        }
        if "current" in names:
            found.add(path.relative_to(package).as_posix())
    assert {name for name in found if not name.startswith("cli/")} == LOOK_UP


def test_page_is_todays() -> None:
    """docs/settings.md lists exactly the settings that the code has."""
    assert (ROOT / "docs" / "settings.md").read_text() == page(), "run: mma settings --markdown > docs/settings.md"


def test_every_setting_has_a_description() -> None:
    """Each setting says what it is for."""
    assert all(row.about for row in Settings({}).in_force())


@pytest.mark.parametrize(("text", "value"), [("true", True), ("YES", True), ("on", True), ("1", True), ("off", False)])
def test_one_parser_for_booleans(text: str, value: bool) -> None:
    """Every boolean understands the same words."""
    names = ("MMA_HOP_STREAMS", "MMA_HOP_TESTS", "DRY_RUN", "WRITE_TO_STORAGE")
    found = Settings(dict.fromkeys(names, text))
    read = (found.hopskotch.streams, found.hopskotch.tests, found.publication.dry_run, found.store.write)
    assert read == (value,) * 4


def test_a_wrong_value_names_its_variable_and_stops_its_group_only() -> None:
    """A value that cannot be used is named without being shown, and the other groups work on."""
    found = Settings({"MMA_GALAXY_LEVEL": "a-secret-word", "KAFKA_CLIENT_ID": "me"})
    with pytest.raises(ConfigurationError, match="MMA_GALAXY_LEVEL") as refusal:
        found.galaxies  # noqa: B018 - reading it is what must fail
    assert "a-secret-word" not in str(refusal.value)
    assert found.kafka.client_id == "me"


def test_a_wrong_value_is_shown_where_it_is() -> None:
    """Beside a value that cannot be used, the others of its group are shown as they are."""
    found = Settings({"MMA_SURVEY_LEVEL": "3", "MMA_SURVEY_DAYS": "7"})
    shown = {row.name: row for row in found.in_force() if row.group == "surveys"}
    assert float(shown["MMA_SURVEY_DAYS"].value) == 7
    assert "less than or equal to 1" in shown["MMA_SURVEY_LEVEL"].value
    wrong = [row.name for row in shown.values() if "MMA_SURVEY_LEVEL" in row.value]
    assert wrong == ["MMA_SURVEY_LEVEL"]


def test_listeners_names_are_aliases() -> None:
    """The names that the clouds' own tools use beside the listeners' work too, the first that is set wins."""
    assert Settings({"AWS_REGION": "eu-west-1"}).store.aws_default_region == "eu-west-1"
    both = Settings({"AWS_DEFAULT_REGION": "us-east-1", "AWS_REGION": "eu-west-1"})
    assert both.store.aws_default_region == "us-east-1"


def test_empty_is_not_set_except_where_it_means_none() -> None:
    """An empty variable leaves the default; empty orbit sources mean that nothing is fetched."""
    found = Settings({"KAFKA_OFFSET_RESET": "", "MMA_TLE_SOURCE": ""})
    assert found.kafka.offset_reset == "earliest"
    assert found.observing.tle_source == ()


def test_command_hides_secrets_and_says_where_values_come_from(monkeypatch: pytest.MonkeyPatch) -> None:
    """`mma settings` shows values and their variables, and no secret."""
    monkeypatch.setenv("KAFKA_CLIENT_SECRET", "hunter22hunter22")
    monkeypatch.setenv("KAFKA_OFFSET_RESET", "latest")
    answer = CliRunner().invoke(app, ["settings"])
    assert answer.exit_code == 0
    assert "hunter22" not in answer.output
    assert "KAFKA_CLIENT_SECRET" in answer.output
    assert "latest" in answer.output


def test_a_default_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """No cell is blank: a setting without a value is `not set`, and one that no variable sets comes from `default`."""
    for name in ("KAFKA_GROUP_ID", "GCN_DOMAIN"):
        monkeypatch.delenv(name, raising=False)
    lines = CliRunner().invoke(app, ["settings"]).stdout.splitlines()
    cells = {row[1]: row[2:4] for line in lines if len(row := [c.strip() for c in line.strip("│").split("│")]) == 4}
    assert cells["KAFKA_GROUP_ID"] == ["not set", "default"]
    assert cells["GCN_DOMAIN"] == ["gcn.nasa.gov", "default"]


def test_unknown_name_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    """A variable with our prefix that nothing reads is named on standard error."""
    monkeypatch.setenv("MMA_KAFKA_BOOTSTRAPP", "x:9")
    answer = CliRunner().invoke(app, ["settings"])
    assert "MMA_KAFKA_BOOTSTRAPP" in answer.stderr


def test_schemas_of_surveys(tmp_path):
    """The folder of schemas is in the home folder unless named; an empty registry is none; the default is Rubin's own."""
    home = {"DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "survey_schemas").mkdir()
    (tmp_path / "survey_schemas" / "7.avsc").write_text('{"type": "record", "name": "seven", "fields": []}')
    none = Settings(home | {"MMA_SURVEY_SCHEMA_REGISTRY": ""})
    assert none.surveys.schema_registry == ""
    assert none.survey_schemas.by_id(7)["name"] == "seven"
    with pytest.raises(NoticeError, match="8"):
        none.survey_schemas.by_id(8)
    named = Settings(home | {"MMA_SURVEY_SCHEMA_FOLDER": str(tmp_path / "other"), "MMA_SURVEY_SCHEMA_REGISTRY": ""})
    with pytest.raises(NoticeError, match="7"):
        named.survey_schemas.by_id(7)
    assert "rubin" in str(Settings(home).surveys.schema_registry)
