"""Schemas by their number: from a folder, else from a schema registry (Confluent's API), kept in memory and in the folder.

In the folder: `1000.avsc` for schema 1000, or Rubin's own tree (lsst/alert_packet), whose numbers are the version's:
1000 is `lsst.v10_0.alert.avsc`, with the files it refers to beside it.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError
from mma_pipeline.adapters.http import download, without_secrets
from mma_pipeline.adapters.retry import attempts
from mma_pipeline.notices.errors import NoticeError

Schema = dict[str, Any]
#: Rubin's own registry, open to everybody.
RUBIN_SCHEMAS = "https://rubin-alert-schemas.slac.stanford.edu/schema-registry"
_MOST_BYTES = 5_000_000
_ATTEMPTS, _ATTEMPT_S = 2, 5.0
#: Seconds for which a registry that was away, or did not know a number, is not asked again: packets come by the thousand.
_PAUSE_S = 60.0
#: Rubin's numbers are 100 times the major version and the minor one.
_MINOR = 100


class Schemas:
    """Where schemas are found. Safe to share between threads: at worst two of them fetch the same one."""

    def __init__(
        self, registry: str | None = None, folder: Path | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Remember the registry's address and the folder; nothing is read yet."""
        self._registry, self._folder, self._clock = registry, folder, clock
        self._known: dict[int, Schema] = {}
        self._failed: dict[int, tuple[float, NoticeError | TransientError]] = {}

    def by_id(self, schema_id: int) -> Schema:
        """The schema of a number.

        Raises NoticeError where nobody knows it, TransientError where the registry does not answer.
        """
        found = self._known.get(schema_id)
        if found is not None:
            return found
        before, error = self._failed.get(schema_id, (0.0, None))
        if error is not None and self._clock() - before < _PAUSE_S:
            # A new one each time: an exception that is raised again and again collects tracebacks.
            raise type(error)(str(error))
        try:
            found = self._from_folder(schema_id) or self._from_registry(schema_id)
        except (NoticeError, TransientError) as problem:
            self._failed[schema_id] = (self._clock(), problem)
            raise
        self._known[schema_id] = found
        return found

    def named(self, name: str) -> Schema | None:
        """The schema in the folder's file `NAME.avsc`; None where there is none. Raises NoticeError where it is damaged."""
        path = None if self._folder is None else self._folder / f"{Path(name).name}.avsc"
        return _parsed(path.read_bytes(), str(path)) if path is not None and path.is_file() else None

    def _from_folder(self, schema_id: int) -> Schema | None:
        if self._folder is None:
            return None
        found = self.named(str(schema_id))
        if found is not None:
            return found
        name = f"lsst.v{schema_id // _MINOR}_{schema_id % _MINOR}.alert.avsc"
        path = next(iter(sorted(self._folder.rglob(name))), None)
        return None if path is None else _with_references(path)

    def _from_registry(self, schema_id: int) -> Schema:
        if not self._registry:
            raise NoticeError(
                f"the packet's schema {schema_id} is not known here: name a schema registry, or put {schema_id}.avsc "
                "into the schema folder"
            )
        url = f"{self._registry.rstrip('/')}/schemas/ids/{schema_id}"
        try:
            answer = attempts(_ATTEMPTS)(download, url, most_bytes=_MOST_BYTES, seconds=_ATTEMPT_S)
        except NotFoundError:
            raise NoticeError(
                f"the schema registry {without_secrets(self._registry)} has no schema {schema_id}"
            ) from None
        except PermanentError as error:
            raise NoticeError(f"schema {schema_id} cannot be had: {error}") from error
        try:
            text = json.loads(answer)["schema"]
            found = _parsed(text.encode(), f"schema {schema_id}")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise TransientError(f"{without_secrets(url)} does not answer as a schema registry does") from error
        self._keep(schema_id, text)
        return found

    def _keep(self, schema_id: int, text: str) -> None:
        """Write a fetched schema into the folder, so that the next start needs no registry; a full disk stops nothing."""
        if self._folder is None:
            return
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True)
            part = self._folder / f".{schema_id}.part"
            part.write_text(text, encoding="utf-8")
            part.replace(self._folder / f"{schema_id}.avsc")


def _parsed(data: bytes, name: str) -> Schema:
    try:
        found = json.loads(data)
    except ValueError as error:
        raise NoticeError(f"{name} is not a schema: {error}") from error
    if not isinstance(found, dict) or found.get("type") != "record":
        raise NoticeError(f"{name} is not the schema of a record")
    return found


def _with_references(path: Path) -> Schema:
    """A schema whose parts are files beside it, such as `lsst.v10_0.diaSource.avsc`."""
    import fastavro.schema

    try:
        # Kept as it is in the files: who parses it does so once.
        found = fastavro.schema.load_schema(str(path), _write_hint=False)
    except (OSError, ValueError, KeyError, fastavro.schema.SchemaParseException) as error:
        raise NoticeError(f"{path.name} cannot be read as a schema: {error}") from error
    if not isinstance(found, dict):
        raise NoticeError(f"{path.name} is not the schema of a record")
    return found
