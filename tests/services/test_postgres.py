"""The PostgreSQL fixture does what the tests of the database rely on."""

import pytest
import sqlalchemy as sa

from tests.services.postgres import PostgresServer


def test_cut_connections_break_the_client(postgres: PostgresServer, postgres_url: str) -> None:
    """A terminated connection fails at its next use, and a new one works."""
    engine = sa.create_engine(postgres_url)
    with engine.connect() as held:
        held.execute(sa.text("SELECT 1"))
        assert postgres.cut_connections(engine.url.database) == 1
        with pytest.raises(sa.exc.OperationalError):
            held.execute(sa.text("SELECT 1"))
    with engine.connect() as fresh:
        assert fresh.scalar(sa.text("SELECT 1")) == 1
    engine.dispose()


def test_committed_rows_survive_sigkill(postgres: PostgresServer, postgres_url: str) -> None:
    """A killed server comes back on the same port with what was committed."""
    engine = sa.create_engine(postgres_url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.text("CREATE TABLE t AS SELECT 7 AS n"))
    postgres.restart(kill=True)
    with engine.connect() as connection:
        assert connection.scalar(sa.text("SELECT n FROM t")) == 7
