"""Retention of a mock event with candidates, beside a real event that admits the same candidates."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.store import Store
from mma_pipeline.cli.materialise import materialise
from mma_pipeline.definitions import defs
from mma_pipeline.defs.candidates.sensors import (
    candidate_nights,
    candidate_products,
    ingest_photometry,
    wanted_nights,
)
from mma_pipeline.defs.operations.retention import remove_expired
from mma_pipeline.notices import lvk
from mma_pipeline.notices.photometry.measurement import Candidate
from mma_pipeline.notices.photometry.message import encode
from mma_pipeline.products.ingest import Quarantined, ingest, parse_alert
from mma_pipeline.science.kilonova.counterpart import counterpart_of
from mma_pipeline.science.simulation.alerts import simulate_event
from tests.homes import Home, instance_for_test

MERGER = datetime(2026, 3, 1, 2, tzinfo=UTC)
EXPIRED = MERGER + timedelta(days=1)
MOCK, REAL = "MS260301a", "S260301b"
NIGHTS = str(candidate_nights.name)


@dataclass(frozen=True)
class PublishingHome:
    """A mock and a real event with the same map, each with the last night of two candidates scored."""

    archive: Archive
    store: Store
    instance: dg.DagsterInstance

    @property
    def photometry(self) -> PhotometryArchive:
        """Candidates, measurements and scores."""
        return PhotometryArchive(self.archive)

    def nights(self) -> list[str]:
        """Partitions of candidate nights."""
        return sorted(self.instance.get_dynamic_partitions(NIGHTS))

    def runs(self) -> set[str]:
        """Partitions that have runs."""
        return {run.tags["dagster/partition"] for run in self.instance.get_runs()}

    def files(self, event_id: str) -> list[str]:
        """Everything in the store that is an event's."""
        return [entry.key for entry in self.store.ls() if event_id in entry.key.replace("-", "/").split("/")]

    def retain(self) -> tuple[int, int]:
        """One pass."""
        return remove_expired(self.instance, self.archive, self.store, EXPIRED)


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[PublishingHome]:
    """What is in a home: the archive, the store and the Dagster instance, to which the environment points."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("API_BASE", "MMA_HOP_URL", "MMA_WEBHOOK_URL", "MMA_PUBLICATION_CONFIG"):
            patch.delenv(name, raising=False)
        with Home(folder).active() as home, instance_for_test(temp_dir=str(folder)) as instance:
            yield PublishingHome(home.archive, home.store, instance)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with everything made; one candidate is simulated, the other measured, and both name the mock event."""
    folder, sent = tmp_path_factory.mktemp("made"), 0

    def message(stream: str, body: bytes) -> StreamMessage:
        nonlocal sent
        sent += 1
        return StreamMessage(stream, stream, 0, sent, body, None, (), None, MERGER)

    with _opened(folder) as home:
        archive, instance = home.archive, home.instance
        for event_id in (MOCK, REAL):
            notices = simulate_event(event_id, time=MERGER, seed=4, distance=80.0, max_order=6)
            body = json.dumps(lvk.to_record(notices[3])).encode()
            assert not isinstance(ingest(archive, message("gw", body), parse_alert), Quarantined)
        rows = counterpart_of(notices[3:4], name="SIM-kn", seed=2, nights=3)
        measured = [replace(m, candidate=Candidate("AT2026abc", m.candidate.ra, m.candidate.dec)) for m in rows]
        wanted = []
        for body in (encode(rows, event_id=MOCK, simulated=True), encode(measured, event_id=MOCK)):
            brought = ingest_photometry(archive, message("photometry", body))
            assert not isinstance(brought, Quarantined)
            wanted += wanted_nights(archive, brought)
        last = {(w.event_id, w.candidate): w.partition_key for w in wanted}
        assert len(last) == 4
        instance.add_dynamic_partitions(NIGHTS, [w.partition_key for w in wanted])
        for record in archive.versions():
            assert materialise(instance, record)
        for key in last.values():
            job = defs.resolve_job_def(candidate_products.name)
            assert job.execute_in_process(partition_key=key, instance=instance).success
    return folder


@pytest.fixture
def publishing(made: Path, tmp_path: Path) -> Iterator[PublishingHome]:
    """A copy of it of the test's own."""
    shutil.copytree(made, tmp_path / "copy")
    with _opened(tmp_path / "copy") as home:
        yield home


def test_nights_of_a_mock_event_go_with_it(publishing: PublishingHome) -> None:
    """Its files, runs, partitions (scored or not) and scores go; the real event and measured photometry are as before."""
    kept_files, kept_nights = publishing.files(REAL), [key for key in publishing.nights() if key.startswith(REAL)]
    kept_scores = publishing.photometry.latest_scores(REAL)
    measurements = publishing.photometry.measurements("AT2026abc")
    assert len(kept_scores) == 2
    assert {"score.json", "light_curve.png", "candidates.json"} <= {
        key.split("/")[-1] for key in publishing.files(MOCK)
    }
    # A partition of an earlier release, and a file that no record names any more, go too.
    publishing.instance.add_dynamic_partitions(NIGHTS, [f"{MOCK}-SIM-kn-MJD61101"])
    (version,) = publishing.archive.versions(MOCK)
    publishing.store.put(f"mma/{MOCK}/{version.partition_key}/former.png", b"x", content_type="image/png", metadata={})
    page_apart = len(publishing.files(MOCK)) - 1
    assert publishing.retain() == (1, page_apart)
    assert publishing.files(MOCK) == []
    assert publishing.files(REAL) == kept_files
    assert publishing.nights() == kept_nights
    assert {key.partition("-")[0] for key in publishing.runs()} == {REAL}
    assert publishing.photometry.latest_scores(MOCK) == []
    assert publishing.photometry.latest_scores(REAL) == kept_scores
    assert publishing.photometry.measurements("AT2026abc") == measurements
    assert publishing.photometry.measurements("SIM-kn") == []
    assert publishing.archive.message(measurements[0].message_id).body
    assert publishing.retain() == (0, 0)


@pytest.mark.parametrize("reached", ["files", "partitions", "page"])
def test_a_pass_that_was_cut_short_is_repeated(publishing: PublishingHome, reached: str) -> None:
    """Cut short in the middle of any step, the next pass completes it, and the real event stays whole."""
    (version,) = (record.partition_key for record in publishing.archive.versions(MOCK))
    nights = [key for key in publishing.nights() if key.startswith(MOCK)]
    kept = publishing.files(REAL)
    page = f"mma/{MOCK}/index.html"
    files = [key for key in publishing.files(MOCK) if key != page]
    for key in files[::2] if reached == "files" else files:
        publishing.store.delete(key)
    if reached != "files":
        for run in publishing.instance.get_runs(dg.RunsFilter(tags={"dagster/partition": version})):
            publishing.instance.delete_run(run.run_id)
    if reached in {"partitions", "page"}:
        publishing.instance.delete_dynamic_partition("alert_version", version)
        for key in nights[::2] if reached == "partitions" else nights:
            for run in publishing.instance.get_runs(dg.RunsFilter(tags={"dagster/partition": key})):
                publishing.instance.delete_run(run.run_id)
            publishing.instance.delete_dynamic_partition(NIGHTS, key)
    if reached == "page":
        publishing.store.delete(page)
    assert publishing.retain()[0] == 1
    assert publishing.files(MOCK) == []
    assert publishing.files(REAL) == kept
    assert {key.partition("-")[0] for key in (*publishing.nights(), *publishing.runs())} == {REAL}
    assert {record.version.event_id for record in publishing.archive.versions()} == {REAL}
    assert publishing.retain() == (0, 0)
