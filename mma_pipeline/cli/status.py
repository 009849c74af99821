"""`mma status` and `mma show`: list the archived events, their products, and what is missing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mma_pipeline.cli.app import (
    MOST_ROWS,
    Exit,
    JsonOption,
    clear_errors,
    console,
    fail,
    open_archive,
    open_store,
    print_json,
)
from mma_pipeline.cli.candidates import WITHOUT, candidate_lines, candidates_of, checked_names
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.cli.events import say_if_retracted
from mma_pipeline.cli.quarantine import plain
from mma_pipeline.notices.key import EXTERNAL_SUFFIX, spelled_event_id
from mma_pipeline.notices.words import area, chance, counted, false_alarm, figure, share, typeset

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord
    from mma_pipeline.adapters.archive.coincidences import PairRecord
    from mma_pipeline.adapters.kafka.message import StreamMessage


#: From here on six digits would hide units: a time in GPS seconds.
_LARGE = 1e6


def _open() -> Archive:
    return open_archive()


def describe(archive: Archive, records: Sequence[VersionRecord]) -> list[dict[str, Any]]:
    """Versions with their products, their missing files, and the message that each came from."""
    from mma_pipeline.adapters.archive.event_history import retraction_of

    events = archive.versions_of({record.version.event_id for record in records})
    retractions = {event_id: retraction_of(found) for event_id, found in events.items()}
    products = archive.products_of(record.partition_key for record in records)
    origins = archive.origins(record.message_id for record in records)
    return [
        _described(
            record, products[record.partition_key], origins[record.message_id], retractions[record.version.event_id]
        )
        for record in records
    ]


def _described(
    record: VersionRecord, products: Sequence[ProductRecord], origin: StreamMessage, retraction: VersionRecord | None
) -> dict[str, Any]:
    from mma_pipeline.defs.all_products import expected_files
    from mma_pipeline.defs.events.page.write import page_key
    from mma_pipeline.notices.source_words import source_words
    from mma_pipeline.settings import current

    names = {product.name for product in products}
    statistics: dict[str, Any] = {}
    for product in products:
        statistics[product.asset] = dict(product.statistics)
    return {
        "partition": record.partition_key,
        "event": record.version.event_id,
        "type": record.version.label,
        "stem": str(record.stem),
        "created": record.version.created.isoformat(),
        "role": record.version.role.value,
        "retracted_by": None if retraction is None else retraction.partition_key,
        "page": page_key(record.version.event_id),
        "facts": dict(record.facts),
        "source": list(source_words(record.facts)),
        "degraded": list(record.facts.get("degraded", ())),
        "message": {
            "stream": origin.stream,
            "topic": origin.topic,
            "partition": origin.partition,
            "offset": origin.offset,
            "received": origin.received.isoformat(),
            "sha256": origin.sha256,
        },
        "products": [
            {
                "name": product.name,
                "asset": product.asset,
                "key": product.store_key,
                "size_bytes": product.size,
                "sha256": product.sha256,
                "content_type": product.content_type,
                "written": product.written.isoformat(),
            }
            for product in products
        ],
        "missing": sorted(expected_files(record, current()) - names),
        "statistics": statistics,
    }


def status(
    limit: Annotated[int, typer.Option(help="Show at most this many events, newest first.", min=1, max=MOST_ROWS)] = 50,
    real: Annotated[bool, typer.Option("--real", help="Leave mock and test events out.")] = False,
    since: Annotated[
        str | None, typer.Option(help="Events with a version created since a time, such as 2026-01-31; UTC.")
    ] = None,
    versions: Annotated[
        bool, typer.Option("--versions", help="A row for each version, with its files, not for each event.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """List events, newest first: what each is, how well it is located, and what is missing."""
    from mma_pipeline.adapters.archive.coincidences import claimed_pairs
    from mma_pipeline.adapters.archive.overview import newest_events

    begin = _time(since)
    with clear_errors():
        archive = _open()
        counts = archive.counts()
        events = newest_events(archive, limit=limit, real=real, since=begin)
        found = archive.versions_of(events)
        records = sorted(
            (record for some in found.values() for record in some), key=lambda r: r.version.created, reverse=True
        )
        if as_json or versions:
            records = [r for r in records if begin is None or r.version.created >= begin][:limit]
        described = describe(archive, records)
        pairs = claimed_pairs(archive)
    if not events and (real or begin is not None):
        said = " real" * real, "" if begin is None else f" since {begin:%Y-%m-%d %H:%M} UTC"
        raise fail(f"no{said[0]} event{said[1]} is archived", Exit.NOTHING)
    if as_json:
        print_json({"counts": counts, "versions": described})
        return
    by_event: dict[str, list[dict[str, Any]]] = {}
    for entry in described:
        by_event.setdefault(entry["event"], []).append(entry)
    title = ", ".join(f"{count} {name}" for name, count in counts.items())
    ordered = {event: by_event[event] for event in events if event in by_event}
    console.print(_version_table(described, title) if versions else _event_table(ordered, found, pairs, title))


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise fail(f"--since {text!r} is no time such as 2026-01-31 or 2026-01-31T12:00", Exit.USAGE) from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _narrow(title: str) -> Table:
    # The title is a line of its own: it would widen a narrow table, or be broken by it.
    console.print(title, highlight=False, soft_wrap=True)
    return Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))


def _event_table(
    events: Mapping[str, Sequence[dict[str, Any]]],
    records: Mapping[str, Sequence[VersionRecord]],
    pairs: Mapping[str, Sequence[PairRecord]],
    title: str,
) -> Table:
    """A row for each event. Ids and kinds are never cut, whatever the width; what is left wraps."""
    from mma_pipeline.notices.source_words import percent
    from mma_pipeline.portal.summary import summary_of

    summaries = {
        event: summary_of(
            records[event],
            {e["partition"]: s for e in entries if (s := e["statistics"].get("skymap_statistics"))},
            pairs.get(event, ()),
        )
        for event, entries in events.items()
    }
    table = _narrow(title)
    table.add_column("event", no_wrap=True, overflow="ignore", min_width=max(map(len, events), default=5))
    kinds = (len(summary.kind) for summary in summaries.values())
    table.add_column("newest", no_wrap=True, overflow="ignore", min_width=max(kinds, default=6))
    table.add_column("time (UTC)", no_wrap=True, min_width=14)
    table.add_column("source", min_width=11)
    for column in ("90 %", "Mpc"):
        table.add_column(column, justify="right", min_width=5)
    table.add_column("status", min_width=9)
    for event, entries in events.items():
        summary = summaries[event]
        likeliest = summary.likeliest
        table.add_row(
            event,
            summary.kind,
            "not stated" if summary.time is None else f"{summary.time:%y-%m-%d %H:%M}",
            # Classes and groups are the sender's words: nothing in them is markup.
            Text(summary.group or "" if likeliest is None else f"{likeliest[0]} {percent(likeliest[1])}"),
            area(summary.best_area_90_deg2),
            "" if summary.best_distance_mpc is None else f"{summary.best_distance_mpc:.0f}",
            _event_state(entries),
        )
    return table


def _event_state(entries: Sequence[Mapping[str, Any]]) -> str:
    if entries[0]["retracted_by"] is not None:
        return "[red]retracted[/red]"
    missing = len({name for entry in entries for name in entry["missing"]})
    said = ["[yellow]degraded[/yellow]"] if any(entry["facts"].get("degraded") for entry in entries) else []
    return ", ".join([*said, *([f"lacks {missing}"] if missing else [])])


def _version_table(entries: Sequence[Mapping[str, Any]], title: str) -> Table:
    """A row for each version."""
    table = _narrow(title)
    stems = [(entry["event"], entry["stem"].removeprefix(entry["event"] + "-")) for entry in entries]
    for number, column in enumerate(("event", "version")):
        widest = max((len(stem[number]) for stem in stems), default=len(column))
        table.add_column(column, no_wrap=True, overflow="ignore", min_width=widest)
    table.add_column("created (UTC)", no_wrap=True, min_width=14)
    table.add_column("status", min_width=9)
    for column in ("files", "lacks", "50 %", "90 %"):
        table.add_column(column, justify="right")
    for stem, entry in zip(stems, entries, strict=True):
        areas = entry["statistics"].get("skymap_statistics", {})
        table.add_row(
            *stem,
            entry["created"][2:16].replace("T", " "),
            _state(entry),
            str(len(entry["products"])),
            str(len(entry["missing"]) or ""),
            area(areas.get("area_50_deg2")),
            area(areas.get("area_90_deg2")),
        )
    return table


def show(
    event: Annotated[
        str,
        typer.Argument(
            help="Superevent id such as S230518h, or a version: its partition key, or the name of its files.",
            autocompletion=complete_event,
        ),
    ],
    everything: Annotated[bool, typer.Option("--all", help="All versions in full, not the newest alone.")] = False,
    without: Annotated[str, WITHOUT] = "",
    as_json: JsonOption = False,
) -> None:
    """Show an event: its newest version with statistics and files, what else there is, its candidates, and its messages in quarantine."""
    from mma_pipeline.adapters.archive.quarantine import Choice, quarantined

    off = checked_names(without)
    with clear_errors():
        archive = _open()
        records = archive.versions_named(event)
        found = describe(archive, records)
        event_id = found[0]["event"] if found else spelled_event_id(event)
        aside = [plain(entry) for entry in quarantined(archive, Choice(event_ids=[event_id]))]
        candidates = candidates_of(archive, event_id, off)
    if not found and not aside:
        raise fail(
            f"the archive has no version of {event}, and quarantine no message: `mma status` shows what is archived",
            Exit.NOTHING,
        )
    if as_json:
        head = {"event": event_id, "retracted_by": None, "page": None}
        head |= {name: found[0][name] for name in head if found}
        print_json({**head, "versions": found, "candidates": candidates, "quarantine": aside})
        return
    for entry in aside:
        said = f"message {entry['message']} of {entry['received'][:19]} cannot be used: {entry['reason']}"
        console.print(Text(f"in quarantine: {said}", style="bold red"), soft_wrap=True)
    if not found:
        console.print(f"the archive has no version of {event_id}")
        return
    say_if_retracted(event_id, found[0]["retracted_by"])
    console.print(f"page: {found[0]['page']}", highlight=False, markup=False)
    whole = found if everything or len(found) == 1 else [_telling(found)]
    for entry in whole:
        console.rule(f"{entry['stem']}  ({entry['partition']})")
        # What the notice says of the source stands in words.
        worded = {"degraded", "classification", "properties", "chirp_mass"}
        facts = {k: v for k, v in entry["facts"].items() if v is not None and k not in worded}
        grid = Table.grid(padding=(0, 2))
        for line in entry["degraded"]:
            grid.add_row(Text("left out", style="yellow"), Text(line))
        for line in _pairs(entry):
            grid.add_row("coincidence", Text(line))
        for line in _windows(entry, datetime.now(UTC)):
            grid.add_row("window", Text(line))
        statistics = {**entry["statistics"].get("skymap_statistics", {}), **_compared(entry)}
        statistics |= _expected(entry)
        statistics |= _covered(entry)
        for line in entry["source"]:
            grid.add_row("source", Text(line))
        for name, value in {**facts, **statistics}.items():
            if value not in (None, "", {}, []):
                grid.add_row(name, Text(written(name, value)))
        for product in entry["products"]:
            grid.add_row(product["name"], f"{product['key']}  {product['size_bytes']} bytes")
        if entry["missing"]:
            grid.add_row("missing", ", ".join(entry["missing"]))
        console.print(grid)
    others = [entry for entry in found if entry not in whole]
    if others:
        console.rule(f"{len(others)} other versions, newest first; --all shows them in full")
    for entry in others:
        console.print(
            f"{entry['created'][:19]}  {entry['stem']}  ({entry['partition']})", highlight=False, soft_wrap=True
        )
    if candidates:
        console.rule("candidates" + (f" without {', '.join(off)}" if off else ""))
    for line in candidate_lines(candidates):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _telling(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The newest version that says what the event is: a retraction states no facts, and a combined map is no notice."""
    own = [e for e in found if "time" in e["facts"] and not e["type"].endswith(EXTERNAL_SUFFIX)]
    return own[0] if own else found[0]


