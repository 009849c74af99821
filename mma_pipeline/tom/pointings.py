"""The observation requests of an event as pointings, for the pipeline and whoever else holds the token: JSON, read only.

`GET api/mma/pointings/?graceid=EVENT` answers with rows in the form of the Treasure Map's `pointings`: one for each exposure
in one band that a request asks for, with the field in place of an instrument's number. A request belongs to the events of
its target's alerts. Spectra cover no sky and are left out.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.http import HttpRequest, JsonResponse
from django.utils.crypto import constant_time_compare
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from tom_observations.facility import get_service_class
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from mma_pipeline.notices.footprints import Footprint
from mma_pipeline.notices.pointings import Status

from .imagers import field_of
from .models import DerivedAlert

_log = logging.getLogger(__name__)

#: Path below the TOM's start page.
PATH = "api/mma/pointings/"
_CONFIG = re.compile(r"c_(\d+)_ic_(\d+)_exposure_time(?:_([griz]))?")
#: Bands of the camera that sees four at once, by the letters of its exposure times.
_FOUR = {"g": "gp", "r": "rp", "i": "ip", "z": "zs"}
#: Types of configurations that take pictures of the sky (LCO); of a request that names none, all are counted.
_PICTURES = frozenset({"EXPOSE", "REPEAT_EXPOSE", ""})


@dataclass(frozen=True, slots=True)
class _Exposure:
    """One exposure of a request in one band."""

    instrument: str
    band: str | None
    mode: str
    target: Any


@never_cache
@require_safe
def pointings(request: HttpRequest) -> JsonResponse:
    """The rows of one event; 401 without the token, 404 where the TOM has none, 400 without an event."""
    token = str(getattr(settings, "MMA_TOM", {}).get("pointings_token") or "")
    if not token:
        return _refused(404, "this TOM tells no pointings: TOM_POINTINGS_TOKEN is not set")
    if not constant_time_compare(request.headers.get("Authorization", ""), f"Bearer {token}"):
        return _refused(401, "a token is needed: Authorization: Bearer TOKEN")
    event = request.GET.get("graceid", "").strip()
    if not event:
        return _refused(400, "name an event: ?graceid=S230518h")
    return JsonResponse(list(rows(event)), safe=False)


def _refused(status: int, why: str) -> JsonResponse:
    answer = JsonResponse({"message": why}, status=status)
    if status == 401:
        answer["WWW-Authenticate"] = "Bearer"
    return answer


def rows(event: str) -> Iterator[dict[str, Any]]:
    """Rows of the requests of an event's targets, by the request's number."""
    targets = DerivedAlert.objects.filter(event_id=event).exclude(target=None).values("target_id")
    for record in ObservationRecord.objects.filter(target_id__in=targets).select_related("target").order_by("pk"):
        status = _status(record)
        if status is None:
            _log.warning("request %s is of the unknown facility %s and is left out", record.pk, record.facility)
            continue
        for number, exposure in enumerate(_exposures(record), start=1):
            row = _row(record, status, exposure)
            if row is not None:
                yield {"id": f"{record.pk}-{number}", **row}


def _row(record: ObservationRecord, status: Status, exposure: _Exposure) -> dict[str, Any] | None:
    """A row without its id; None for a target without a position, such as a comet."""
    target = exposure.target
    if target.ra is None or target.dec is None:
        return None
    # The fields of a mosaic are known to the portal alone.
    field = None if record.parameters.get("mosaic_pattern") else field_of(exposure.instrument, exposure.mode)
    time = _time(record, status)
    return {
        "position": f"POINT({target.ra!r} {target.dec!r})",
        "instrument_name": exposure.instrument,
        "time": None if time is None else time.astimezone(UTC).replace(tzinfo=None).isoformat(),
        "band": exposure.band,
        "depth": None,
        "depth_unit": None,
        "pos_angle": None,
        "status": status.value,
        "footprint": None if field is None else _wkt(field),
        "facility": record.facility,
        "request": record.observation_id,
        "target": target.name,
    }


def _status(record: ObservationRecord) -> Status | None:
    """What became of a request; None if its facility is not known here any more."""
    try:
        facility = get_service_class(record.facility)()
    except ImportError:
        return None
    if record.status in facility.get_failed_observing_states():
        return Status.CANCELLED
    return Status.COMPLETED if record.status in facility.get_terminal_observing_states() else Status.PLANNED


def _time(record: ObservationRecord, status: Status) -> datetime | None:
    """When it was or will be done: as scheduled; for a plan without a schedule the begin of its window."""
    if record.scheduled_start is not None:
        return _aware(record.scheduled_start)
    if status is Status.COMPLETED:
        return None
    try:
        return _aware(datetime.fromisoformat(str(record.parameters.get("start"))))
    except ValueError:
        return None


def _aware(moment: datetime) -> datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _exposures(record: ObservationRecord) -> Iterator[_Exposure]:
    """The exposures that the toolkit's forms describe; for other facilities one, with what the usual names say."""
    asked: Mapping[str, Any] = record.parameters
    found = sorted(
        (int(match[1]), int(match[2]), match[3] or "")
        for name, value in asked.items()
        if value and (match := _CONFIG.fullmatch(name))
    )
    for part, exposure, letter in found:
        if str(asked.get(f"c_{part}_configuration_type") or "") not in _PICTURES:
            continue
        head = f"c_{part}_ic_{exposure}"
        band = _FOUR[letter] if letter else asked.get(f"{head}_filter")
        other = asked.get(f"c_{part}_target_override")
        yield _Exposure(
            str(asked.get(f"c_{part}_instrument_type") or record.facility),
            str(band) if band else None,
            str(asked.get(f"{head}_readout_mode") or ""),
            (Target.objects.filter(pk=other).first() if other else None) or record.target,
        )
    if found or "SPECTR" in str(asked.get("observation_type", "")).upper():
        return
    instrument = str(asked.get("instrument_type") or record.facility)
    # A sequence has a field for each filter: seconds, number of exposures, block.
    several = [name for name, value in asked.items() if isinstance(value, list) and len(value) == 3 and value[0]]
    for band in several or [asked.get("filter")]:
        yield _Exposure(instrument, str(band) if band else None, "", record.target)


def _wkt(field: Footprint) -> str:
    corners = [*field.polygons[0], field.polygons[0][0]]
    return "POLYGON ((" + ", ".join(f"{x:.6f} {y:.6f}" for x, y in corners) + "))"
