"""Packets of surveys in files: folders with all below them, tar files, single packets, and Parquet files of decoded alerts."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.products.surveys.parquet import DecodedAlerts

PACKETS = {".avro", ".json"}
PARQUET = {".parquet"}
TAR = {".tar", ".tgz", ".gz", ".bz2", ".xz"}
_LONGEST_TOPIC = 250


class NoPacketsError(ValueError):
    """A file is of no kind that holds packets."""


@dataclass(frozen=True)
class Source:
    """Files that are read one after the other, as one topic."""

    topic: str
    path: Path
    """The file, or the folder whose packets these are."""
    files: tuple[Path, ...]
    """Single packets by name; empty for a file that holds many."""

    def messages(self, stream: str, formats: Formats) -> tuple[Iterator[StreamMessage], Formats]:
        """The packets as messages in their order, and what reads them: `formats`, or the decoded rows' own.

        A message must be judged before the next two hundred are asked for. Raises NoticeError, also later, where a file is
        damaged.
        """
        if self.path.suffix in PARQUET:
            decoded = DecodedAlerts()
            return decoded.messages(self.path, stream, self.topic), decoded
        return self._messages(stream), formats

    def _messages(self, stream: str) -> Iterator[StreamMessage]:
        now = datetime.now(UTC)
        bodies = (path.read_bytes() for path in self.files) if self.files else _packed(self.path)
        for offset, body in enumerate(bodies):
            yield StreamMessage(stream, self.topic, 0, offset, body, None, (), None, now)


@dataclass(frozen=True)
class Found:
    """What a path holds."""

    sources: list[Source]
    others: list[Path]
    """Files that hold no packets."""
    hidden: list[Path]
    """Hidden files and folders, which are left out with all that is in them."""


def sources_of(where: Path, topic: str) -> Found:
    """What a path holds; raises NoPacketsError for a file of another kind.

    All packets of a folder are one source, in the order of their paths; each Parquet and tar file is one of its own. What is hidden
    below the folder (caches, histories) is left out.
    """
    if not where.is_dir():
        named = f"{topic}:{where.name}"[:_LONGEST_TOPIC]
        if where.suffix in PACKETS:
            return Found([Source(named, where, (where,))], [], [])
        if where.suffix in PARQUET or tarfile.is_tarfile(where):
            return Found([Source(named, where, ())], [], [])
        raise NoPacketsError(
            f"{where} is no packet (.avro, .json), no Parquet file of decoded alerts, no tar file and no folder of packets"
        )
    files, hidden = _below(where)
    packets = tuple(path for path in files if path.suffix in PACKETS)
    many = [p for p in files if p.suffix in PARQUET or (p.suffix in TAR and tarfile.is_tarfile(p))]
    found = [Source(f"{topic}:{where.name}"[:_LONGEST_TOPIC], where, packets)] if packets else []
    for path in many:
        # A topic has no slashes: files of the kept nights are named by it.
        named = ":".join((topic, where.name, *path.relative_to(where).parts))
        found.append(Source(named[-_LONGEST_TOPIC:], path, ()))
    taken = {*packets, *many}
    return Found(found, [path for path in files if path not in taken], hidden)


def _below(where: Path) -> tuple[list[Path], list[Path]]:
    """The files below a folder, and what is hidden there, both by path."""
    files: list[Path] = []
    hidden: list[Path] = []
    for folder, folders, names in os.walk(where):
        here = Path(folder)
        hidden += [here / name for name in (*folders, *names) if name.startswith(".")]
        folders[:] = [name for name in folders if not name.startswith(".")]
        files += [path for name in names if not name.startswith(".") and (path := here / name).is_file()]
    return sorted(files), sorted(hidden)


def _packed(where: Path) -> Iterator[bytes]:
    try:
        with tarfile.open(where) as packed:
            for member in packed:
                found = packed.extractfile(member)
                if found is not None:
                    yield found.read()
    except (tarfile.TarError, EOFError) as error:
        raise NoticeError(f"{where} cannot be read to its end: {error}") from error
