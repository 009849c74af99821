"""`mma show`: an event, what an observer asks first, in the order of its page; then its newest version in full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from mma_pipeline.cli.app import Exit, JsonOption, clear_errors, console, fail, open_archive, open_store, print_json
from mma_pipeline.cli.candidates import WITHOUT, candidate_lines, candidates_of, checked_names
from mma_pipeline.cli.completion import complete_event
from mma_pipeline.cli.events import say_if_retracted
from mma_pipeline.cli.fact_words import named, written
from mma_pipeline.cli.quarantine import plain
from mma_pipeline.notices.key import EXTERNAL_SUFFIX, spelled_event_id
from mma_pipeline.notices.words import area, counted, distance, figure, sexagesimal, share

if TYPE_CHECKING:
    from mma_pipeline.defs.events.page.state import EventState
    from mma_pipeline.products.regions import Region

#: Windows and galaxies that are shown.
_WINDOWS, _GALAXIES = 5, 5


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
    """Show an event: what, when, how sure and where first, then windows, candidates, galaxies, and the newest version with its files."""
    from mma_pipeline.adapters.archive.quarantine import Choice, quarantined
    from mma_pipeline.cli.status import describe
    from mma_pipeline.defs.events.page.state import event_state

    off = checked_names(without)
    with clear_errors():
        archive = open_archive()
        records = archive.versions_named(event)
        found = describe(archive, records)
        event_id = found[0]["event"] if found else spelled_event_id(event)
        aside = [plain(entry) for entry in quarantined(archive, Choice(event_ids=[event_id]))]
        candidates = candidates_of(archive, event_id, off)
        state = event_state(archive, event_id)
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
    now = datetime.now(UTC)
    say_if_retracted(event_id, found[0]["retracted_by"])
    telling = _telling(found)
    _print_rows([*_first_screen(state, now), *_to_observe(telling, now)])
    if candidates:
        console.rule("candidates" + (f" without {', '.join(off)}" if off else ""))
    for line in candidate_lines(candidates):
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    _print_rows([*_galaxies(telling), ("page", found[0]["page"])])
    whole = found if everything or len(found) == 1 else [telling]
    for entry in whole:
        console.rule(f"{entry['stem']}  ({entry['partition']})")
        _print_rows(_version(entry))
    others = [entry for entry in found if entry not in whole]
    if others:
        versions = "1 other version" if len(others) == 1 else f"{len(others)} other versions, newest first"
        console.rule(f"{versions}; --all shows {'it' if len(others) == 1 else 'them'} in full")
    for entry in others:
        console.print(
            f"{entry['created'][:19]}  {entry['stem']}  ({entry['partition']})", highlight=False, soft_wrap=True
        )


def _print_rows(rows: Iterator[tuple[str, str]] | Sequence[tuple[str, str]]) -> None:
    """Names and what stands beside them; the texts are the senders' and never markup."""
    grid = Table.grid(padding=(0, 2))
    for name, text in rows:
        grid.add_row(Text(name, style="yellow" if name == "left out" else "default"), Text(text))
    if grid.row_count:
        console.print(grid)


def _first_screen(state: EventState, now: datetime) -> Iterator[tuple[str, str]]:
    """What, when, how sure, detectors, coincidences, where: the rows with which the page begins."""
    from mma_pipeline.defs.events.page.headline import headline
    from mma_pipeline.portal.words import ago

    first = headline(state)
    if state.versions[0]["test"]:
        yield "test", "a mock or test event: it does not describe the sky"
    for line in first.source or ("no notice says anything of the source",):
        yield "what", line
    if first.time is None or first.mjd is None:
        yield "when", "no notice states a time"
    else:
        moment = datetime.fromisoformat(first.time)
        yield "when", f"{moment:%Y-%m-%d %H:%M:%S} UTC, MJD {first.mjd:.5f}, {ago(moment, now)}"
    yield "how sure", ", ".join(first.sure) or "no false alarm rate is stated"
    yield "detectors", ", ".join(first.detectors) or "not stated"
    for one in first.coincidences:
        yield "coincident", ", ".join(part for part in (one.name, one.when, one.rate, one.verdict) if part)
    if state.unusable is not None:
        yield "no map", f"of {state.unusable['label']} can be used: {state.unusable['reason']}"
    elif not first.regions:
        yield "where", "no map yet"
    for number, region in enumerate(first.regions):
        yield "also" if number else "where", _where(region)


def _where(region: Region) -> str:
    half = "" if region.area_50 is None else f", 50 %: {area(region.area_50)} deg²"
    far = "" if region.distance is None else f", {distance(region.distance, region.distance_std)} Mpc"
    peak = ""
    if region.ra is not None and region.dec is not None:
        peak = f", peak RA {region.ra:.4f}°, Dec {region.dec:+.4f}° ({sexagesimal(region.ra, region.dec)})"
    held = ", holds only if both are one source" if region.combined else ""
    return f"90 %: {area(region.area_90)} deg²{half}{far}{peak}: {region.label}{held}"


def _to_observe(entry: dict[str, Any], now: datetime) -> Iterator[tuple[str, str]]:
    """From where the map can be observed, how bright a kilonova would be, what is covered."""
    lines = _windows(entry, now)
    for number, line in enumerate(lines[: _WINDOWS + 1]):
        yield "" if number else "windows", line
    more = entry["statistics"].get("observability", {}).get("sites_observing", 0) - _WINDOWS
    if lines and more > 0:
        yield "", f"and {more} more"
    yield from {**_expected(entry), **_covered(entry)}.items()


def _galaxies(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    found = entry["statistics"].get("galaxies", {})
    names = [str(name) for name in found.get("best_names") or () if name][:_GALAXIES]
    if names:
        more = found["galaxies_listed"] - len(names)
        yield "galaxies", ", ".join(names) + (f", and {more:,} more" if more > 0 else "")


def _version(entry: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """What a version says, the figures of its products, its files."""
    from mma_pipeline.portal.words import size

    for line in entry["degraded"]:
        yield "left out", line
    for line in _pairs(entry):
        yield "coincidence", line
    for line in entry["source"]:
        yield "source", line
    # What the notice says of the source stands in words.
    worded = {"degraded", "classification", "properties", "chirp_mass"}
    facts = {k: v for k, v in entry["facts"].items() if k not in worded}
    for name, value in {**facts, **entry["statistics"].get("skymap_statistics", {}), **_compared(entry)}.items():
        if value not in (None, "", {}, []):
            yield named(name), written(name, value)
    for product in entry["products"]:
        yield product["name"], f"{product['key']}  {size(product['size_bytes'])}"
    if entry["missing"]:
        yield "missing", ", ".join(entry["missing"])


def _telling(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The newest version that says what the event is: a retraction states no facts, and a combined map is no notice."""
    own = [e for e in found if "time" in e["facts"] and not e["type"].endswith(EXTERNAL_SUFFIX)]
    return own[0] if own else found[0]


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
        f"{site['site']}: {share(site['probability'])} of the map, "
        + " and ".join(" to ".join(time[:16].replace("T", " ") for time in spell) for spell in site["spells"])
        + f" UTC{' (over)' if site in seen.over else ''}"
        for site in (*seen.to_come, *seen.over)
    ]
    head = (
        f"24 h from {seen.begins:%Y-%m-%d %H:%M} UTC ({seen.words}): {found['sites_observing']} of "
        f"{found['sites_considered']} observatories; from now on: mma windows {entry['event']}"
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
    lines = {"forecast": found["words"]} if found.get("words") else {}
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
