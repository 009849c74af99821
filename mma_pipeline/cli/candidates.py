"""An event's candidates for people: probabilities, and what vetting says of each in words."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import typer

from mma_pipeline.cli.app import Exit, fail
from mma_pipeline.notices.words import probability

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive

#: Candidates that are shown: surveys bring thousands.
SHOWN = 10


def candidates_of(archive: Archive, event_id: str, without: Collection[str] = ()) -> list[dict[str, Any]]:
    """The latest scores of an event's candidates, the most probable first, without their histories; some checks may be left out."""
    from mma_pipeline.adapters.archive.photometry import PhotometryArchive
    from mma_pipeline.defs.candidates.vetting import without_checks

    found = PhotometryArchive(archive).latest_scores(event_id)
    ranked = without_checks(found, without) if without else found
    return [{name: value for name, value in one.items() if name != "history"} for one in ranked]


def checked_names(text: str) -> tuple[str, ...]:
    """Names of checks, separated by commas; ends the command for an unknown one."""
    from mma_pipeline.science.vetting.checks import Check

    names = tuple(part.strip() for part in text.split(",") if part.strip())
    unknown = sorted(set(names) - {check.value for check in Check})
    if unknown:
        raise fail(f"--without {unknown[0]}: the checks are {', '.join(Check)}", Exit.USAGE)
    return names


WITHOUT = typer.Option(help="Leave these checks out of the ranking: host, star, agn, minor_planet, earlier.")


def candidate_lines(results: list[dict[str, Any]], *, everything: bool = False) -> Iterator[str]:
    """The first candidates: a line of numbers each, then the verdicts; all of them, or what was found."""
    from mma_pipeline.defs.candidates.vetting import reasons

    for place, result in enumerate(results[:SHOWN], start=1):
        yield f"{place}. {result['candidate']}: {_numbers(result)}"
        if result.get("contradiction"):
            yield f"   {result['contradiction']}"
        for words in reasons(result, found_only=not everything):
            yield f"   {words}"
    if len(results) > SHOWN:
        yield f"and {len(results) - SHOWN} more: candidates.json of the event has all of them"


def _numbers(result: Mapping[str, Any]) -> str:
    named = (
        ("P", "p_phot"),
        ("afterglow", "p_afterglow"),
        ("posterior", "posterior"),
        ("after vetting", "vetted_probability"),
    )
    parts = [f"{words} {probability(result[name])}" for words, name in named if result.get(name) is not None]
    if result.get("distance_source"):
        where = {"redshift": "by redshift", "host": "of the host", "event": "of the event"}[result["distance_source"]]
        parts.append(f"distance {where}, {result['assumed_distance_mpc']:.4g} Mpc")
    if result.get("status") == "excluded":
        parts.append("excluded: it was there before the event")
    elif not result["sufficient"]:
        parts.append("insufficient data")
    return ", ".join(parts)
