"""IceCube's search for neutrinos from an event: the notice, and each neutrino against the newest map of the event.

`neutrino_notice`: the notice byte for byte as sent (`notice.json`), and its content in one layout whatever the schema
(`neutrinos.json`, units in the names). It is checked against the published schema; drift is reported and blocks nothing.
A notice without coincident events is a result: an upper limit.

`neutrino_coincidence`: for every track the probability of the map inside its error circle, the credible level of its
best fit, 4π∫p_GW p_ν dΩ (Ashton et al. 2018, ApJ 860 6) and a space-time p-value (Fisher's method), with a plot. The
map is the event's newest own map in the archive, named in the statistics; without one the file says so. When a newer
map or a retraction arrives, `neutrino_coincidence_sensor` requests the product again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.notice_schemas import ICECUBE, schema_drift
from mma_pipeline.defs.candidates.scoring import skymap_of
from mma_pipeline.defs.neutrinos.compared_event import ComparedEvent, compared_event
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.products.declaration import (
    NEEDS_NEUTRINO_NOTICE,
    CheckSpec,
    FileSpec,
    Product,
    ProductFiles,
    Severity,
    degraded_check,
    is_share,
    own_file,
    schema_check,
)
from mma_pipeline.products.inputs import ProductInput

if TYPE_CHECKING:
    from mma_pipeline.notices.icecube import IceCubeNotice
    from mma_pipeline.science.coincidence.neutrinos import Overlap

_ABOUT_NOTICE, _ABOUT_COINCIDENCE = (part.strip() for part in (__doc__ or "").split("\n\n")[1:])
#: The notice's time of the event and the alert's may differ by this much: the notice is rounded to seconds.
TIME_TOLERANCE_S = 10.0
METHOD = (
    "p_spacetime = x (1 - ln x), x = p_space p_time (Fisher's method); p_space: share of the sky that is at least as probable "
    "as the best fit; p_time: share of the search window at least as near to the event; overlap: Ashton et al. 2018, ApJ 860 6"
)
CAVEAT = (
    "p_spacetime holds for one track picked in advance; p_trials = 1 - (1 - p)^n for the n tracks of this notice. Neither "
    "knows of other events searched, of tracks not listed, or of IceCube's acceptance; the notice's own p-values are not "
    "corrected for trials either."
)
_SHARES = ("best_p_spacetime", "best_p_trials", "best_credible_level", "best_probability_inside")
_TRACK_UNITS = {"ra": "ra_deg", "dec": "dec_deg", "radius": "radius_deg", "time_offset": "time_offset_s"}


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, indent=1, allow_nan=False, ensure_ascii=False).encode()


def _tracks(notice: IceCubeNotice) -> list[dict[str, Any]]:
    return [
        {
            "ids": list(track.ids),
            "time_offset_s": track.time_offset,
            "ra_deg": None if track.direction is None else track.direction.ra,
            "dec_deg": None if track.direction is None else track.direction.dec,
            "radius_deg": track.radius,
            "containment": track.containment,
            "systematic_included": track.systematic_included,
            "pval_generic": track.pval_generic,
            "pval_bayesian": track.pval_bayesian,
        }
        for track in notice.neutrinos
    ]


def _make_notice(source: ProductInput) -> ProductFiles:
    notice, record = source.neutrino_notice, decode_notice(source.message.body)
    tracks = _tracks(notice)
    counted = record.get("n_events_coincident")
    flux, energy = notice.flux_sensitivity, notice.energy_range
    statistics = {
        **source.facts,
        "tracks": _table(tracks, ("time_offset_s", "ra_deg", "dec_deg", "radius_deg", "pval_generic", "pval_bayesian")),
        "counted_by_sender": counted if isinstance(counted, int) and not isinstance(counted, bool) else None,
        "flux_sensitivity_gev_cm2": None if flux is None else list(flux),
        "energy_range_gev": None if energy is None else list(energy),
        "schema_drift": schema_drift(record, ICECUBE),
    }
    document = {**statistics, "event": notice.event_id, "tracks": tracks}
    return ProductFiles({"neutrino_notice": source.message.body, "neutrinos": _json(document)}, statistics)


def _count_agrees(statistics: Mapping[str, Any]) -> bool | None:
    counted = statistics["counted_by_sender"]
    return None if counted is None else bool(counted == statistics["neutrinos"])


neutrino_notice = Product(
    name="neutrino_notice",
    about=_ABOUT_NOTICE,
    code_version="1",
    group="neutrino",
    kinds=frozenset({"kafka", "json"}),
    deps=("icecube_stream",),
    files=(
        own_file("neutrino_notice", "notice.json", "application/json"),
        own_file("neutrinos", "neutrinos.json", "application/json"),
    ),
    inputs=lambda source: [source.origin.sha256],
    make=_make_notice,
    need=NEEDS_NEUTRINO_NOTICE,
    checks=(
        schema_check("notice_follows_schema", "The notice follows the published schema"),
        degraded_check("notice_is_whole"),
        CheckSpec(
            "no_neutrino_lost",
            "The number of neutrinos read is the number that the notice states.",
            _count_agrees,
            shows=("counted_by_sender", "neutrinos"),
        ),
    ),
)


def _compared_event(source: ProductInput) -> ComparedEvent:
    return compared_event(source.archive, source.record.version.event_id)


def _inputs(source: ProductInput) -> Sequence[str]:
    found = _compared_event(source)
    digest = None if found.map_version is None else found.map_version.facts["skymap_sha256"]
    return [source.origin.sha256, *found.identity, str(digest)]


def _make_coincidence(source: ProductInput) -> ProductFiles:
    notice, found = source.neutrino_notice, _compared_event(source)
    record = found.map_version
    statistics: dict[str, Any] = {
        "event": notice.event_id,
        "reference": notice.reference,
        "counterpart": list(found.identity),
        "state": "no map of the event is archived yet" if record is None else "compared",
        "retracted_by": found.retracted_by,
        "neutrinos": len(notice.neutrinos),
    }
    if record is None:
        statistics["tracks"] = _tracks(notice)
        return ProductFiles({"coincidence": _json(statistics)}, statistics)
    from mma_pipeline.science.coincidence.neutrinos import overlaps
    from mma_pipeline.science.coincidence.plot import draw_overlaps

    skymap = skymap_of(source.archive, record)
    compared = overlaps(skymap, notice.neutrinos, notice.window)
    tracks = [{**track, **_overlap(one)} for track, one in zip(_tracks(notice), compared, strict=True)]
    statistics |= {
        "map_version": record.partition_key,
        "map_label": record.version.label,
        "map_created": record.version.created.isoformat(),
        "event_time_offset_s": _offset(notice, record.facts.get("time")),
        "window_s": None if notice.window is None else list(notice.window),
        **_best(compared),
        "comparison": _table(
            tracks, ("time_offset_s", "radius_deg", "probability_inside", "credible_level", "overlap", "p_spacetime", "p_trials")
        ),
        "caveat": CAVEAT,
        "tracks": tracks,
    }  # fmt: skip
    title = f"{notice.event_id}: IceCube {notice.alert_time:%Y-%m-%d %H:%M:%S}, {_count(len(compared))}"
    title += f", on {record.version.label} {record.version.created:%Y-%m-%d %H:%M:%S}"
    document = {**statistics, "method": METHOD, "map_sha256": record.facts["skymap_sha256"]}
    del document["comparison"]
    plot = draw_overlaps(skymap, compared, title + (" (retracted)" if found.retracted_by else ""))
    return ProductFiles({"coincidence": _json(document), "coincidence_picture": plot}, statistics)


def _overlap(one: Overlap) -> dict[str, Any]:
    """Results of the comparison for a track."""
    return {_TRACK_UNITS.get(name, name): value for name, value in asdict(one).items()}


def _best(compared: Sequence[Overlap]) -> dict[str, Any]:
    """The track with the smallest space-time p-value, counted from one as in the plot."""
    ranked = [(one.p_spacetime, number, one) for number, one in enumerate(compared, 1) if one.p_spacetime is not None]
    if not ranked:
        return {}
    p, number, best = min(ranked)[:3]
    return {
        "best_track": number,
        "best_p_spacetime": p,
        "best_p_trials": best.p_trials,
        "best_credible_level": best.credible_level,
        "best_probability_inside": best.probability_inside,
        "best_overlap": best.overlap,
    }


def _offset(notice: IceCubeNotice, event_time: str | None) -> float | None:
    """The notice's time of the event minus the alert's, s."""
    if notice.trigger_time is None or event_time is None:
        return None
    return (notice.trigger_time - datetime.fromisoformat(event_time)).total_seconds()


def _count(number: int) -> str:
    return {0: "no neutrino", 1: "1 neutrino"}.get(number, f"{number} neutrinos")


def _table(tracks: Sequence[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Markdown, one numbered row per track."""
    if not tracks:
        return "no neutrino in coincidence: an upper limit"
    lines = [f"| | {' | '.join(columns)} |", "|---" * (len(columns) + 1) + "|"]
    for number, track in enumerate(tracks, 1):
        cells = ("" if track.get(name) is None else f"{track[name]:.4g}" for name in columns)
        lines.append(f"| {number} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _shares(statistics: Mapping[str, Any]) -> bool | None:
    return None if "best_track" not in statistics else all(is_share(statistics.get(name)) for name in _SHARES)


def _times_agree(statistics: Mapping[str, Any]) -> bool | None:
    offset = statistics.get("event_time_offset_s")
    return None if offset is None else abs(offset) <= TIME_TOLERANCE_S


neutrino_coincidence = Product(
    name="neutrino_coincidence",
    about=_ABOUT_COINCIDENCE,
    code_version="3",
    group="neutrino",
    kinds=frozenset({"numpy", "matplotlib", "png"}),
    deps=("neutrino_notice", "newest_skymap"),
    files=(
        own_file("coincidence", "coincidence.json", "application/json"),
        FileSpec(
            "coincidence_picture",
            own_file("", "coincidence.png", "").key,
            "image/png",
            plot=True,
            optional=True,
        ),
    ),
    inputs=_inputs,
    make=_make_coincidence,
    need=NEEDS_NEUTRINO_NOTICE,
    checks=(
        CheckSpec(
            "coincidence_in_range",
            "Probabilities and p-values lie between 0 and 1, within rounding.",
            _shares,
            shows=_SHARES,
            severity=Severity.ERROR,
        ),
        CheckSpec(
            "same_event_time",
            f"Notice and alert give the same time of the event, within {TIME_TOLERANCE_S:.0f} s.",
            _times_agree,
            shows=("event_time_offset_s",),
        ),
        CheckSpec(
            "event_stands",
            "The event was not retracted.",
            lambda statistics: statistics["retracted_by"] is None,
            shows=("retracted_by",),
        ),
    ),
)
