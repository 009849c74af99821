"""A folder on this machine (or a mounted volume) as a store.

Objects are plain files under their keys, so any program can read the folder. What a filesystem cannot hold (digest,
media type, metadata) lies in ``.mma/meta/<key>.json``. A note counts only while the file's inode, size and
modification time are those it was written for: after a file was replaced by hand the digest is computed again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from mma_pipeline.adapters.store.keys import HIDDEN
from mma_pipeline.adapters.store.model import Digest, Payload, StoredObject, guess_content_type

_ABANDONED_S = 86_400.0
"""No write takes a day."""


class LocalBackend:
    """Files under ``root``; created on the first write."""

    def __init__(self, root: Path) -> None:
        self.root = root.absolute()
        self.name = self.root.as_uri().rstrip("/")
        self.secrets: tuple[str, ...] = ()
        self._swept = False

    def write(self, key: str, data: Payload, digest: Digest, content_type: str, metadata: Mapping[str, str]) -> None:
        """Write beside, flush to disk, then rename: a reader sees the old object or the new one, never a part."""
        unfinished = self._unfinished()
        try:
            with unfinished.open("xb") as file:
                if isinstance(data, bytes):
                    file.write(data)
                else:
                    with data.open("rb") as source:
                        shutil.copyfileobj(source, file, 1 << 20)
                _flush(file)
            self._place(unfinished, key, digest, content_type, metadata)
        finally:
            unfinished.unlink(missing_ok=True)

    def _place(
        self, unfinished: Path, key: str, digest: Digest, content_type: str, metadata: Mapping[str, str]
    ) -> None:
        """Give a finished file its name, and write its note."""
        target, identity = self.root / key, _identity(unfinished.stat())
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._locked():
            unfinished.replace(target)
            self._write_note(key, identity, digest, content_type, metadata)

    def read(self, key: str, into: Path | None = None) -> tuple[StoredObject, bytes]:
        """Read one open file, so that a writer who replaces it meanwhile is not noticed."""
        with (self.root / key).open("rb") as file:
            identity = _identity(os.fstat(file.fileno()))
            data = b""
            if into is None:
                data = file.read()
            else:
                with into.open("wb") as target:
                    shutil.copyfileobj(file, target, 1 << 20)
        note = self._read_note(key, identity)
        if note is None:
            return StoredObject(key, identity[1], content_type=guess_content_type(key)), data
        return _noted(key, identity, note), data

    def part(self, key: str, start: int, length: int) -> tuple[StoredObject, bytes]:
        """Read a part of one open file."""
        with (self.root / key).open("rb") as file:
            identity = _identity(os.fstat(file.fileno()))
            file.seek(start)
            data = file.read(length)
        note = self._read_note(key, identity)
        return StoredObject(key, identity[1]) if note is None else _noted(key, identity, note), data

    def head(self, key: str) -> StoredObject | None:
        """Look the file up; without a valid note its digest is computed and noted."""
        path = self.root / key
        try:
            identity = _identity(path.stat())
            if not path.is_file():
                return None
            note = self._read_note(key, identity)
            return self._take_note(key) if note is None else _noted(key, identity, note)
        except (FileNotFoundError, NotADirectoryError):
            return None

    def ls(self, prefix: str) -> Iterator[StoredObject]:
        """Walk only the folder that the prefix points into; digests where they are noted."""
        top = self.root / prefix.rpartition("/")[0]
        for folder, subfolders, names in os.walk(top):
            if Path(folder) == self.root and HIDDEN in subfolders:
                subfolders.remove(HIDDEN)
            for name in names:
                path = Path(folder, name)
                key = path.relative_to(self.root).as_posix()
                if key.startswith(prefix):
                    try:
                        identity = _identity(path.stat())
                    except FileNotFoundError:  # deleted since the folder was read
                        continue
                    note = self._read_note(key, identity)
                    yield StoredObject(key, identity[1]) if note is None else _noted(key, identity, note)

    def copy(self, src: str, dst: str) -> None:
        """Copy one version of the file with its note, also while a writer replaces it."""
        with self._locked():  # file and note agree; the open file stays complete afterwards
            file = (self.root / src).open("rb")
            note = self._read_note(src, _identity(os.fstat(file.fileno())))
        unfinished = self._unfinished()
        try:
            with file, unfinished.open("xb") as target:
                shutil.copyfileobj(file, target, 1 << 20)
                _flush(target)
            kind = guess_content_type(dst) if note is None else note["content_type"]
            self._place(unfinished, dst, Digest.of(unfinished), kind, {} if note is None else note["metadata"])
        finally:
            unfinished.unlink(missing_ok=True)

    def delete(self, key: str) -> None:
        """Remove file and note."""
        with self._locked():
            (self.root / key).unlink()
            self._note(key).unlink(missing_ok=True)

    def _unfinished(self) -> Path:
        folder = self.root / HIDDEN / "tmp"
        folder.mkdir(parents=True, exist_ok=True)
        if not self._swept:
            self._swept = True
            for left in folder.iterdir():  # by a writer that was killed
                with contextlib.suppress(FileNotFoundError):
                    if left.stat().st_mtime < time.time() - _ABANDONED_S:
                        left.unlink()
        return folder / uuid.uuid4().hex

    def _note(self, key: str) -> Path:
        return self.root / HIDDEN / "meta" / f"{key}.json"

    def _take_note(self, key: str) -> StoredObject:
        """Compute and note the digest while no writer replaces the file: otherwise the note would describe another file."""
        path = self.root / key
        with self._locked():
            identity = _identity(path.stat())
            note = self._read_note(key, identity)  # a writer may have been between its two steps a moment ago
            if note is not None:
                return _noted(key, identity, note)
            digest, content_type = Digest.of(path), guess_content_type(key)
            self._write_note(key, identity, digest, content_type, {})
            return StoredObject(key, digest.size, digest.sha256, digest.md5, content_type)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Lock the store against other writers, in this process or another, until file and note agree."""
        folder = self.root / HIDDEN
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("ab") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    def _write_note(
        self,
        key: str,
        identity: tuple[int, ...],
        digest: Digest,
        content_type: str,
        metadata: Mapping[str, str],
    ) -> None:
        note = {
            "identity": identity,
            "sha256": digest.sha256,
            "md5": digest.md5,
            "content_type": content_type,
            "metadata": dict(metadata),
        }
        path, unfinished = self._note(key), self._unfinished()
        try:
            unfinished.write_text(json.dumps(note, sort_keys=True), encoding="utf-8")
            path.parent.mkdir(parents=True, exist_ok=True)
            unfinished.replace(path)
        finally:
            unfinished.unlink(missing_ok=True)

    def _read_note(self, key: str, identity: tuple[int, ...]) -> dict[str, Any] | None:
        try:
            note = json.loads(self._note(key).read_text(encoding="utf-8"))
            if tuple(note["identity"]) != identity or not {"sha256", "content_type", "metadata"} <= note.keys():
                return None
        except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
            return None  # missing or damaged: the file itself is read instead
        return dict(note)


def _flush(file: BinaryIO) -> None:
    """Flush to disk: a name must not survive a power cut without its content."""
    file.flush()
    os.fsync(file.fileno())


def _identity(stat: os.stat_result) -> tuple[int, ...]:
    """Inode, size and modification time (ns): the file that a note was written for."""
    return (stat.st_ino, stat.st_size, stat.st_mtime_ns)


def _noted(key: str, identity: tuple[int, ...], note: dict[str, Any]) -> StoredObject:
    """Build the object from a note that is valid for the file."""
    return StoredObject(key, identity[1], note["sha256"], note.get("md5"), note["content_type"], dict(note["metadata"]))
