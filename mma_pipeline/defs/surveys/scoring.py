"""All candidates that surveys brought to one event in one night: scored together, ranked, as one table with lineage."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import Archive, VersionRecord
from mma_pipeline.adapters.archive.photometry import ArchivedCandidate, ArchivedMeasurement, PhotometryArchive
from mma_pipeline.adapters.archive.surveys import SurveyArchive, SurveyNightCandidate, scored_with
from mma_pipeline.defs.candidates.scoring import current_version, merger_mjd, published, skymap_of
from mma_pipeline.defs.candidates.vetting import columns_of, host_of, vet_candidates, with_vetting
from mma_pipeline.notices.photometry.candidate_key import CandidateNight
from mma_pipeline.notices.photometry.event_night import EventNight
from mma_pipeline.settings import Settings

if TYPE_CHECKING:
    from astropy.table import Table

#: Columns of the table: name, type, unit. Probabilities are dimensionless; null where unknown.
COLUMNS = (
    ("rank", "int64", ""),
    ("candidate", "string", ""),
    ("aliases", "string", ""),
    ("ra", "float64", "deg"),
    ("dec", "float64", "deg"),
    ("status", "string", ""),
    ("p_phot", "float64", ""),
    ("posterior", "float64", ""),
    ("prior", "float64", ""),
    ("sky_factor", "float64", ""),
    ("credible_level", "float64", ""),
    ("sufficient", "bool", ""),
    ("nights", "int64", ""),
    ("days_since_merger", "float64", "d"),
    ("first_detection_mjd", "float64", "d"),
    ("last_mjd", "float64", "d"),
    ("last_magnitude", "float64", "mag"),
    ("last_band", "string", ""),
    ("measurements", "int64", ""),
    ("redshift", "float64", ""),
    ("version", "string", ""),
    ("model", "string", ""),
    ("messages", "string", ""),
    ("vetted_probability", "float64", ""),
    ("vetting_factor", "float64", ""),
    ("host", "string", ""),
    ("host_separation", "float64", "arcsec"),
    ("host_chance", "float64", ""),
    ("assumed_distance_mpc", "float64", "Mpc"),
    ("distance_source", "string", ""),
    ("factor_host", "float64", ""),
    ("factor_star", "float64", ""),
    ("factor_agn", "float64", ""),
    ("factor_minor_planet", "float64", ""),
    ("factor_earlier", "float64", ""),
    ("reasons", "string", ""),
)


@dataclass(frozen=True)
class ScoredEventNight:
    """What a run made of a night."""

    rows: tuple[Mapping[str, Any], ...]
    """The table, most probable first."""
    changed: int
    """How many were scored in this run; the others' scores were there."""
    results: Mapping[str, Mapping[str, Any]]
    """By name, the results of those with a score."""