def written(name: str, value: Any) -> str:
    """A fact or statistic by its name, as people write it: rates as one in so many years, shares in per cent."""
    if isinstance(value, float):
        if name.endswith("far_hz"):
            return false_alarm(value) or "0"
        if name.startswith(("best_p_", "pval_", "p_")):
            return chance(value)
        if name.startswith("probability") or name.endswith("_credible_level"):
            return share(value)
        if name.startswith("area_"):
            return area(value)
    return readable(value)


def readable(value: Any) -> str:
    """A value of an alert or a product as one line for people: no braces, six digits, nothing for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return typeset(f"{value:.6g}") if abs(value) < _LARGE else f"{value:.10g}"
    if isinstance(value, Mapping):
        named = ((name, written(name, one)) for name, one in value.items() if one not in (None, "", {}, []))
        return ", ".join(
            f"{name} ({text})" if isinstance(value[name], Mapping | list | tuple) else f"{name} {text}"
            for name, text in named
        )
    if isinstance(value, list | tuple):
        return ", ".join(map(_within, value))
    return "" if value is None else str(value)


def _within(value: Any) -> str:
    """A value inside another one."""
    return f"({readable(value)})" if isinstance(value, Mapping | list | tuple) else readable(value)


def _windows(entry: Mapping[str, Any], now: datetime) -> list[str]:
    """From where the map can be observed: for which night, then a line for each observatory, what is over last."""
    from mma_pipeline.defs.events.page.nights import nights

    found = entry["statistics"].get("observability", {})
    seen = nights(found, entry["facts"].get("time"), now)
    if seen is None:
        return []
    if seen.tonight and len(seen.to_come) + len(seen.over) < found["sites_observing"]:
        # The best may be over while others can still observe: the file has all of them.
        seen = nights(found, entry["facts"].get("time"), now, _all_sites(entry)) or seen
    lines = [
        f"{site['site']}: {share(site['probability'])} of the map, {site['begins'][:16].replace('T', ' ')} to "
        f"{site['ends'][:16].replace('T', ' ')} UTC{' (over)' if site in seen.over else ''}"
        for site in (*seen.to_come, *seen.over)
    ]
    best = "" if len(lines) == found["sites_observing"] else f", here the best {len(lines)}"
    head = (
        f"24 h from {seen.begins:%Y-%m-%d %H:%M} UTC ({seen.words}): {found['sites_observing']} of "
        f"{found['sites_considered']} observatories{best}; from now on: mma windows {entry['event']}"
    )
    return [head, *lines]


def _all_sites(entry: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """Every observatory from the version's file; empty where the store does not answer."""
    import json

    from mma_pipeline.adapters.errors import AdapterError

    key = next((product["key"] for product in entry["products"] if product["name"] == "observability"), None)
    try:
        return () if key is None else json.loads(open_store().get(key))["sites"]
    except AdapterError:
        return ()


