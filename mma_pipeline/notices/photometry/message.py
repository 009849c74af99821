"""Photometry messages: the SCiMMA demo's source message, our own richer format, and Hermes messages.

Here: bytes to frozen measurements, and back for the two formats that we send. Not here: files of photometry
(`adapters.photometry.files`), bands that the classifier understands (`science.kilonova.bands`).

v1 source: {time (MJD), magnitude, e_magnitude, band, candidate, ra, dec} with the header schema
`scimma.alert-integration-demo/source/v1` (scimma/alert-integration-demo). Hermes: LCOGT/hermes, data.targets and
data.photometry.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, get_args

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import amount_at, decode_json, finite, kind_of, number_at, text_at
from mma_pipeline.notices.key import check_event_id
from mma_pipeline.notices.photometry.brightness import check_system
from mma_pipeline.notices.photometry.hermes import parse_hermes
from mma_pipeline.notices.photometry.measurement import (
    Candidate,
    Measurement,
    PhotometryNotice,
    candidate_of,
    checked_band,
    checked_mjd,
    complete,
    each,
    ebv_of,
    error_of,
    redshift_of,
    rows_of,
)
from mma_pipeline.notices.surveys import Origin

SCHEMA_SOURCE_V1 = "scimma.alert-integration-demo/source/v1"
SENDER_SOURCE_V1 = "alert-integration-demo"
SCHEMA_PHOTOMETRY = "mma.photometry/1.0"
SENDER_PHOTOMETRY = "mma_pipeline"


def parse(data: bytes, headers: Mapping[str, bytes] | None = None) -> PhotometryNotice:
    """Parse a photometry message of any known format; the content decides on the format, headers only appear in errors.

    Raises NoticeError with the reason if it is none of them, or if nothing in it can be used.
    """
    record = decode_json(data)
    schema = record.get("schema")
    if isinstance(schema, str) and schema.startswith("mma.photometry/1."):
        return _ours(record)
    if isinstance(record.get("data"), Mapping) and ("photometry" in record["data"] or "title" in record):
        return parse_hermes(record)
    if "candidate" in record and "magnitude" in record:
        return _source_v1(record)
    said = (headers or {}).get("schema", b"").decode("utf-8", "replace")
    hint = f" (its header says {said[:60]!r})" if said else ""
    known = f"{SCHEMA_SOURCE_V1}, {SCHEMA_PHOTOMETRY} or Hermes"
    raise NoticeError(f"the message is not photometry in a known format{hint}: {known}")


def _source_v1(record: Mapping[str, Any]) -> PhotometryNotice:
    candidate = candidate_of(record.get("candidate"), record.get("ra"), record.get("dec"))
    check_system(record.get("system"))
    magnitude = finite(record["magnitude"], "magnitude")
    error = error_of(record.get("e_magnitude"), "e_magnitude")
    one = Measurement(
        candidate, checked_mjd(record.get("time"), "time"), checked_band(record.get("band")), magnitude, error
    )
    return PhotometryNotice((one,), SCHEMA_SOURCE_V1)


def _ours(record: Mapping[str, Any]) -> PhotometryNotice:
    head = record.get("candidate")
    if not isinstance(head, Mapping):
        raise NoticeError(f"candidate is a {kind_of(head)} where an object belongs")
    candidate = candidate_of(head.get("name"), head.get("ra"), head.get("dec"), ebv_of(head), redshift_of(head))
    rows = rows_of(record.get("measurements"), "measurements")
    event_id = record.get("event_id")
    found, skipped = each(rows, "measurement", lambda row: _our_row(candidate, row))
    return complete(found, skipped, SCHEMA_PHOTOMETRY, check_event_id(event_id) if event_id is not None else None,
                     simulated=record.get("simulated") is True)  # fmt: skip


def _our_row(candidate: Candidate, row: Mapping[str, Any]) -> Measurement:
    limit = row.get("limit")
    if (limit is None) == (row.get("magnitude") is None):
        raise NoticeError("it needs either a magnitude or a limit")
    check_system(row.get("system"))
    return Measurement(
        candidate=candidate,
        mjd=checked_mjd(row.get("mjd"), "mjd"),
        band=checked_band(row.get("band")),
        magnitude=finite(limit if limit is not None else row["magnitude"], "magnitude"),
        error=None if limit is not None else error_of(row.get("error"), "error"),
        upper_limit=limit is not None,
        telescope=text_at(row, "telescope"),
        instrument=text_at(row, "instrument"),
        flux_njy=number_at(row, "flux_njy", "flux_njy"),
        flux_error_njy=amount_at(row, "flux_error_njy", "flux_error_njy"),
        origin=_origin(row),
    )


def _origin(row: Mapping[str, Any]) -> str | None:
    origin = text_at(row, "origin")
    if origin not in (None, *get_args(Origin)):
        raise NoticeError(f"origin is {origin!r:.30}: {', '.join(get_args(Origin))} are known")
    return origin


def encode_source_v1(m: Measurement) -> bytes:
    """The demo's source message of one detection, canonical JSON; raises ValueError for an upper limit."""
    if m.upper_limit:
        raise ValueError("the v1 source message has no upper limits: use the richer format")
    body = {
        "time": m.mjd, "magnitude": m.magnitude, "e_magnitude": m.error, "band": m.band,
        "candidate": m.candidate.name, "ra": m.candidate.ra, "dec": m.candidate.dec,
    }  # fmt: skip
    return _json(body)


def encode(measurements: Sequence[Measurement], *, event_id: str | None = None, simulated: bool = False) -> bytes:
    """Our message of one candidate's measurements, canonical JSON; raises ValueError unless there is exactly one candidate."""
    if len({m.candidate.name for m in measurements}) != 1:
        raise ValueError("one message carries the measurements of one candidate")
    c = measurements[0].candidate
    head = {"name": c.name, "ra": c.ra, "dec": c.dec, "ebv": c.ebv, "redshift": c.redshift}
    rows = [
        {
            "mjd": m.mjd, "band": m.band, "limit" if m.upper_limit else "magnitude": m.magnitude, "error": m.error,
            "telescope": m.telescope, "instrument": m.instrument, "flux_njy": m.flux_njy,
            "flux_error_njy": m.flux_error_njy, "origin": m.origin,
        }
        for m in measurements
    ]  # fmt: skip
    body = {
        "schema": SCHEMA_PHOTOMETRY, "event_id": event_id, "candidate": _present(head),
        "measurements": [_present(r) for r in rows], "simulated": simulated,
    }  # fmt: skip
    return _json(_present(body))


def headers_of(schema: str) -> dict[str, str]:
    """Headers of a photometry message of ours or of the demo (by `schema`): sender and schema."""
    sender = SENDER_SOURCE_V1 if schema == SCHEMA_SOURCE_V1 else SENDER_PHOTOMETRY
    return {"sender": sender, "schema": schema}


def _present(values: Mapping[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in values.items() if v is not None}


def _json(body: Mapping[str, Any]) -> bytes:
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
