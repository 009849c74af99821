"""Hermes messages (LCOGT/hermes): photometry of data.targets in data.photometry, numbers often as text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import text_at
from mma_pipeline.notices.key import check_event_id
from mma_pipeline.notices.photometry.brightness import ZERO_POINTS, of_flux
from mma_pipeline.notices.photometry.measurement import (
    Measurement,
    PhotometryNotice,
    candidate_of,
    checked_band,
    checked_mjd,
    complete,
    each,
    error_of,
    lenient_redshift,
    number_of,
    rows_of,
)
from mma_pipeline.notices.times import mjd_of


def parse_hermes(record: Mapping[str, Any]) -> PhotometryNotice:
    """Measurements of a decoded Hermes message; raises NoticeError if nothing in it can be used."""
    data = record["data"]
    targets: dict[str, Mapping[str, Any]] = {}
    redshifts: dict[str, float | None] = {}
    unread: list[str] = []
    for target in rows_of(data.get("targets"), "data.targets"):
        if isinstance(target, Mapping) and isinstance(target.get("name"), str):
            name = target["name"]
            targets[name] = target
            try:
                redshifts[name] = _redshift(target)
            except NoticeError as problem:
                # Photometry is usable without a redshift.
                unread.append(f"target {name[:40]!r}: {problem}")
    event_id = data.get("event_id")
    rows = rows_of(data.get("photometry"), "data.photometry")
    found, skipped = each(rows, "photometry", lambda row: _row(row, targets, redshifts))
    try:
        event = check_event_id(event_id)
    except NoticeError:
        # Hermes allows any event name here, such as "GRB 230409B".
        event = None
    return complete(found, [*skipped, *unread], "hermes", event)


def _redshift(target: Mapping[str, Any]) -> float | None:
    """The target's redshift, else its host's; raises NoticeError for an invalid one."""
    own = lenient_redshift(target.get("redshift"), "redshift")
    return lenient_redshift(target.get("host_redshift"), "host_redshift") if own is None else own


def _row(
    row: Mapping[str, Any], targets: Mapping[str, Mapping[str, Any]], redshifts: Mapping[str, float | None]
) -> Measurement:
    name = row.get("target_name")
    target = targets.get(name) if isinstance(name, str) else None
    if target is None or not isinstance(name, str):
        raise NoticeError(f"target {str(name)[:40]!r} is not among data.targets")
    candidate = candidate_of(name, target.get("ra"), target.get("dec"), redshift=redshifts.get(name))
    brightness, limit = row.get("brightness"), row.get("limiting_brightness")
    upper = brightness in (None, "")
    value = number_of(limit if upper else brightness, "limiting_brightness" if upper else "brightness")
    unit = row.get("limiting_brightness_unit" if upper else "brightness_unit")
    error = None if upper else error_of(row.get("brightness_error"), "brightness_error")
    if unit in ZERO_POINTS and isinstance(unit, str):
        found = of_flux(value, error, ZERO_POINTS[unit])
        value, error, upper = found.magnitude, found.error, upper or found.upper_limit
    elif unit != "AB mag":
        raise NoticeError(f"brightness is in {str(unit)[:30]!r}; AB mag, nJy, uJy, mJy and Jy are understood")
    mjd = mjd_of(row.get("date_obs"))
    # T_start and T_stop count from a trigger whose time the message does not give; the observation's date is used.
    return Measurement(candidate, checked_mjd(mjd, "date_obs"), checked_band(row.get("bandpass")), value, error, upper,
                       text_at(row, "telescope"), text_at(row, "instrument"))  # fmt: skip