class EventNightSource:
    """One night of one event, read lazily."""

    def __init__(self, archive: Archive, partition_key: str, settings: Settings) -> None:
        """Raises NoticeError for a foreign key."""
        self.archive = archive
        self.settings = settings
        self.key = EventNight.from_partition_key(partition_key)
        self.photometry = PhotometryArchive(archive)
        self.surveys = SurveyArchive(archive)

    @cached_property
    def version(self) -> VersionRecord | None:
        """The event's current version; None where it was retracted or has no map."""
        return current_version(self.archive, self.key.event_id)

    @cached_property
    def candidates(self) -> list[SurveyNightCandidate]:
        """The night's candidates, by name."""
        return self.surveys.candidates(event_id=self.key.event_id, night=self.key.night)

    @cached_property
    def records(self) -> dict[str, ArchivedCandidate]:
        """What the archive knows of each, by name."""
        return {r.candidate.name: r for r in self.photometry.candidates_named(c.candidate for c in self.candidates)}

    @cached_property
    def measurements(self) -> dict[str, list[ArchivedMeasurement]]:
        """All measurements of each, by name."""
        return self.photometry.measurements_of(self.records)

    def until_night(self, name: str) -> list[ArchivedMeasurement]:
        """Measurements of a candidate up to the end of the night, by time."""
        return [m for m in self.measurements.get(name, []) if m.measurement.mjd < self.key.night + 1]

    def score(self, version: VersionRecord) -> ScoredEventNight:
        """Score every candidate that changed since it was last scored with this version, archive it, and rank all."""
        names = {
            c.candidate: self._night_of(c.candidate).score_key for c in self.candidates if c.candidate in self.records
        }
        known = self.photometry.scores_at(names.values())
        results = {name: known[key] for name, key in names.items() if key in known}
        changed = [
            c for c in self.candidates
            if c.candidate in self.records and c.scored != scored_with(c.message_id, version.partition_key)
        ]  # fmt: skip
        fresh = self._assess(version, [c.candidate for c in changed])
        self.photometry.record_scores({names[name]: result for name, result in fresh.items()})
        self.surveys.mark_scored(changed, version.partition_key)
        results |= fresh
        return ScoredEventNight(tuple(self._rows(results)), len(changed), results)

    def _night_of(self, name: str) -> CandidateNight:
        return CandidateNight(self.key.event_id, self.records[name].slug, self.key.night)

    def _assess(self, version: VersionRecord, names: Sequence[str]) -> dict[str, Mapping[str, Any]]:
        from mma_pipeline.science.kilonova.assess import CandidateCurve, assess_many
        from mma_pipeline.science.kilonova.lightcurve import Event
        from mma_pipeline.science.kilonova.measured import light_curve
        from mma_pipeline.science.kilonova.model import digest, packaged
        from mma_pipeline.science.skymaps.statistics import map_distance

        if not names:
            return {}
        skymap, model, facts = skymap_of(self.archive, version), packaged(), version.facts
        distance, deviation = map_distance(skymap) or (None, None)
        event = Event(merger_mjd(version), distance, deviation, None)
        vetted = vet_candidates(
            self.archive,
            event.merger_mjd,
            [(self.records[name], [m.measurement for m in self.measurements[name]]) for name in names],
            self.key.night + 1.0,
            self.settings,
        )
        hosts = {name: host_of(vetted[name]) for name in names}
        curves = [
            CandidateCurve(
                light_curve([m.measurement for m in self.until_night(name)]),
                (here := self.records[name].candidate).ebv,
                (here.ra, here.dec),
                here.redshift,
                hosts[name].distance,
                hosts[name].chance,
            )
            for name in names
        ]
        found = assess_many(
            model,
            curves,
            event,
            skymap,
            has_remnant=facts.get("properties", {}).get("HasRemnant"),
            terrestrial=facts.get("classification", {}).get("Terrestrial"),
        )
        named = digest(model)[:16]
        return {
            name: {
                **published(
                    with_vetting(numbers, vetted[name]),
                    self._night_of(name),
                    self.records[name],
                    version,
                    event,
                    [m.measurement for m in self.measurements[name]],
                    model=named,
                    look_back_days=self.settings.kilonova.look_back_days,
                ),
                "by_survey": True,
            }
            for name, numbers in zip(names, found, strict=True)
            if numbers is not None
        }

    def _rows(self, results: Mapping[str, Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        ids = {m.message_id for name in results for m in self.until_night(name)}
        origins = self.archive.origins(ids)
        ranked = sorted(results.values(), key=_rank)
        rows: list[Mapping[str, Any]] = []
        for place, result in enumerate(ranked, start=1):
            name = str(result["candidate"])
            points = self.until_night(name)
            detected = [m.measurement for m in points if m.measurement.detected]
            messages = sorted({m.message_id for m in points})
            known = {column: result.get(column) for column, _, _ in COLUMNS} | columns_of(result)
            rows.append(
                {
                    **known,
                    "rank": place,
                    "aliases": ", ".join(self.records[name].aliases),
                    "first_detection_mjd": min((m.mjd for m in detected), default=None),
                    "last_mjd": detected[-1].mjd if detected else None,
                    "last_magnitude": detected[-1].magnitude if detected else None,
                    "last_band": detected[-1].band if detected else None,
                    "measurements": len(points),
                    "messages": " ".join(f"{origins[i].coordinates}#{i}" for i in messages if i in origins),
                }
            )
        return rows


def _rank(result: Mapping[str, Any]) -> tuple[bool, float, float, str]:
    """The most probable first, what was there before the event last.

    Few points are no reason to stand behind others, as they are in what is published: a night's table says what to look at.
    """
    alone = float(result["p_phot"])
    known = [result.get(name) for name in ("vetted_probability", "posterior")]
    return (
        result.get("status") == "excluded",
        -float(next((value for value in known if value is not None), alone)),
        -alone,
        str(result["candidate"]),
    )


def as_parquet(rows: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> bytes:
    """The table as Parquet, with what it is about in the schema's metadata."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    types = {"string": pa.string(), "int64": pa.int64(), "float64": pa.float64(), "bool": pa.bool_()}
    fields = [pa.field(name, types[kind], metadata={"unit": unit} if unit else None) for name, kind, unit in COLUMNS]
    table = pa.Table.from_pylist([dict(row) for row in rows], schema=pa.schema(fields, metadata=dict(about)))
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd")
    return buffer.getvalue()


def as_table(rows: Sequence[Mapping[str, Any]], about: Mapping[str, str]) -> Table:
    """The same as a table with units; masked where a value is unknown."""
    import numpy as np
    from astropy.table import MaskedColumn, Table

    empty = {"string": "", "int64": 0, "float64": math.nan, "bool": False}
    kinds = {"string": str, "int64": np.int64, "float64": np.float64, "bool": bool}
    columns = []
    for name, kind, unit in COLUMNS:
        values = [row[name] for row in rows]
        data: Any = np.array([empty[kind] if v is None else v for v in values], dtype=kinds[kind])
        mask = np.array([v is None for v in values], dtype=bool)
        columns.append(MaskedColumn(data, name=name, unit=unit or None, mask=mask))
    return Table(columns, meta=dict(about))
