"""All survey alerts of the last nights, as Parquet in the product store: by night, and by HEALPix cell once compacted.

    mma/surveys/nights/60083/new/{topic}-{partition}-{first offset}-{last offset}-{digest}.parquet
    mma/surveys/nights/60083/new/{digest}.parquet
    mma/surveys/nights/60083/cells/17/{digest}.parquet

Every flush of a reader writes one file per night and Kafka partition, named by its messages: the same messages again write
the same file. Compaction makes few files of many and takes them into the cells; it deletes files only when their rows are elsewhere. So a process
may die at any moment, and several may write, compact and read at a time: at worst a row lies in two files, and whoever reads
takes it once.
"""

from __future__ import annotations

import math
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from mma_pipeline.adapters.errors import NotFoundError, PermanentError
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.surveys.kept_rows import (
    CELL_SHIFT,
    IDENTITY,
    KeptAlert,
    as_table,
    digest,
    encode,
    once,
    schema,
)

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

PREFIX = "mma/surveys/nights"
#: New files of a night, or files of a cell, from which on they are made into one.
FILES = 16
#: Bytes of new files from which on they go to the cells: some 50,000 rows.
_LARGE = 4 << 20
#: Requests to the store at a time; a bucket answers many at once, and each holds one file's rows.
_PARALLEL = 4
#: How often a reader looks again because a file that it had seen was compacted meanwhile.
_LOOKS = 5
#: Longest part of a file's name that the topic may take.
_TOPIC = 120
_NAME = re.compile(r"/(\d+)/(?:new|cells/(\d+))/[^/]+\.parquet")


@dataclass(frozen=True, slots=True)
class KeptNight:
    """What is kept of one night."""

    night: int
    """Whole days of the MJD (UTC)."""
    files: int
    new: int
    """Files that no compaction has taken into the cells yet."""
    size: int
    """Bytes."""