def _pairs(entry: Mapping[str, Any]) -> list[str]:
    """Pairs with events of other messengers, a line for each, and LVK's own coincidence."""
    from mma_pipeline.defs.events.page.sentences import joint_rate

    found = entry["statistics"].get("coincidences", {})
    lines = []
    for pair in found.get("pairs", ()):
        partner = pair["other_event"] if pair["gw_event"] == entry["event"] else pair["gw_event"]
        rate = f"joint rate {joint_rate(pair)}"
        where = "" if pair["overlap"] is None else f", overlap {figure(pair['overlap'])}"
        size = pair["area_90_combined_deg2"]
        both = "" if size is None else f", 90 % of both on {area(size)} deg²"
        lines.append(f"{partner} {pair['state']}: {pair['difference_s']:+.2f} s{where}, {rate}{both}")
    if (stated := found.get("lvk")) is not None:
        lines.append(f"stated by LVK with {stated['observatory']}: {stated['words']}")
    return lines


def _compared(entry: dict[str, Any]) -> dict[str, Any]:
    """Statistics of a neutrino notice and its comparison with the event's map, one line each."""
    found = entry["statistics"].get("neutrino_coincidence", {})
    names = (
        "state",
        "map_version",
        "retracted_by",
        "best_track",
        "best_credible_level",
        "best_p_spacetime",
        "best_p_trials",
    )
    return {name: found.get(name) for name in names}


