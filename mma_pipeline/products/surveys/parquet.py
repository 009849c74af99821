"""Alerts of Parquet files, such as those that Fink keeps: rows that are decoded already take the same way as packets.

The archive keeps of each what a photometry message of ours says, since there is no packet; rows without brightness, such as
Fink's pairs of an alert and a burst, are kept as JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.surveys.packets import Form, Format, Formats, Record, alert_of, form_of_record
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.message import encode
from mma_pipeline.notices.photometry.survey_points import measurements
from mma_pipeline.notices.surveys import AlertHead, SurveyAlert

#: Rows read at a time: light curves and their names make some 50 kB of each.
_ROWS = 200


class DecodedAlerts(Formats):
    """Gives the alerts that were read, by the bodies of their messages."""

    def __init__(self) -> None:
        super().__init__()
        self._alerts: dict[bytes, tuple[SurveyAlert, Form]] = {}

    def messages(self, path: Path, stream: str, topic: str) -> Iterator[StreamMessage]:
        """The rows of a file as messages in their order; what is wrong with a row, its message says when it is read.

        A message must be judged before the next two hundred are asked for. Raises NoticeError where the file is no Parquet.
        """
        now = datetime.now(UTC)
        for offset, row in enumerate(_rows(path)):
            if offset % _ROWS == 0:
                self._alerts.clear()
            body = self._body(row, offset)
            yield StreamMessage(stream, topic, 0, offset, body, None, (), None, now)

    def _body(self, row: Record, offset: int) -> bytes:
        try:
            form = form_of_record(row)
            alert = alert_of(row, form)
            body = encode(measurements(alert).measurements) if form.measured else _encoded(row)
        except (NoticeError, ValueError) as error:
            return f"row {offset}: {error}".encode()
        self._alerts[body] = alert, form
        return body

    def format_of(self, body: bytes, *, key: bytes | None = None) -> Format:  # noqa: ARG002 - as of the base
        """The format of a row; raises NoticeError with what is wrong with it."""
        if body not in self._alerts:
            raise NoticeError(body.decode("utf-8", "replace"))
        return _Decoded(*self._alerts[body])


def _encoded(row: Record) -> bytes:
    """A row without any brightness as JSON."""
    return json.dumps({name: str(value) for name, value in row.items()}, sort_keys=True).encode()


class _Decoded(Format):
    def __init__(self, alert: SurveyAlert, form: Form) -> None:
        self.form, self._alert = form, alert

    def head(self, body: bytes) -> AlertHead:  # noqa: ARG002
        return self._alert.head

    def record(self, body: bytes) -> Record:  # noqa: ARG002
        return {}

    def alert(self, body: bytes) -> SurveyAlert:  # noqa: ARG002
        return self._alert


def _rows(path: Path) -> Iterator[Mapping[str, object]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except pa.ArrowException as error:
        raise NoticeError(f"{path} is no Parquet file: {error}") from error
    # Images are of no use here, and times of the broker's own may be in no type that Python has.
    names = [
        n for n in file.schema_arrow.names if not n.startswith(("cutout", "timestamp", "brokerStart", "brokerEnd"))
    ]
    for batch in file.iter_batches(batch_size=_ROWS, columns=names):
        yield from batch.to_pylist()
