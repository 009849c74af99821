"""The rows of recent nights: one for each survey alert, as columns of Parquet.

A row is what a new map needs to decide about an alert that came before it: where, when, how bright, and the facts of the
packet; and the coordinates of the message, by which the packet itself is found. Light curves are not kept: the next alert
of the object brings its history again.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from mma_pipeline.notices.surveys import AlertHead, FluxPoint, PacketFacts

if TYPE_CHECKING:
    import pyarrow as pa

#: Order of the HEALPix cells (NESTED) by which a night is divided: 48 cells of 859 deg².
CELL_ORDER = 1
#: An order-29 index shifted right by this is the number of its cell.
CELL_SHIFT = 2 * (29 - CELL_ORDER)
#: Columns by which one alert is told from another, and messages are put in order.
IDENTITY = ("index29", "survey", "alert_id", "flux_njy", "offset")
#: Rows of one row group: what is decoded at a time, and what its smallest and largest index can rule out unread.
_GROUP = 16_384


class KeptAlert(NamedTuple):
    """One alert as it is kept."""

    head: AlertHead
    index29: int
    """Order-29 NESTED HEALPix index of its position."""
    point: FluxPoint | None
    """The detection itself; None where the packet was not read that far."""
    facts: PacketFacts
    topic: str
    """Where its message came from, so that the packet can be found again."""
    partition: int
    offset: int


def schema() -> pa.Schema:
    """Columns: degrees ICRS, MJD in days (UTC), nJy, arcsec; null where the packet does not say."""
    import pyarrow as pa

    word = pa.dictionary(pa.int32(), pa.string())
    return pa.schema(
        [
            ("index29", pa.int64()),
            ("survey", word),
            ("object_id", pa.string()),
            ("alert_id", pa.string()),
            ("ra", pa.float64()),
            ("dec", pa.float64()),
            ("mjd", pa.float64()),
            ("band", word),
            ("flux_njy", pa.float32()),
            ("flux_error_njy", pa.float32()),
            ("limit_mag", pa.float32()),
            ("real_bogus", pa.float32()),
            ("star_score", pa.float32()),
            ("star_distance_arcsec", pa.float32()),
            ("solar_system", pa.bool_()),
            ("solar_system_arcsec", pa.float32()),
            ("is_negative", pa.bool_()),
            ("first_mjd", pa.float64()),
            ("redshift", pa.float32()),
            ("topic", word),
            ("partition", pa.int32()),
            ("offset", pa.int64()),
        ]
    )


def as_table(alerts: Sequence[KeptAlert]) -> pa.Table:
    """Alerts as rows, in the order of their positions along the NESTED curve, each alert once."""
    import pyarrow as pa

    columns = zip(*(_values(alert) for alert in alerts), strict=True) if alerts else [[] for _ in schema()]
    arrays = [pa.array(values, type=kind.type) for values, kind in zip(columns, schema(), strict=True)]
    return once(pa.Table.from_arrays(arrays, schema=schema()))


def _values(alert: KeptAlert) -> tuple[Any, ...]:
    head, index29, point, facts, topic, partition, offset = alert
    near = facts.solar_system
    return (
        index29,
        head.survey,
        head.object_id,
        head.alert_id,
        head.ra,
        head.dec,
        head.mjd,
        *((None,) * 4 if point is None else (point.band, point.flux_njy, point.flux_error_njy, point.limit_mag)),
        facts.real_bogus,
        facts.star_score,
        facts.star_distance_arcsec,
        near is not None,
        None if near is None else near.distance_arcsec,
        facts.is_negative,
        facts.first_mjd,
        facts.redshift,
        topic,
        partition,
        offset,
    )


def once(table: pa.Table) -> pa.Table:
    """Rows in the order of their positions, each alert of a survey once: a repeated message, or a second broker's, adds nothing.

    Of several rows of an alert one that states a brightness stays: a broker's word of a pair does not stand for the alert.
    """
    import numpy as np
    import pyarrow as pa

    if not table.num_rows:
        return table
    # The first message of several by topic and offset, so that the order of the files does not matter.
    order = np.lexsort((table["offset"].to_numpy(), table["index29"].to_numpy()))
    ordered = table.take(pa.array(order)).combine_chunks()
    alert = ordered["alert_id"].combine_chunks().dictionary_encode().indices.to_numpy()
    survey = ordered["survey"].combine_chunks().indices.to_numpy()
    name = alert.astype(np.int64) * (int(survey.max()) + 1) + survey
    better = np.argsort(ordered["flux_njy"].is_null().to_numpy(), kind="stable")
    _, first = np.unique(name[better], return_index=True)
    return ordered if len(first) == ordered.num_rows else ordered.take(pa.array(np.sort(better[first])))


def encode(table: pa.Table) -> bytes:
    """Rows as a Parquet file; the same rows give the same bytes with the same version of the library."""
    import pyarrow.parquet as pq

    buffer = io.BytesIO()
    pq.write_table(
        table,
        buffer,
        compression="zstd",
        row_group_size=_GROUP,
        use_dictionary=["survey", "band", "topic"],
        write_statistics=["index29", "mjd"],
    )
    return buffer.getvalue()


def digest(table: pa.Table) -> str:
    """Twelve digits that name the alerts of a table and their messages, whatever wrote the file."""
    import pyarrow.compute as pc

    found = hashlib.sha256()
    for name in ("survey", "topic", "alert_id", "partition", "offset"):
        column = pc.cast(table[name], "string")
        found.update(pc.binary_join(_as_list(column), "\0")[0].as_buffer())
    return found.hexdigest()[:12]


def _as_list(column: pa.ChunkedArray) -> pa.ListArray:
    """All values as one list, which is what `binary_join` joins."""
    import pyarrow as pa

    return pa.ListArray.from_arrays([0, len(column)], column.combine_chunks())
