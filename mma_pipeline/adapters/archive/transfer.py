"""Moves an archive: every row of every table to a file and back, between SQLite and PostgreSQL.

The file is gzipped JSON Lines: a header, then one row per line, tables in the order of their references. Nothing in it
depends on when or where it was written, so equal archives give equal files.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from mma_pipeline.adapters.archive.database import reading, writing
from mma_pipeline.adapters.archive.migrate import head_revision, migrate, require_current
from mma_pipeline.adapters.archive.schema import UTCDateTime, metadata
from mma_pipeline.adapters.errors import PermanentError

FORMAT = "mma-archive"
#: Rows held in memory at a time: a row may hold a map of a few MB.
ROWS = 50


def export_archive(engine: sa.Engine, path: Path) -> dict[str, int]:
    """Write the archive to `path`, atomically; returns rows by table. Raises PermanentError for an older schema."""
    require_current(engine)
    counts: Counter[str] = Counter()
    partial = path.with_name(path.name + ".partial")
    # Neither name nor time in the gzip header: equal archives give equal files.
    with partial.open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as out:
        out.write(_line({"format": FORMAT, "schema": head_revision()}))
        with reading(engine) as connection:
            for table in metadata.sorted_tables:
                order = [*table.primary_key.columns]
                rows = connection.execution_options(yield_per=ROWS).execute(sa.select(table).order_by(*order))
                for row in rows:
                    out.write(_line({"table": table.name, "row": _encode(table, row)}))
                    counts[table.name] += 1
    partial.replace(path)
    return dict(counts)


def import_archive(engine: sa.Engine, path: Path) -> dict[str, int]:
    """Fill an empty archive from `path` in one transaction; returns rows by table.

    Raises PermanentError if the archive is not empty, or if the file is no archive, is cut short or has another schema;
    then nothing is written.
    """
    migrate(engine)
    counts: Counter[str] = Counter()
    with writing(engine) as connection:
        for table in metadata.sorted_tables:
            if connection.execute(sa.select(sa.literal(1)).select_from(table).limit(1)).first() is not None:
                raise PermanentError(
                    f"the archive is not empty (table {table.name}): import into a new database, named by MMA_ARCHIVE_URL"
                )
        for table, rows in _batches(_lines(path)):
            connection.execute(sa.insert(table), rows)
            counts[table.name] += len(rows)
        if connection.dialect.name == "postgresql":
            _restart_counters(connection)
    return dict(counts)


def _lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    try:
        with gzip.open(path, "rb") as lines:
            header = json.loads(next(lines, b"null"))
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise PermanentError(f"{path} is not an exported archive")
            if header.get("schema") != head_revision():
                raise PermanentError(
                    f"{path} has schema {header.get('schema')}, this code {head_revision()}: import it with the code "
                    "that wrote it, run `mma archive migrate` with this code, and export it again"
                )
            for line in lines:
                entry = json.loads(line)
                yield entry["table"], entry["row"]
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise PermanentError(f"{path} cannot be read to its end: {type(error).__name__}: {error}") from error


def _batches(lines: Iterator[tuple[str, dict[str, Any]]]) -> Iterator[tuple[sa.Table, list[dict[str, Any]]]]:
    table: sa.Table | None = None
    rows: list[dict[str, Any]] = []
    for name, row in lines:
        if name not in metadata.tables:
            raise PermanentError(f"the file holds a table {name!r} that this code does not know")
        if table is None or table.name != name or len(rows) >= ROWS:
            if table is not None:
                yield table, rows
            table, rows = metadata.tables[name], []
        rows.append(_decode(table, row))
    if table is not None:
        yield table, rows


def _encode(table: sa.Table, row: sa.Row[Any]) -> dict[str, Any]:
    encoded: dict[str, Any] = {}
    for column in table.columns:
        value = row._mapping[column]
        if isinstance(value, bytes):
            value = base64.b64encode(value).decode()
        elif isinstance(value, datetime):
            value = value.isoformat()
        encoded[column.name] = value
    return encoded


def _decode(table: sa.Table, row: Mapping[str, Any]) -> dict[str, Any]:
    decoded: dict[str, Any] = {}
    for column in table.columns:
        value = row[column.name]
        if value is not None and isinstance(column.type, sa.LargeBinary):
            value = base64.b64decode(value, validate=True)
        elif value is not None and isinstance(column.type, UTCDateTime):
            value = datetime.fromisoformat(value)
        decoded[column.key] = value
    return decoded


def _restart_counters(connection: sa.Connection) -> None:
    """Let counters continue after the imported rows, which keep their numbers."""
    for table in metadata.sorted_tables:
        column = table.autoincrement_column
        if column is None:
            continue
        sequence = connection.execute(
            sa.select(sa.func.pg_get_serial_sequence(f'"{table.name}"', column.name))
        ).scalar()
        if sequence is not None:
            top = sa.select(sa.func.coalesce(sa.func.max(column), 0) + 1).scalar_subquery()
            connection.execute(sa.select(sa.func.setval(sequence, top, False)))


def _line(value: Mapping[str, Any]) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode() + b"\n"
