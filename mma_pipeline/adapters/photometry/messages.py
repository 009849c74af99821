"""Photometry messages of every kind that the stream may carry: our JSON and others', and brokers' reports on survey objects."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mma_pipeline.adapters.kafka.avro import MAGIC
from mma_pipeline.adapters.surveys import boom, lasair
from mma_pipeline.adapters.surveys.packets import Formats, alert_of, form_of_json
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.notices.photometry.measurement import PhotometryNotice
from mma_pipeline.notices.photometry.message import parse
from mma_pipeline.notices.photometry.survey_points import measurements


def read_photometry_message(body: bytes, headers: Mapping[str, bytes] | None = None) -> PhotometryNotice:
    """The measurements of a message, told by its content.

    Beside what `notices.photometry.message.parse` reads: Avro container files (AMPEL's reports, survey packets), BOOM's
    and Lasair's JSON. Raises NoticeError where it is none of them, or nothing in it can be used.
    """
    if body.startswith(MAGIC):
        return measurements(Formats().format_of(body).alert(body))
    try:
        record = decode_notice(body)
    except NoticeError:
        return parse(body, headers)  # which says why, as it always did
    if boom.is_notice(record):
        found = [measurements(alert) for alert in boom.notice_alerts(record, "gcn.notices.boom.alert", "boom")]
        together = tuple(m for notice in found for m in notice.measurements)
        facts = {name: said for notice in found for name, said in notice.facts.items()}
        skipped = tuple(s for notice in found for s in notice.skipped)
        return replace(found[0], measurements=together, skipped=skipped, facts=facts)
    if boom.is_alert(record) or lasair.is_lasair(record):
        return measurements(alert_of(record, form_of_json(record)))
    return parse(body, headers)
