"""Vets many candidates of one event at once, from tables on disk and what packets said; no network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mma_pipeline.notices.photometry.measurement import Measurement
from mma_pipeline.notices.surveys import PacketFacts
from mma_pipeline.science.galaxies.catalog import DescribedCatalog
from mma_pipeline.science.sphere import check_positions
from mma_pipeline.science.vetting.checks import Check, Outcome
from mma_pipeline.science.vetting.hosts import Host, hosts_of
from mma_pipeline.science.vetting.matches import NucleusMatch, StarMatch, Table, nuclei_at, stars_at
from mma_pipeline.science.vetting.verdicts import (
    Limits,
    Verdict,
    Vetting,
    agn_verdict,
    earlier_verdict,
    host_verdict,
    minor_planet_verdict,
    star_verdict,
)

#: Candidates looked up together: bounds memory.
_TOGETHER = 500


@dataclass(frozen=True, eq=False)
class Subject:
    """A candidate to vet."""

    ra: float
    """ICRS, deg."""
    dec: float
    mjd: float
    """When it was last seen, MJD in days: stars move."""
    measured: Sequence[Measurement] = ()
    """All its measurements."""
    facts: PacketFacts | None = None
    """What the newest packet says; None where no packet came."""
    error_arcsec: float = 0.3
    """Error of the position, one standard deviation; the surveys' own is smaller."""


@dataclass(frozen=True)
class Tables:
    """What candidates are compared with; None for a table that was not imported."""

    galaxies: DescribedCatalog | None = None
    stars: Table | None = None
    agn: Table | None = None
    problems: Mapping[str, str] = field(default_factory=dict)
    """By check, why a table that was imported cannot be used."""


def vet_many(subjects: Sequence[Subject], event_mjd: float, tables: Tables, limits: Limits) -> list[Vetting]:
    """The verdicts on candidates of an event (time of the event as MJD, days), in their order.

    Raises PositionError for a position that is not on the sky.
    """
    found: list[Vetting] = []
    for start in range(0, len(subjects), _TOGETHER):
        found += _vet(subjects[start : start + _TOGETHER], event_mjd, tables, limits)
    return found


def _vet(subjects: Sequence[Subject], event_mjd: float, tables: Tables, limits: Limits) -> list[Vetting]:
    ra, dec = check_positions([s.ra for s in subjects], [s.dec for s in subjects])
    error = np.array([s.error_arcsec for s in subjects], dtype=np.float64)
    radius = np.maximum(limits.match_arcsec, 3.0 * error)
    mjd = np.array([s.mjd for s in subjects], dtype=np.float64)
    hosts: list[Host | None] = [None] * len(subjects)
    stars: list[StarMatch | None] = [None] * len(subjects)
    nuclei: list[NucleusMatch | None] = [None] * len(subjects)
    if tables.galaxies is not None:
        hosts = hosts_of(ra, dec, error, tables.galaxies)
    if tables.stars is not None:
        stars = stars_at(ra, dec, mjd, radius, tables.stars)
    if tables.agn is not None:
        nuclei = nuclei_at(ra, dec, radius, tables.agn)
    labels = [None if table is None else table.label for table in (tables.galaxies, tables.stars, tables.agn)]
    wrong = tables.problems
    return [
        _vetting(
            host,
            (
                host_verdict(host, labels[0], limits, wrong.get(Check.HOST)),
                star_verdict(star, labels[1], one.facts, limits, wrong.get(Check.STAR)),
                agn_verdict(nucleus, labels[2], one.facts, wrong.get(Check.AGN)),
                minor_planet_verdict(one.facts, limits),
                earlier_verdict(one.measured, one.facts, event_mjd, limits),
            ),
            limits,
        )
        for one, host, star, nucleus in zip(subjects, hosts, stars, nuclei, strict=True)
    ]


def _vetting(host: Host | None, verdicts: tuple[Verdict, ...], limits: Limits) -> Vetting:
    told = tuple(replace(v, counted=False) if v.check in limits.off else v for v in verdicts)
    first = told[0]
    usable = host is not None and host.distance_mpc is not None and first.outcome is Outcome.FOUND and first.counted
    return Vetting(told, host, usable)
