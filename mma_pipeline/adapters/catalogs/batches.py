"""Columns of large tables in batches: FITS, Parquet and text, also gzipped; memory is bounded."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy.typing as npt

from mma_pipeline.adapters.catalogs.text_tables import layout_of, text_batches
from mma_pipeline.adapters.errors import ConfigurationError

_FITS = {".fits", ".fit"}
#: Rows of a batch.
ROWS = 250_000


def _form(path: Path) -> str:
    suffix = Path(path.name.removesuffix(".gz")).suffix.lower()
    return "fits" if suffix in _FITS else "parquet" if suffix == ".parquet" else "text"


def column_names(path: Path) -> list[str]:
    """Names of a table's columns; raises ConfigurationError where it cannot be read as a table."""
    try:
        if _form(path) == "fits":
            from astropy.io import fits

            with fits.open(path) as hdus:
                return [str(name) for name in hdus[1].columns.names]
        if _form(path) == "parquet":
            import pyarrow.parquet

            return [str(name) for name in pyarrow.parquet.read_schema(path).names]
        return list(layout_of(path).columns)
    except (OSError, ValueError, IndexError, AttributeError) as error:
        raise ConfigurationError(f"{path.name} cannot be read as a table: {error}") from error


def batches(path: Path, wanted: Sequence[str], rows: int = ROWS) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """Columns of a table by name, `rows` rows at a time; raises ConfigurationError where it cannot be read to its end.

    A FITS file that is not gzipped is memory-mapped; a gzipped one is unpacked in memory.
    """
    try:
        if _form(path) == "fits":
            yield from _fits(path, wanted, rows)
        elif _form(path) == "parquet":
            import pyarrow.parquet

            with pyarrow.parquet.ParquetFile(path) as source:
                for batch in source.iter_batches(rows, columns=list(wanted)):
                    yield {
                        name: batch.column(name).to_numpy(zero_copy_only=False)
                        for name in wanted
                    }  # fmt: skip
        else:
            yield from text_batches(path, wanted, rows)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigurationError(f"{path.name} cannot be read to its end: {error}") from error


def _fits(path: Path, wanted: Sequence[str], rows: int) -> Iterator[dict[str, npt.NDArray[Any]]]:
    import numpy as np
    from astropy.io import fits

    with fits.open(path, memmap=True) as hdus:
        table = hdus[1].data
        for start in range(0, len(table), rows):
            part = table[start : start + rows]
            yield {name: np.array(part[name]) for name in wanted}
