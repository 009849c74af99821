"""Migrates the archive database to this code's schema, and checks that it is there."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from mma_pipeline.adapters.archive.database import reading
from mma_pipeline.adapters.errors import NotFoundError, PermanentError

if TYPE_CHECKING:
    from alembic.config import Config

_SCRIPTS = Path(__file__).parent / "migrations"
#: Not alembic's default, which Dagster uses, so that the archive can share a database with Dagster.
VERSION_TABLE = "mma_alembic_version"
#: Any constant will do: it names the lock under which one process at a time migrates a PostgreSQL archive.
_LOCK = 7_203_811


def head_revision() -> str:
    """Revision that this code expects: the highest number among the migration files."""
    return max(path.name.partition("_")[0] for path in (_SCRIPTS / "versions").glob("[0-9]*_*.py"))


def current_revision(engine: sa.Engine) -> str | None:
    """Revision of the database; None for an empty one. Raises TransientError if it does not answer."""
    with reading(engine) as connection:
        if not sa.inspect(connection).has_table(VERSION_TABLE):
            return None
        return connection.execute(sa.select(sa.text("version_num")).select_from(sa.table(VERSION_TABLE))).scalar()


def migrate(engine: sa.Engine) -> None:
    """Upgrade the database to this code's schema; does nothing if it is up to date.

    Raises PermanentError if newer code has migrated it.
    """
    found = current_revision(engine)
    _refuse_newer(found)
    if found == head_revision():
        return
    # alembic costs a second to import, and only this rare branch needs it.
    from alembic import command

    with engine.begin() as connection:
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _LOCK})
        command.upgrade(_config(connection), "head")


def require_current(engine: sa.Engine) -> None:
    """Raise NotFoundError if the database has no tables yet, PermanentError if it is not at this code's schema."""
    found, wanted = current_revision(engine), head_revision()
    _refuse_newer(found)
    if found is None:
        raise NotFoundError("the archive database is empty: nothing has been archived there yet")
    if found != wanted:
        raise PermanentError(
            f"the archive database is at schema {found}, this code needs {wanted}: stop the pipeline, run "
            "`mma archive migrate`, and start it again"
        )


def _refuse_newer(found: str | None) -> None:
    if found is not None and found > head_revision():
        raise PermanentError(
            f"the archive database is at schema {found}, this code knows {head_revision()} at most: "
            "install the newer mma_pipeline that migrated it, or set MMA_ARCHIVE_URL to another database"
        )


def _config(connection: sa.Connection) -> Config:
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_SCRIPTS))
    config.attributes["connection"] = connection
    return config