class RecentNights:
    """The rows of recent nights in a store; what it writes is durable when a method returns.

    Its methods raise the store's errors; PermanentError where a file there is no Parquet of these rows.
    """

    def __init__(self, store: Store, prefix: str = PREFIX) -> None:
        self._store = store
        self._prefix = prefix

    def write(self, alerts: Iterable[KeptAlert]) -> list[str]:
        """Write alerts, one file per night, topic and partition; returns the keys. The same alerts again change nothing."""
        groups: dict[tuple[int, str, int], list[KeptAlert]] = defaultdict(list)
        for alert in alerts:
            groups[math.floor(alert.head.mjd), alert.topic, alert.partition].append(alert)
        return [self._write_new(*group, some) for group, some in sorted(groups.items(), key=lambda item: item[0])]

    def _write_new(self, night: int, topic: str, partition: int, alerts: Sequence[KeptAlert]) -> str:
        table = as_table(alerts)
        offsets = [alert.offset for alert in alerts]
        place = f"{topic[:_TOPIC]}-{partition}-{min(offsets):012d}-{max(offsets):012d}"
        return self._put(f"{night}/new/{place}-{digest(table)}", table)

    def read(
        self,
        begin: npt.NDArray[np.int64],
        end: npt.NDArray[np.int64],
        first_mjd: float,
        last_mjd: float,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """Rows inside a region and a span of time, each alert once, by night and within it by position.

        Args:
            begin: first order-29 NESTED index of each range of the region, ascending, shape (M,).
            end: index behind the last of each range, shape (M,); ranges do not overlap.
            first_mjd: first moment, MJD in days (UTC), included.
            last_mjd: last moment, included.
            columns: what to return of a row; by default all (`kept_rows.schema`).
        """
        import pyarrow as pa

        wanted = _Wanted(begin, end, first_mjd, last_mjd, tuple(columns or schema().names))
        done: dict[_File, pa.Table] = {}
        for _ in range(_LOOKS):
            files = [file for file in self._files() if wanted.may_be_in(file) and file not in done]
            if not files:
                break
            with ThreadPoolExecutor(_PARALLEL) as threads:
                found = threads.map(lambda file: self._rows(file.key, wanted), files)
                done |= {file: rows for file, rows in zip(files, found, strict=True) if rows is not None}
        else:
            raise PermanentError(
                f"files below {self._store.url(self._prefix)} vanish again and again while they are read"
            )
        nights: dict[int, dict[_File, pa.Table]] = defaultdict(dict)
        for file in sorted(done, key=lambda file: (file.night, file.cell or 0, file.key)):
            nights[file.night][file] = done[file]
        empty = wanted.read_schema().empty_table()
        return pa.concat_tables([empty, *(_of_a_night(files) for files in nights.values())]).select(wanted.columns)

    def nights(self) -> list[KeptNight]:
        """What is kept, by night."""
        found: dict[int, list[_File]] = defaultdict(list)
        for file in self._files():
            found[file.night].append(file)
        return [
            KeptNight(night, len(some), sum(file.cell is None for file in some), sum(file.size for file in some))
            for night, some in sorted(found.items())
        ]

    def compact(self, night: int, *, whole: bool = False) -> int:
        """Make a night's many files few, and take them into its cells; returns how many files that replaced.

        Sixteen new files of about one size become one, which goes to the cells as soon as it is large. So a row is written a
        few times in all, whether a reader writes every second or every minute.

        Args:
            night: whole days of the MJD.
            whole: whether the night is over: then all new files go to the cells, and every cell becomes one file.
        """
        files = self._files(night)
        replaced = sum(self._merge(night, some, whole=whole) for some in _batches(files, whole=whole))
        of_cells: dict[int, list[str]] = defaultdict(list)
        for file in self._files(night):
            if file.cell is not None:
                of_cells[file.cell].append(file.key)
        for cell, keys in of_cells.items():
            if len(keys) >= (2 if whole else FILES):
                table, read = self._merged(keys)
                kept = self._put(f"{night}/cells/{cell:02d}/{digest(table)}", table)
                replaced += self._delete(key for key in read if key != kept)
        return replaced

    def _merge(self, night: int, files: Sequence[_File], *, whole: bool) -> int:
        """One file in place of several new ones, or their rows in the cells."""
        import pyarrow as pa

        table, read = self._merged(file.key for file in files)
        written = set()
        if whole or sum(file.size for file in files) >= _LARGE:
            cells = table["index29"].to_numpy() >> CELL_SHIFT
            for cell in np.unique(cells).tolist():
                rows = table.filter(pa.array(cells == cell))
                written.add(self._put(f"{night}/cells/{cell:02d}/{digest(rows)}", rows))
        elif table.num_rows:
            written.add(self._put(f"{night}/new/{digest(table)}", table))
        return self._delete(key for key in read if key not in written)

    def remove_before(self, night: int) -> int:
        """Remove what is older than a night (whole days of the MJD); returns how many files."""
        return self._delete(file.key for file in self._files() if file.night < night)

    # -- files ---------------------------------------------------------------------------------------------------

    def _files(self, night: int | None = None) -> list[_File]:
        """Files of one night or of all; what others have put there is passed over."""
        below = self._prefix if night is None else f"{self._prefix}/{night}"
        found = (_file(entry.key, entry.size, self._prefix) for entry in self._store.ls(f"{below}/"))
        return [file for file in found if file is not None]

    def _put(self, name: str, table: pa.Table) -> str:
        key = f"{self._prefix}/{name}.parquet"
        self._store.put(key, encode(table), content_type="application/vnd.apache.parquet")
        return key

    def _delete(self, keys: Iterable[str]) -> int:
        count = 0
        for key in keys:
            with suppress(NotFoundError):  # another process was faster
                self._store.delete(key)
                count += 1
        return count

    def _merged(self, keys: Iterable[str]) -> tuple[pa.Table, list[str]]:
        """Rows of several files, each alert once, and which of the files were still there: the rows of the others are elsewhere."""
        import pyarrow as pa

        tables, read = [schema().empty_table()], []
        for key in keys:
            with suppress(NotFoundError):
                tables.append(_opened(self._store.get(key), key).read())
                read.append(key)
        return once(pa.concat_tables(tables)), read

    def _rows(self, key: str, wanted: _Wanted) -> pa.Table | None:
        """The rows of a file that are wanted; None where it is not there any more."""
        try:
            data = self._store.get(key)
        except NotFoundError:
            return None
        return wanted.rows(_opened(data, key))


class _File(NamedTuple):
    key: str
    size: int
    night: int
    cell: int | None
    """Number of its cell; None for a new file, whose rows may lie anywhere."""


def _of_a_night(files: Mapping[_File, pa.Table]) -> pa.Table:
    """Rows of a night's files, each alert once, by position."""
    import pyarrow as pa

    rows = pa.concat_tables(files.values())
    cells = [file.cell for file in files]
    # An alert that is twice in one night is in two files that share a cell: compacted nights have none.
    return rows if None not in cells and len(set(cells)) == len(cells) else once(rows)


def _batches(files: Iterable[_File], *, whole: bool) -> list[list[_File]]:
    """New files that are to become one: sixteen of about one size, or all by sixteens."""
    by_size: dict[int, list[_File]] = defaultdict(list)
    for file in files:
        if file.cell is None:
            by_size[0 if whole else file.size.bit_length() // 4].append(file)
    batches = [some[at : at + FILES] for some in by_size.values() for at in range(0, len(some), FILES)]
    return [some for some in batches if whole or len(some) == FILES]


def _file(key: str, size: int, prefix: str) -> _File | None:
    found = _NAME.fullmatch(key.removeprefix(prefix))
    if found is None:
        return None
    night, cell = found.groups()
    return _File(key, size, int(night), None if cell is None else int(cell))


@dataclass(frozen=True)
class _Wanted:
    """What a reader asks for."""

    begin: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    first_mjd: float
    last_mjd: float
    columns: tuple[str, ...]

    @cached_property
    def _cells(self) -> frozenset[int]:
        pairs = zip((self.begin >> CELL_SHIFT).tolist(), ((self.end - 1) >> CELL_SHIFT).tolist(), strict=True)
        return frozenset(cell for first, last in pairs for cell in range(first, last + 1))

    def read_schema(self) -> pa.Schema:
        """The columns that are read: those asked for, and those by which an alert is told from another."""
        import pyarrow as pa

        return pa.schema([field for field in schema() if field.name in {*self.columns, *IDENTITY}])

    def may_be_in(self, file: _File) -> bool:
        """Whether the name of a file allows rows that are wanted."""
        of_the_time = math.floor(self.first_mjd) <= file.night <= math.floor(self.last_mjd)
        return of_the_time and bool(self._cells) and (file.cell is None or file.cell in self._cells)

    def rows(self, file: pq.ParquetFile) -> pa.Table:
        """The rows of a file; a group of rows is decoded only as far as it may hold some."""
        import pyarrow as pa

        names = self.read_schema().names
        groups = []
        for number in range(file.num_row_groups):
            if not self._may_be_within(file.metadata.row_group(number)):
                continue
            where = file.read_row_group(number, columns=["index29", "mjd"], use_threads=False)
            inside = self._mask(where["index29"].to_numpy(), where["mjd"].to_numpy())
            if inside.any():
                rows = file.read_row_group(number, columns=names, use_threads=False).select(names)
                groups.append(rows if inside.all() else rows.filter(pa.array(inside)))
        return pa.concat_tables([self.read_schema().empty_table(), *groups])

    def _mask(self, index29: npt.NDArray[np.int64], mjd: npt.NDArray[np.float64]) -> npt.NDArray[np.bool_]:
        # Rows and ranges ascend both, so the few ranges look for their first row and the one behind their last.
        first, last = (np.searchsorted(index29, edges, side="left") for edges in (self.begin, self.end))
        within = slice(int(np.searchsorted(last, 0, side="right")), int(np.searchsorted(first, len(index29))))
        count = len(index29) + 1
        depth = np.bincount(first[within], minlength=count) - np.bincount(last[within], minlength=count)
        inside = np.cumsum(depth)[:-1] > 0
        return np.asarray(inside & (mjd >= self.first_mjd) & (mjd <= self.last_mjd))

    def _may_be_within(self, group: Any) -> bool:
        least, most = (group.column(0).statistics.min, group.column(0).statistics.max)
        return bool(np.searchsorted(self.begin, most, side="right") > np.searchsorted(self.end, least, side="right"))


def _opened(data: bytes, key: str) -> pq.ParquetFile:
    """A file of rows; raises PermanentError where it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        raise PermanentError(f"{key} in the store is no Parquet file: move it away ({error})") from error
    if file.schema_arrow.names != schema().names:
        raise PermanentError(f"{key} in the store has other columns than survey alerts have: move it away")
    return file
