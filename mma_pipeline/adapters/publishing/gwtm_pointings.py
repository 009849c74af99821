"""Our own pointings on the Treasure Map (GWTM): what is posted of them, found among its rows, completed and cancelled.

The site finds no duplicates by itself, so its rows are compared before each post. Of a planned pointing that was completed it
takes time and position angle alone; a completed one can be changed by nobody.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC
from typing import Any

from mma_pipeline.adapters.archive.publications import Answer, Draft
from mma_pipeline.adapters.errors import TransientError
from mma_pipeline.adapters.publishing.gwtm_client import GwtmClient
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.pointings import Pointing, Status, moment, of_treasure_map

#: Kinds of publications: a pointing, and the cancellation of one.
POINTING, CANCELLATION = "pointing", "pointing_cancellation"
#: Bands that the site knows; any other fails the whole request.
BANDS = frozenset(
    [
        "U",
        "B",
        "V",
        "R",
        "I",
        "J",
        "H",
        "K",
        "u",
        "g",
        "r",
        "i",
        "z",
        "UVW1",
        "UVW2",
        "UVM2",
        "XRT",
        "clear",
        "open",
        "UHF",
        "VHF",
        "L",
        "S",
        "C",
        "X",
        "other",
        "TESS",
        "BAT",
        "HESS",
        "WISEL",
        "q",
    ]
)
_DEPTH_UNITS = frozenset(("ab_mag", "vega_mag", "flux_erg", "flux_jy"))
#: Positions of one pointing agree within this, degrees; times within a second.
_SAME_DEG, _SAME_S = 1e-4, 1.0


def fields_of(pointing: Pointing, instrument_id: int) -> dict[str, Any]:
    """The body of a pointing; raises NoticeError where the site would refuse it, with the reason."""
    if pointing.time is None:
        raise NoticeError(f"pointing {pointing.source_id} has no time")
    if pointing.band is not None and pointing.band not in BANDS:
        raise NoticeError(f"pointing {pointing.source_id} has the band {pointing.band!r}, which the site does not know")
    if pointing.depth_unit is not None and pointing.depth_unit not in _DEPTH_UNITS:
        raise NoticeError(f"pointing {pointing.source_id} has the unit of depth {pointing.depth_unit!r}")
    if pointing.status is Status.COMPLETED and not (pointing.depth and pointing.depth_unit and pointing.band):
        raise NoticeError(f"pointing {pointing.source_id} is completed, but has no depth or no band")
    found = {
        "ra": pointing.ra,
        "dec": pointing.dec,
        "instrumentid": instrument_id,
        "time": pointing.time.astimezone(UTC).replace(tzinfo=None).isoformat(),
        "status": pointing.status.value,
        # The site turns through west.
        "pos_angle": -pointing.pos_angle % 360.0,
        "band": pointing.band,
        "depth": pointing.depth,
        "depth_unit": pointing.depth_unit,
    }
    return {name: value for name, value in found.items() if value is not None}


def drafts(
    destination: str,
    event_id: str,
    pointings: Iterable[Pointing],
    instrument_of: Callable[[str], int | None],
    planned_for: Mapping[str, str],
) -> tuple[list[Draft], list[str]]:
    """Publications of pointings, and why some cannot be posted.

    `instrument_of` gives the site's id of an instrument's name, `planned_for` the time (ISO 8601, UTC) for which a pointing
    that is completed was planned, by its name. What is cancelled is a cancellation of what was posted.
    """
    found: list[Draft] = []
    left_out: list[str] = []
    for p in pointings:
        number = instrument_of(p.instrument)
        if number is None:
            left_out.append(f"pointing {p.source_id}: the site's id of the instrument {p.instrument} is not known")
            continue
        cancelled = p.status is Status.CANCELLED
        try:
            # A cancellation looks for the planned row.
            fields = fields_of(_planned(p) if cancelled else p, number)
        except NoticeError as error:
            left_out.append(str(error))
            continue
        kind = CANCELLATION if cancelled else POINTING
        key = f"{event_id}:{p.source}:{p.source_id}"
        found.append(
            Draft(
                destination, kind, f"pointing:{key}:{p.status.value}", event_id,
                {"fields": fields, "planned_time": planned_for.get(p.source_id)},
                sequence=f"pointing {p.source_id}"[:80],
            )
        )  # fmt: skip
    return found, left_out


def cancellations(destination: str, event_id: str, posted: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[Draft]:
    """Cancellations of what was posted as planned and never completed, as after a retraction.

    `posted` has kind, key and payload of each of the event's publications.
    """
    known = list(posted)
    keys = {key for _, key, _ in known}
    found = []
    for kind, key, payload in known:
        stem, _, status = key.rpartition(":")
        done = f"{stem}:{Status.COMPLETED.value}" in keys or f"{stem}:{Status.CANCELLED.value}" in keys
        if kind == POINTING and status == Status.PLANNED.value and not done:
            name = stem.rpartition(":")[2]
            draft = Draft(
                destination, CANCELLATION, f"{stem}:{Status.CANCELLED.value}", event_id, payload,
                sequence=f"pointing {name}"[:80],
            )  # fmt: skip
            found.append(draft)
    return found


def send(
    client: GwtmClient, event_id: str, payload: Mapping[str, Any], post: Callable[[Callable[[], int]], int]
) -> Answer:
    """Post a pointing that the site does not have; `post` makes sure that a post without answer is not repeated too early."""
    fields, planned_time = payload["fields"], payload.get("planned_time")
    same = [row for row in client.pointings(event_id) if _is_same(row, fields)]
    there = next((r for r in same if r["status"] == fields["status"] and _same_time(r, fields["time"])), None)
    if there is not None:
        return Answer(f"pointing {there['id']}", already_there=True)
    planned = [r for r in same if r["status"] == Status.PLANNED and _same_time(r, planned_time)]
    completes = bool(planned) and fields["status"] == Status.COMPLETED
    body = {**fields, **({"id": planned[0]["id"]} if completes else {})}
    number = post(lambda: client.post_pointing(event_id, body))
    return Answer(f"pointing {number}", {"completes_planned": completes})


def cancel(client: GwtmClient, event_id: str, fields: Mapping[str, Any]) -> Answer:
    """Cancel the planned row of a pointing; nothing to do where it was never posted, or is completed."""

    def open_rows() -> list[int]:
        planned = [r for r in client.pointings(event_id) if r["status"] == Status.PLANNED and _is_same(r, fields)]
        return [int(row["id"]) for row in planned if _same_time(row, fields["time"])]

    ids = open_rows()
    if ids:
        client.cancel_pointings(ids)
        left = open_rows()
        if left:
            raise TransientError(f"GWTM still has the pointings {left} as planned: are they ours?")
    return Answer(f"cancelled {', '.join(map(str, ids)) or 'nothing'}", {"ids": ids}, already_there=not ids)


def _planned(pointing: Pointing) -> Pointing:
    values = {name: getattr(pointing, name) for name in Pointing.__slots__}
    return Pointing(**{**values, "status": Status.PLANNED})


def _is_same(row: Mapping[str, Any], fields: Mapping[str, Any]) -> bool:
    """Whether a row has the instrument, the place and the band of a pointing."""
    try:
        found = of_treasure_map(row, None)
    except NoticeError:
        return False
    apart = abs((found.ra - fields["ra"] + 180) % 360 - 180) * math.cos(math.radians(found.dec))
    return bool(
        row.get("instrumentid") == fields["instrumentid"]
        and (found.band is None or fields.get("band") is None or found.band == fields["band"])
        and apart < _SAME_DEG
        and abs(found.dec - fields["dec"]) < _SAME_DEG
    )


def _same_time(row: Mapping[str, Any], time: str | None) -> bool:
    try:
        there, ours = moment(row.get("time")), moment(time)
    except NoticeError:
        return False
    return there is not None and ours is not None and abs((there - ours).total_seconds()) < _SAME_S