def _expected(entry: dict[str, Any]) -> dict[str, Any]:
    """The forecast in three lines: what is expected, and a day after the merger the medians and the depths."""
    found = entry["statistics"].get("kilonova_forecast", {})
    lines = {"forecast": found.get("words")}
    for name, kind, seen in (
        ("kilonova, 24 h, mag", "median_mag", None),
        ("90 % seen, 24 h, mag", "depth_mag", 0.9),
    ):
        for row in found.get(kind, ()):
            if row["hours"] == 24 and row.get("seen") == seen:
                lines[name] = ", ".join(f"{k} {v:.1f}" for k, v in row.items() if k not in ("hours", "seen"))
    return lines


def _covered(entry: dict[str, Any]) -> dict[str, Any]:
    """What telescopes have covered, in a line; nothing where no pointing is known."""
    found = entry["statistics"].get("coverage_ledger", {})
    if not found.get("visits_completed") and not found.get("visits_planned"):
        return {}
    reached = "" if found["probability_reached"] is None else f", {share(found['probability_reached'])} within reach"
    return {
        "covered": f"{share(found['probability_covered'])} on {area(found['area_covered_deg2'])} deg² by "
        f"{counted(found['visits_completed'], 'pointing')}{reached}; left of the 90 % region {share(found['probability_left_in_90'])} on "
        f"{area(found['area_left_in_90_deg2'])} deg²"
    }


def _state(entry: Mapping[str, Any]) -> str:
    if entry["retracted_by"] is not None:
        return "[red]retracted[/red]"
    # `mma show` names the parts that could not be used.
    return "[yellow]degraded[/yellow]" if entry["facts"].get("degraded") else ""
