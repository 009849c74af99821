"""Why an object of a survey is, or is not, a candidate of the live events: from the kept nights and the archive."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.photometry import ArchivedCandidate, PhotometryArchive
from mma_pipeline.adapters.archive.surveys import SurveyArchive, SurveyNightCandidate
from mma_pipeline.adapters.surveys.nights import RecentNights
from mma_pipeline.notices.photometry.candidate_key import CandidateNight, slug_of
from mma_pipeline.notices.photometry.same_object import DESIGNATION, identity_of
from mma_pipeline.notices.surveys import PacketFacts, SolarSystemMatch
from mma_pipeline.notices.words import probability
from mma_pipeline.products.surveys.unrecorded import Packets, Unrecorded, in_words
from mma_pipeline.science.healpix import MAX_ORDER
from mma_pipeline.science.surveys.regions import LiveRegion, RegionIndex
from mma_pipeline.science.surveys.vetting import Thresholds, vet

NO_EVENT = "no event is live: none of the last days (MMA_SURVEY_DAYS) has a map; mock and test events need MMA_SURVEY_MOCKS=true"
_SKY = 12 << (2 * MAX_ORDER)


@dataclass(frozen=True, slots=True)
class Explained:
    """What is said of one alert, or of one night as it was recorded, and one event."""

    event_id: str | None
    """None: no live event's region holds the alert."""
    mjd: float | None
    """Time of the alert, MJD in days (UTC)."""
    alert_id: str | None
    verdict: str
    """`candidate`, `not recorded`, `outside`, `dropped`, `quarantined`, `measured` or the status of its score."""
    why: str


def explain(
    name: str,
    archive: Archive,
    nights: RecentNights,
    regions: RegionIndex,
    limits: Thresholds,
    packets: Packets,
) -> list[Explained]:
    """Everything that is known of an object by any of its names, by time; empty where it is neither kept nor archived.

    `packets` is asked where rows and archive do not say why an alert was not recorded.
    """
    surveys, photometry = SurveyArchive(archive), PhotometryArchive(archive)
    names = photometry.names_of(name)
    recorded = surveys.candidates(name=names[0])
    there = {(one.event_id, one.night) for one in recorded}
    judged = [
        (row, region, one)
        for row in _rows({identity_of(one) for one in (name, *names)}, nights)
        for region, one in _of_row(row, regions, limits)
    ]

    def is_open(row: Mapping[str, Any], one: Explained) -> bool:
        return one.verdict == "candidate" and (one.event_id, math.floor(row["mjd"])) not in there

    unrecorded = Unrecorded(archive, limits, packets, [row for row, _, one in judged if is_open(row, one)])
    found = []
    for row, region, said in judged:
        if region is not None and is_open(row, said):
            verdict, why = unrecorded.why(row, region)
            said = replace(said, verdict=verdict, why=why)
        found.append(said)
    scored = photometry.scores_of(names[0])
    found += [_recorded(one, photometry) for one in recorded]
    # What came as photometry, and not from a survey's packets.
    found += [_scored(one) for one in scored if (one["event_id"], one["night"]) not in there]
    if not found:
        found += [_measured(one) for one in photometry.candidates_named(names[:1])]
    return found


def _recorded(one: SurveyNightCandidate, photometry: PhotometryArchive) -> Explained:
    """What is said of a night that a survey brought a candidate to."""
    score = photometry.score(CandidateNight(one.event_id, slug_of(one.candidate), one.night).score_key)
    if score is not None:
        return _scored(score)
    said = "not scored yet" if one.scored is None else "scored, but nothing was detected in griz after the event"
    return Explained(one.event_id, float(one.night), None, "candidate", f"night {one.night}: {said}")


def _scored(score: Mapping[str, Any]) -> Explained:
    text = (
        f"night {score['night']}: P (light curve) {probability(score['p_phot'])}, "
        f"credible level {probability(score['credible_level'])}"
    )
    if score.get("excluded_by"):
        text += f", {len(score['excluded_by'])} detections before the event"
    return Explained(score["event_id"], float(score["night"]), None, str(score["status"]), text)


def _measured(one: ArchivedCandidate) -> Explained:
    """What is said of an object that was measured, and is no candidate."""
    why = "measured, but no night of it was scored: it lies in no event's region and days, or was not detected in griz"
    return Explained(None, one.last, None, "measured", why)


def _rows(identities: Set[str], nights: RecentNights) -> list[Mapping[str, Any]]:
    """Rows of an object's names in the kept nights. Names are looked through first: all columns of all rows are too much."""
    sky = np.array([0], dtype=np.int64), np.array([_SKY], dtype=np.int64)
    seen = []
    for kept in nights.nights():
        span = (float(kept.night), math.nextafter(kept.night + 1, 0.0))
        brief = nights.read(*sky, *span, ["index29", "object_id"])
        places = np.unique(brief.filter(_named(brief, identities))["index29"].to_numpy())
        if len(places):
            whole = nights.read(places, places + 1, *span)
            seen += whole.filter(_named(whole, identities)).to_pylist()
    return sorted(seen, key=lambda row: row["mjd"])


def _named(rows: Any, identities: Set[str]) -> Any:
    """Which rows are of objects that have these names, in whatever spelling (`identity_of`)."""
    import pyarrow as pa
    import pyarrow.compute as pc

    folded = pc.utf8_lower(pc.replace_substring_regex(rows["object_id"], r"\s", ""))
    folded = pc.replace_substring_regex(folded, f"^{DESIGNATION.pattern}$", r"\1")
    return pc.is_in(folded, pa.array(sorted(identities)))


def _of_row(
    row: Mapping[str, Any], regions: RegionIndex, limits: Thresholds
) -> list[tuple[LiveRegion | None, Explained]]:
    """What a row alone says, for each region that holds it."""
    inside = regions.at(row["ra"], row["dec"], row["mjd"])
    if not inside:
        others = [r.event_id for r in regions.regions if r.holds(np.array([row["index29"]]))[0]]
        why = f"in the region of {', '.join(others)}, but not in its days" if others else "in no live event's region"
        if not regions.regions:
            why = NO_EVENT
        return [(None, Explained(None, row["mjd"], row["alert_id"], "outside", why))]
    near = SolarSystemMatch(None, row["solar_system_arcsec"]) if row["solar_system"] else None
    facts = PacketFacts(
        real_bogus=row["real_bogus"],
        star_score=row["star_score"],
        star_distance_arcsec=row["star_distance_arcsec"],
        solar_system=near,
        is_negative=bool(row["is_negative"]),
        first_mjd=row["first_mjd"],
        redshift=row["redshift"],
    )
    found: list[tuple[LiveRegion | None, Explained]] = []
    for region in inside:
        reason = vet(row["survey"], facts, (), region.t0_mjd, limits)
        verdict = "candidate" if reason is None else "dropped"
        why = "nothing speaks against it" if reason is None else in_words(reason, facts, region.t0_mjd)
        found.append((region, Explained(region.event_id, row["mjd"], row["alert_id"], verdict, why)))
    return found
