"""The folder of a catalog on disk: arrays that are memory-mapped, and a manifest that says what they hold."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from mma_pipeline.adapters.errors import ConfigurationError, NotFoundError, PermanentError

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class CatalogFolder:
    """An opened catalog; arrays have shape (G,), are read-only and memory-mapped."""

    folder: Path
    manifest: Mapping[str, Any] = field(repr=False)

    @property
    def label(self) -> str:
        """Name of the catalog, for people."""
        return str(self.manifest["label"])

    @property
    def digest(self) -> str:
        """SHA-256 of the file or files that it was made from; identifies the catalog in metadata."""
        return str(self.manifest["source_sha256"])

    def __len__(self) -> int:
        return int(self.manifest["rows"])

    @cached_property
    def index29(self) -> npt.NDArray[np.int64]:
        """Order-29 NESTED HEALPix index, ascending."""
        return self._array("index29", np.dtype(np.int64))

    def _array(self, name: str, dtype: np.dtype[Any] | None = None) -> npt.NDArray[Any]:
        """A file as an array; raises PermanentError if it is damaged, or of another type than the one given."""
        try:
            values: npt.NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r", allow_pickle=False)
        except (OSError, ValueError) as error:
            raise PermanentError(
                f"{name} of the catalog in {self.folder} cannot be read ({error}): import it again"
            ) from error
        if values.shape != (len(self),) or (dtype is not None and values.dtype != dtype):
            raise PermanentError(
                f"{name} of the catalog in {self.folder} is cut short or of another form: import it again"
            )
        # A plain view: np.memmap's own class makes every small operation on it ten times slower.
        return values.view(np.ndarray)


def read_manifest(folder: Path, what: str, command: str, **expected: object) -> Mapping[str, Any]:
    """The manifest of a catalog.

    Args:
        folder: where the catalog is.
        what: what it is, for people, such as `galaxy catalog`.
        command: what makes one.
        expected: values that the manifest must have, such as its format.

    Raises NotFoundError if the folder holds none, PermanentError if it is damaged or not as expected.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        raise NotFoundError(f"no {what} in {folder}: make one with `{command}`") from None
    except (OSError, ValueError) as error:
        raise PermanentError(f"the manifest of the {what} in {folder} cannot be read: {error}") from error
    if not isinstance(manifest, dict) or any(manifest.get(name) != value for name, value in expected.items()):
        raise PermanentError(f"{folder} holds no {what} of this format: import it again")
    return manifest


@contextmanager
def replaced(folder: Path) -> Iterator[tuple[Path, Path]]:
    """Two empty folders, one for the files of a catalog and one for scratch files; when both are left, the first takes its place.

    An earlier catalog stays until then, and readers that have its files mapped keep them. Raises ConfigurationError if the place
    holds other files.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if folder.exists() and not (folder / MANIFEST).exists() and any(folder.iterdir()):
        raise ConfigurationError(f"{folder} holds other files: name an empty folder for the catalog")
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as whole:
        new, scratch = Path(whole) / "new", Path(whole) / "scratch"
        new.mkdir()
        scratch.mkdir()
        yield new, scratch
        if folder.exists():
            folder.rename(Path(whole) / "old")
        shutil.move(new, folder)


def write_manifest(folder: Path, manifest: Mapping[str, Any]) -> None:
    """Write the manifest of a catalog."""
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, sort_keys=True) + "\n")
