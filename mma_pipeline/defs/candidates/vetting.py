"""The tables that candidates are compared with, as configured, the vetting of an event's candidates, and what it does to a score."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.packet_facts import facts_of
from mma_pipeline.adapters.archive.photometry import ArchivedCandidate
from mma_pipeline.adapters.errors import AdapterError, NotFoundError
from mma_pipeline.defs.observing.configuration import galaxy_catalog
from mma_pipeline.notices.photometry.measurement import Measurement
from mma_pipeline.settings import Settings

if TYPE_CHECKING:
    from mma_pipeline.adapters.catalogs.positions import Kind, PositionTable
    from mma_pipeline.science.kilonova.distance import Distance
    from mma_pipeline.science.vetting.verdicts import Limits
    from mma_pipeline.science.vetting.vet import Tables

_T = TypeVar("_T")


def table_folder(settings: Settings, kind: Kind) -> Path:
    """Folder of a table: `MMA_STAR_CATALOG` or `MMA_AGN_CATALOG`, else `stars` or `agn` in the home folder."""
    wanted = settings.vetting.star_catalog if kind == "stars" else settings.vetting.agn_catalog
    return wanted or settings.home / kind


def star_table(settings: Settings) -> PositionTable | None:
    """The table of stars; None if none was imported and no setting names one.

    Raises NotFoundError if the named one does not exist, PermanentError if it is damaged.
    """
    return _table("stars", settings)


def agn_table(settings: Settings) -> PositionTable | None:
    """The same of active nuclei."""
    return _table("agn", settings)


def _table(kind: Kind, settings: Settings) -> PositionTable | None:
    from mma_pipeline.adapters.catalogs.folder import MANIFEST
    from mma_pipeline.adapters.catalogs.positions import PositionTable

    folder = table_folder(settings, kind)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        if folder != settings.home / kind:
            raise NotFoundError(
                f"{'MMA_STAR_CATALOG' if kind == 'stars' else 'MMA_AGN_CATALOG'} names {folder}, but there is no table: "
                f"make it with `mma catalog import --kind {kind} FILE`"
            )
        return None
    stat = manifest.stat()
    return _opened(folder, kind, stat.st_mtime_ns, stat.st_ino, PositionTable)


@lru_cache(maxsize=4)
def _opened(
    folder: Path,
    kind: Kind,
    changed: int,  # noqa: ARG001
    inode: int,  # noqa: ARG001
    table: type[PositionTable],
) -> PositionTable:
    return table.open(folder, kind)


def tables(settings: Settings) -> Tables:
    """All of them. One that is configured and cannot be used is absent, and the verdicts that need it say why."""
    from mma_pipeline.science.vetting.checks import Check
    from mma_pipeline.science.vetting.vet import Tables

    problems: dict[str, str] = {}

    def opened(check: Check, find: Callable[[Settings], _T | None], parts: Sequence[str]) -> _T | None:
        try:
            table = find(settings)
            for part in parts if table is not None else ():
                getattr(table, part)  # a file that is damaged says so here, not in the middle of the vetting
        except AdapterError as error:
            problems[check] = str(error)
            return None
        return table

    return Tables(
        opened(Check.HOST, galaxy_catalog, ("index29", "ra", "dec", "distance", "name")),
        opened(Check.STAR, star_table, ("index29", "rows")),
        opened(Check.AGN, agn_table, ("index29", "rows")),
        problems,
    )


def limits(settings: Settings) -> Limits:
    """When a match counts, as configured; raises ConfigurationError."""
    from mma_pipeline.science.vetting.verdicts import Limits

    wanted, surveys = settings.vetting, settings.surveys
    return Limits(
        match_arcsec=wanted.match_arcsec,
        host_chance=wanted.host_chance,
        solar_system_arcsec=surveys.solar_system_arcsec,
        star_score=surveys.star_score,
        look_back_days=settings.kilonova.look_back_days,
        off=wanted.off,
    )


def vet_candidates(
    archive: Archive,
    event_mjd: float,
    found: Sequence[tuple[ArchivedCandidate, Sequence[Measurement]]],
    until: float,
    settings: Settings,
) -> dict[str, Mapping[str, Any]]:
    """The vetting of candidates of an event as JSON values (`Vetting.as_values`), by name.

    Args:
        archive: where the facts of packets are.
        event_mjd: time of the event, MJD in days.
        found: candidates with all their measurements; later nights tell of variability too.
        until: end of the night, MJD in days: where a moving star is looked for.
        settings: which catalogs there are, and when a match counts.
    """
    from mma_pipeline.science.vetting.vet import Subject, vet_many

    facts = facts_of(archive, (record.candidate.name for record, _ in found))
    subjects = [
        Subject(
            here.ra,
            here.dec,
            max((m.mjd for m in measured if m.detected and m.mjd < until), default=until),
            measured,
            facts.get(here.name),
        )
        for record, measured in found
        for here in [record.candidate]
    ]
    vetted = vet_many(subjects, event_mjd, tables(settings), limits(settings))
    return {record.candidate.name: one.as_values() for (record, _), one in zip(found, vetted, strict=True)}


@dataclass(frozen=True)
class KnownHost:
    """What a score needs of a host."""

    distance: Distance | None
    chance: float


def host_of(vetting: Mapping[str, Any] | None) -> KnownHost:
    """The host that a vetting states; no distance where there is none, or none that can be used."""
    from mma_pipeline.science.kilonova.distance import of_host
    from mma_pipeline.science.kilonova.posterior import PECULIAR_MPC

    host = (vetting or {}).get("host")
    if host is None:
        return KnownHost(None, 0.0)
    error = host.get("distance_error_mpc")
    # An error of a redshift alone leaves out the galaxy's own motion.
    usable = of_host(host.get("distance_mpc"), None if error is None else max(error, PECULIAR_MPC))
    return KnownHost(usable, float(host.get("chance") or 0.0))


def with_vetting(numbers: Mapping[str, Any], vetting: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """A score with its vetting: `vetting`, `vetting_factor` and `vetted_probability`, after which candidates are ranked.

    `vetted_probability` has the odds of the posterior (of p_phot where there is none) times the factor. The verdict on the host gets
    the factor by which its distance changed the sky factor.
    """
    if vetting is None:
        return numbers
    factor = float(vetting["factor"])
    after = numbers.get("posterior")
    known = float(numbers["p_phot"] if after is None else after)
    by_host, flat = numbers.get("distance_source") == "host", numbers.get("sky_factor_2d")
    verdicts = [dict(verdict) for verdict in vetting["verdicts"]]
    for verdict in verdicts:
        if verdict["check"] == "host" and by_host and flat:
            verdict["factor"] = float(numbers["sky_factor"]) / flat
    return {
        **numbers,
        "vetting": {**vetting, "verdicts": verdicts},
        "vetting_factor": factor,
        "vetted_probability": _times(known, factor),
    }


def _times(probability: float, factor: float) -> float:
    """A probability whose odds are multiplied."""
    if probability >= 1.0:
        return probability
    odds = probability / (1.0 - probability) * factor
    return odds / (1.0 + odds) if math.isfinite(odds) else 1.0


def reasons(result: Mapping[str, Any], *, found_only: bool = True) -> list[str]:
    """The verdicts of an archived score in words: of what was found, or of everything."""
    verdicts = result.get("vetting", {}).get("verdicts", ())
    wanted = {"found", "doubtful"}
    return [
        f"{verdict['words']}{_effect(verdict)}"
        for verdict in verdicts
        if not found_only or verdict["outcome"] in wanted
    ]


def without_checks(results: Sequence[Mapping[str, Any]], off: Collection[str]) -> list[Mapping[str, Any]]:
    """An event's archived scores as they would stand without some checks, in the order that then results.

    Without `host`, the position alone counts, but p_phot stays as it is, with the distance that it assumed. What was excluded
    stays last, and behind what has enough data, what has not.
    """

    def standing(result: Mapping[str, Any]) -> Mapping[str, Any]:
        vetting = result.get("vetting")
        if vetting is None:
            return result
        verdicts = [
            {**v, "counted": v["counted"] and v["check"] not in off} for v in vetting["verdicts"]
        ]  # fmt: skip
        factor = math.prod(v["factor"] for v in verdicts if v["counted"] and v["check"] != "host")
        after, flat, full = (result.get(name) for name in ("posterior", "sky_factor_2d", "sky_factor"))
        if "host" in off and after is not None and flat and full and result.get("distance_source") == "host":
            after = _times(after, flat / full)
        known = float(result["p_phot"] if after is None else after)
        return {
            **result,
            "posterior": after,
            "vetting": {**vetting, "verdicts": verdicts, "factor": factor},
            "vetting_factor": factor,
            "vetted_probability": _times(known, factor),
        }

    changed = [standing(result) for result in results]
    return sorted(
        changed,
        key=lambda r: (
            r.get("status") == "excluded",
            not r["sufficient"],
            -r.get("vetted_probability", r["p_phot"] if r.get("posterior") is None else r["posterior"]),
        ),
    )


def columns_of(result: Mapping[str, Any]) -> dict[str, Any]:
    """The vetting of an archived score as columns of a table: host, the factor of each check that counts, reasons in words."""
    vetting = result.get("vetting", {})
    host = vetting.get("host", {})
    factors = {f"factor_{v['check']}": v["factor"] if v["counted"] else 1.0 for v in vetting.get("verdicts", ())}
    return {
        "host": host.get("name"),
        "host_separation": host.get("separation_arcsec"),
        "host_chance": host.get("chance"),
        "reasons": "; ".join(reasons(result)) or None,
        **factors,
    }


def _effect(verdict: Mapping[str, Any]) -> str:
    if not verdict["counted"]:
        return " (not counted)"
    return "" if verdict["factor"] == 1.0 else f" (odds × {verdict['factor']:.2g})"
