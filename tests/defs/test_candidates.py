"""Photometry in the graph: from messages to scored nights, ranked candidates, and nothing where nothing belongs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import numpy as np
import pytest

from mma_pipeline.adapters.archive import outbox, reading
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.store.paths import LIGHT_CURVE, night_key
from mma_pipeline.definitions import defs
from mma_pipeline.defs.candidates.scoring import CandidateSource, current_version
from mma_pipeline.defs.candidates.sensors import (
    as_partitioned,
    candidate_nights,
    candidate_products,
    decode_cursor,
    encode_cursor,
    ingest_photometry,
    nights_for_new_maps,
    run_request,
    tick_result,
    wanted_nights,
)
from mma_pipeline.defs.partitions import alert_versions
from mma_pipeline.notices import lvk
from mma_pipeline.notices.photometry.brightness import ZERO_POINTS, of_flux
from mma_pipeline.notices.photometry.candidate_key import CandidateNight
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.photometry.message import encode
from mma_pipeline.notices.times import mjd_of_datetime
from mma_pipeline.products.ingest import Quarantined, ingest, parse_alert
from mma_pipeline.science.kilonova.bands import BANDS, WAVELENGTH_UM
from mma_pipeline.science.kilonova.measured import light_curve
from mma_pipeline.science.kilonova.plot import light_curve_png
from mma_pipeline.science.kilonova.simulation import villar
from mma_pipeline.science.kilonova.simulation.radiation import lnu_to_absolute, modulus, redshift_at
from mma_pipeline.science.simulation.alerts import simulate_event, simulate_retracted
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.settings import Settings, current
from tests.homes import new_archive

MERGER = datetime(2026, 3, 1, 2, 0, tzinfo=UTC)
MJD = mjd_of_datetime(MERGER)
EVENT = "MS260301a"


class PublishingHome:
    """An archive with one simulated event, and a store, wired by the environment as in production."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        url = f"sqlite:///{path / 'archive.db'}"
        monkeypatch.setenv("MMA_ARCHIVE_URL", url)
        monkeypatch.setenv("MMA_STORE_URL", (path / "products").as_uri())
        for name in ("API_BASE", "MMA_HOP_URL", "MMA_WEBHOOK_URL", "MMA_PUBLICATION_CONFIG"):
            monkeypatch.delenv(name, raising=False)
        self.store = path / "products"
        self.archive = new_archive(url)
        self.instance = dg.DagsterInstance.ephemeral()
        self.sent = 0
        self.notices = simulate_event(EVENT, time=MERGER, seed=4, distance=80.0, max_order=8)
        self.alert(self.notices[3])
        skymap = decode_skymap(self.notices[4].event.skymap)
        import healpy

        best = int(np.argmax(skymap.probdensity))
        lon, lat = healpy.pix2ang(2 ** int(skymap.order[best]), int(skymap.ipix[best]), nest=True, lonlat=True)
        self.peak = (float(lon), float(lat))

    def beside(self, number: int) -> tuple[float, float]:
        """A place near the peak that is another object's: 3.6 arcsec further for each number."""
        return self.peak[0], self.peak[1] + 0.001 * number

    def message(self, stream: str, body: bytes) -> StreamMessage:
        """The next message of a stream."""
        self.sent += 1
        return StreamMessage(stream, stream, 0, self.sent, body, None, (), None, datetime.now(UTC))

    def alert(self, notice: Any) -> None:
        """Archive a gravitational-wave notice."""
        body = json.dumps(lvk.to_record(notice)).encode()
        assert not isinstance(ingest(self.archive, self.message("gw", body), parse_alert), Quarantined)

    def photometry(self, rows: list[Measurement]) -> Any:
        """Archive a photometry message."""
        return ingest_photometry(self.archive, self.message("photometry", encode(rows, simulated=True)))

    @property
    def photometry_archive(self) -> PhotometryArchive:
        """The photometry and the scores in the archive."""
        return PhotometryArchive(self.archive)

    def run(self, key: str, *only: str) -> dg.ExecuteInProcessResult:
        """Make the products of a night: all of them, or only some."""
        self.instance.add_dynamic_partitions(str(candidate_nights.name), [key])
        return defs.resolve_job_def(candidate_products.name).execute_in_process(
            partition_key=key,
            instance=self.instance,
            raise_on_error=True,
            asset_selection=[dg.AssetKey(name) for name in only] or None,
        )

    def announced(self) -> list[dict[str, Any]]:
        """The derived alerts in the outbox."""
        with reading(self.archive.engine) as connection:
            return [dict(item.payload["alert"]) for item in outbox.publications(connection)]


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PublishingHome:
    """A house of its own for each test."""
    return PublishingHome(tmp_path, monkeypatch)


def kilonova(candidate: Candidate, nights: int, distance: float = 80.0) -> list[Measurement]:
    """AT2017gfo's published fit at a distance (Mpc), seen nightly in griz."""
    t = np.repeat(0.6 + np.arange(nights), 4)
    band = np.tile(np.arange(4), nights)
    light = villar.lnu(villar.AT2017GFO, t[None], WAVELENGTH_UM[band][None])
    mags = lnu_to_absolute(light)[0] + modulus(np.array(distance))
    return [Measurement(candidate, MJD + float(a), BANDS[k], float(m), 0.05, telescope="T")
            for a, k, m in zip(t, band, mags, strict=True)]  # fmt: skip


def steady(candidate: Candidate, nights: int) -> list[Measurement]:
    """A source that slowly brightens, as an early supernova."""
    return [Measurement(candidate, MJD + 0.7 + n, b, 19.5 - 0.15 * n, 0.05) for n in range(nights) for b in "gr"]


def test_nights_become_partitions_with_scores_plots_and_a_ranking(house: PublishingHome):
    """Photometry of two candidates becomes nights; the kilonova wins, with plot, table, score and its messages."""
    good, bad = Candidate("SIM-kn", *house.peak), Candidate("SIM sn:1", *house.beside(1))
    wanted = []
    for rows in (kilonova(good, 4), steady(bad, 4)):
        wanted += wanted_nights(house.archive, house.photometry(rows))
    assert len(wanted) == 8
    assert {w.event_id for w in wanted} == {EVENT}
    last = [max(w.partition_key for w in wanted if w.candidate == name) for name in ("SIM-kn", "SIM sn:1")]
    for key in reversed(last):
        result = house.run(key)
    ranking = result.asset_materializations_for_node("ranked_candidates")[-1].metadata
    assert ranking["number"].value == 2
    assert ranking["candidates"].value.index("SIM-kn") < ranking["candidates"].value.index("SIM sn:1")
    scored = result.asset_materializations_for_node("kilonova_probability")[0].metadata
    assert scored["p_phot"].value >= 0.9
    assert scored["messages"].value == [2]
    assert scored["posterior"].value > scored["prior"].value
    assert scored["simulated"].value is True
    assert (
        "data:image/png" in result.asset_materializations_for_node("light_curve_plot")[0].metadata["light curve"].value
    )
    listed = json.loads((house.store / "mma" / EVENT / "candidates.json").read_text())
    assert [c["candidate"] for c in listed["candidates"]] == ["SIM-kn", "SIM sn:1"]
    # The event's page shows it without waiting for anybody, with the latest magnitude of each.
    page = (house.store / "mma" / EVENT / "index.html").read_text()
    assert page.index("SIM-kn") < page.index("SIM sn:1")
    assert "rising 0.15 mag a day (r, 3.0 d)" in page
    pages = [e for e in result.get_asset_materialization_events() if e.asset_key.to_user_string() == "event_page"]
    assert [event.partition for event in pages] == [scored["version"].value]


def test_the_redshift_of_a_host_decides(house: PublishingHome):
    """One light curve a few arcsec apart: a host at the event's distance ranks first, an unknown one next, one behind last."""
    hosts = {"A-behind": 0.3, "B-unknown": None, "C-near": float(redshift_at(np.array(80.0)))}
    wanted = []
    for number, (name, redshift) in enumerate(hosts.items()):
        here = Candidate(name, *house.beside(number), None, redshift)
        wanted += wanted_nights(house.archive, house.photometry(kilonova(here, 3)))
    scored = {}
    for name in hosts:
        made = house.run(max(w.partition_key for w in wanted if w.candidate == name))
        scored[name] = made.asset_materializations_for_node("kilonova_probability")[0].metadata
    assert [scored[name]["sky_factor_dimensions"].value for name in hosts] == [3, 2, 3]
    assert scored["C-near"]["host_distance_mpc"].value == pytest.approx(80.0, rel=1e-3)
    assert scored["C-near"]["redshift"].value == hosts["C-near"]
    assert "redshift" not in scored["B-unknown"]
    assert "host_distance_mpc" not in scored["B-unknown"]
    assert [scored[name]["distance_source"].value for name in hosts] == ["redshift", "event", "redshift"]
    # At 1,550 Mpc the light curve would be far too luminous for a kilonova.
    assert scored["A-behind"]["p_phot"].value < 0.5 < scored["C-near"]["p_phot"].value
    listed = json.loads((house.store / "mma" / EVENT / "candidates.json").read_text())["candidates"]
    assert [c["candidate"] for c in listed] == ["C-near", "B-unknown", "A-behind"]
    assert [c["redshift"] for c in listed] == [hosts["C-near"], None, 0.3]
    table = made.asset_materializations_for_node("ranked_candidates")[-1].metadata["candidates"].value
    assert "0.3 | 0 (3-D)" in table
    assert "(2-D)" in table


def test_a_late_redshift_scores_the_latest_night_again(house: PublishingHome):
    """The same measurements with a redshift: one run, with another key, until the night's score knows it."""
    unknown = Candidate("SIM-kn", *house.peak)
    rows = kilonova(unknown, 3)
    nights = wanted_nights(house.archive, house.photometry(rows))
    assert wanted_nights(house.archive, house.photometry(rows)) == []
    house.run(nights[-1].partition_key)
    known = [replace(m, candidate=replace(unknown, redshift=0.3)) for m in rows]
    (late,) = wanted_nights(house.archive, house.photometry(known))
    assert late.partition_key == nights[-1].partition_key
    assert late.reason != nights[-1].reason
    # A crash after the message was archived loses nothing, and asks for the same run.
    assert wanted_nights(house.archive, house.photometry(known)) == [late]
    before = house.photometry_archive.score(late.partition_key)
    house.run(late.partition_key)
    after = house.photometry_archive.score(late.partition_key)
    assert before is not None
    assert after is not None
    assert (before["distance_source"], after["distance_source"]) == ("event", "redshift")
    assert after["p_phot"] < before["p_phot"]
    assert wanted_nights(house.archive, house.photometry(known)) == []


def test_a_night_of_an_earlier_release_keeps_its_key(house: PublishingHome):
    """A night whose partition has the former form of key is asked for, made and found by that key; others have today's, and both forms lead to one score."""
    nights = wanted_nights(house.archive, house.photometry(kilonova(Candidate("SIM-kn", *house.peak), 2)))
    first, second = (CandidateNight.from_partition_key(one.partition_key) for one in nights)
    house.run(first.score_key)
    asked = as_partitioned(house.instance, nights)
    assert [one.partition_key for one in asked] == [first.score_key, second.partition_key]
    assert [one.reason for one in asked] == [one.reason for one in nights]
    requests = {one.partition_key: one.run_key for one in tick_result(asked, [], "").run_requests}
    assert requests.keys() == {first.score_key, second.partition_key}
    assert requests[first.score_key] == f"{first.score_key}:{nights[0].reason}"
    before = house.photometry_archive.score(first.partition_key)
    assert before is not None
    assert house.photometry_archive.score(first.score_key) == before
    house.run(first.partition_key)
    assert house.photometry_archive.score(first.score_key) == before
    assert len(house.photometry_archive.scores_of("SIM-kn")) == 1


def test_a_later_redshift_counts_from_the_next_night_on(house: PublishingHome):
    """A second message that states the redshift: its night is scored with it, at the distance that follows from it."""
    unknown = Candidate("SIM-kn", *house.peak)
    known = replace(unknown, redshift=float(redshift_at(np.array(80.0))))
    rows = kilonova(unknown, 3)
    first = [m for m in rows if m.mjd < MJD + 1.9]
    later = [replace(m, candidate=known) for m in rows[len(first):]]  # fmt: skip
    (*_, before) = wanted_nights(house.archive, house.photometry(first))
    house.run(before.partition_key)
    assert (score := house.photometry_archive.score(before.partition_key)) is not None
    assert (score["sky_factor_dimensions"], score["redshift"]) == (2, None)
    (after,) = wanted_nights(house.archive, house.photometry(later))
    for key in (after.partition_key, before.partition_key):
        house.run(key)
        again = house.photometry_archive.score(key)
        assert again is not None
        assert (again["sky_factor_dimensions"], again["redshift"]) == (3, known.redshift)
    assert again["assumed_distance_mpc"] == pytest.approx(80.0, rel=1e-3)
    assert again["posterior"] > score["posterior"]


def test_first_night_is_insufficient_and_announces_nothing(house: PublishingHome):
    """After one epoch the status is insufficient_data with a provisional value, and no alert is made."""
    wanted = wanted_nights(house.archive, house.photometry(kilonova(Candidate("SIM-kn", *house.peak), 1)))
    result = house.run(wanted[0].partition_key)
    assert (
        result.asset_materializations_for_node("kilonova_probability")[0].metadata["status"].value
        == "insufficient_data"
    )
    assert result.asset_materializations_for_node("kilonova_alert") == []


def test_a_score_shows_its_edge_to_the_sky_map(house: PublishingHome):
    """The graph leads from the sky map to the score, whichever partitions the map has: none, or those of other events."""
    node = defs.resolve_asset_graph().get(dg.AssetKey("kilonova_probability"))
    assert node.parent_keys == {
        dg.AssetKey(name) for name in ("photometry_stream", "newest_skymap", "candidate_vetting")
    }
    key = wanted_nights(house.archive, house.photometry(kilonova(Candidate("SIM-kn", *house.peak), 1)))[0].partition_key
    assert house.run(key, "kilonova_probability").success
    others = [f"S26030{n}a-1" for n in range(1, 4)]
    house.instance.add_dynamic_partitions(str(alert_versions.name), others)
    for other in others:
        house.instance.report_runless_asset_event(dg.AssetMaterialization("skymap", partition=other))
    made = house.run(key, "kilonova_probability")
    score = house.photometry_archive.score(key)
    assert score is not None
    assert made.asset_materializations_for_node("kilonova_probability")[0].metadata["version"].value == score["version"]


def test_plot_and_alert_carry_the_archived_score(house: PublishingHome, monkeypatch: pytest.MonkeyPatch):
    """With other numbers in the archive and a newer map, plot and alert carry those numbers and the scored version."""
    candidate = Candidate("SIM-kn", *house.peak)
    key = wanted_nights(house.archive, house.photometry(kilonova(candidate, 3)))[-1].partition_key
    house.run(key)
    score = house.photometry_archive.score(key)
    assert score is not None
    history = [{**entry, "p_phot": 0.25} for entry in score["history"]]
    changed = {**score, "p_phot": 0.8125, "credible_level": 0.375, "history": history}
    house.photometry_archive.record_score(key, EVENT, candidate.name, score["night"], changed)
    source = CandidateSource(house.archive, key, current())
    curve = light_curve([m.measurement for m in source.measurements])
    expected = light_curve_png(curve, source.event, history, title=f"SIM-kn · {EVENT}", simulated=True)
    house.alert(house.notices[4])
    monkeypatch.setenv("MMA_HOP_URL", "kafka://127.0.0.1:1/derived")
    made = house.run(key, "light_curve_plot", "kilonova_alert")
    assert (house.store / night_key(source.key, LIGHT_CURVE)).read_bytes() == expected
    shown = made.asset_materializations_for_node("light_curve_plot")[0].metadata
    assert shown["version"].value == score["version"]
    (alert,) = house.announced()
    position = alert["candidate"]
    assert (position["kilonova_probability"], position["other_probability"]) == (0.8125, 0.1875)
    assert position["searched_probability"] == 0.375
    assert (
        alert["version"]["partition_key"]
        == score["version"]
        != CandidateSource(house.archive, key, current()).version.partition_key
    )


def test_a_score_of_a_retracted_event_is_not_announced(house: PublishingHome, monkeypatch: pytest.MonkeyPatch):
    """The score is in the archive, the event was retracted since: no alert, and the run succeeds."""
    key = wanted_nights(house.archive, house.photometry(kilonova(Candidate("SIM-kn", *house.peak), 3)))[-1]
    house.run(key.partition_key)
    house.alert(simulate_retracted(EVENT, time=MERGER + timedelta(seconds=1), seed=1)[-1])
    monkeypatch.setenv("MMA_HOP_URL", "kafka://127.0.0.1:1/derived")
    assert house.run(key.partition_key, "kilonova_alert").success
    assert house.announced() == []


def test_a_night_looks_at_nothing_later(house: PublishingHome):
    """Scored again after more nights, a night keeps its own numbers."""
    candidate = Candidate("SIM-kn", *house.peak)
    rows = kilonova(candidate, 5)
    early = [m for m in rows if m.mjd < MJD + 2.9]
    house.photometry(early)
    asked = wanted_nights(house.archive, house.photometry(rows))
    night = CandidateNight(EVENT, "SIM-kn", int(early[-1].mjd))
    assert all(night < CandidateNight.from_partition_key(one.partition_key) for one in asked)
    source = CandidateSource(house.archive, night.partition_key, current())
    assert max(m.measurement.mjd for m in source.measurements) == early[-1].mjd


def test_map_and_time_decide(house: PublishingHome):
    """Far from the map, two weeks late, limits only, or nothing of a signal to noise of 3: no event admits the candidate."""
    ra, dec = house.peak
    far = Candidate("far", (ra + 180) % 360, -dec)
    cases = [
        kilonova(far, 2),
        [Measurement(Candidate("weak", *house.beside(1)), MJD + 1, "r", 22.0, 0.37)],
        [Measurement(Candidate("late", *house.beside(2)), MJD + 14, "r", 20.0, 0.1)],
        [Measurement(Candidate("limit", *house.beside(3)), MJD + 1, "r", 22.0, None, upper_limit=True)],
    ]  # fmt: skip
    for rows in cases:
        assert wanted_nights(house.archive, house.photometry(rows)) == []


def test_forced_noise_before_the_merger_changes_nothing(house: PublishingHome):
    """Sixty days of forced points before the merger, half of them positive, and one real blip: each night as without."""
    rng = np.random.default_rng(3)
    quiet, noisy = Candidate("quiet", *house.peak), Candidate("noisy", *house.beside(1))
    flux = rng.normal(0, 2.0, 240)
    times = MJD - np.repeat(np.arange(1, 61), 4) - np.tile(np.arange(4) * 0.01, 60)
    before = []
    for t, f, band in zip(times, flux, np.tile(list("griz"), 60), strict=True):
        found = of_flux(float(f), 2.0, ZERO_POINTS["uJy"])
        before.append(Measurement(noisy, float(t), band, found.magnitude, found.error, found.upper_limit))
    before.append(Measurement(noisy, MJD - 30, "r", 22.95, 0.9))
    before.append(Measurement(noisy, MJD - 20, "r", 21.0, 0.1))
    without = wanted_nights(house.archive, house.photometry(kilonova(quiet, 3)))
    with_noise = wanted_nights(house.archive, house.photometry(before + kilonova(noisy, 3)))
    assert len(with_noise) == len(without) == 3
    for one, other in zip(without, with_noise, strict=True):
        expected = CandidateSource(house.archive, one.partition_key, current()).assess()
        result = CandidateSource(house.archive, other.partition_key, current()).assess()
        assert expected is not None
        assert result is not None
        assert (result["p_phot"], result["status"]) == (expected["p_phot"], expected["status"])


def test_what_was_there_before_the_merger_is_listed_as_excluded(house: PublishingHome, monkeypatch: pytest.MonkeyPatch):
    """Two detections of S/N 5 in the look-back window: one run, last in the ranking with its points, and no alert."""
    old, good = Candidate("A-old", *house.peak), Candidate("Z-good", *house.beside(1))
    before = [Measurement(old, MJD - d, "r", 20.0, 0.1) for d in (40.0, 12.0)]
    seen = [Measurement(old, MJD + n, "y", 20.0, 0.1) for n in (0.2, 1.2, 2.2)]
    (excluded,) = wanted_nights(house.archive, house.photometry(before + seen + kilonova(old, 3)))
    nights = wanted_nights(house.archive, house.photometry(kilonova(good, 3)))
    house.run(nights[-1].partition_key)
    made = house.run(excluded.partition_key)
    assert made.asset_materializations_for_node("kilonova_alert") == []
    shown = made.asset_materializations_for_node("kilonova_probability")[0].metadata
    assert shown["status"].value == "excluded"
    assert [p["mjd"] for p in shown["excluded_by"].value] == [MJD - 40, MJD - 12]
    assert shown["unused_bands"].value == {"y": 1}
    ranking = made.asset_materializations_for_node("ranked_candidates")[-1].metadata["candidates"].value
    assert ranking.index("Z-good") < ranking.index("A-old")
    assert f"excluded: detected before the merger, MJD {MJD - 40:.2f} r 20.00" in ranking
    monkeypatch.setenv("MMA_LOOK_BACK_DAYS", "30")
    assert CandidateSource(house.archive, excluded.partition_key, current()).assess()["status"] != "excluded"  # type: ignore[index]
    for wrong in ("soon", "0", "-3", "nan", "inf"):
        with pytest.raises(ConfigurationError, match="MMA_LOOK_BACK_DAYS"):
            Settings({"MMA_LOOK_BACK_DAYS": wrong}).kilonova  # noqa: B018 - reading it is what must fail


def test_repetition_asks_for_nothing_new(house: PublishingHome):
    """A message recorded again gives the same run keys; one that repeats measurements gives none."""
    rows = kilonova(Candidate("SIM-kn", *house.peak), 2)
    message = house.message("photometry", encode(rows))
    first = wanted_nights(house.archive, ingest_photometry(house.archive, message))
    again = wanted_nights(house.archive, ingest_photometry(house.archive, message))
    assert [run_request(w).run_key for w in first] == [run_request(w).run_key for w in again]
    assert wanted_nights(house.archive, house.photometry(rows)) == []


def test_a_new_map_scores_again_and_a_retraction_ends_it(house: PublishingHome):
    """A new version asks for the latest night once more under a new run key; a retracted event asks for nothing."""
    first = wanted_nights(house.archive, house.photometry(kilonova(Candidate("SIM-kn", *house.peak), 3)))
    house.alert(house.notices[4])
    now = MJD + 4
    (fresh,) = nights_for_new_maps(house.archive, [EVENT], now)
    assert fresh.partition_key == first[-1].partition_key
    assert fresh.reason != first[-1].reason
    retraction = simulate_retracted(EVENT, time=MERGER + timedelta(seconds=1), seed=1)[-1]
    house.alert(retraction)
    assert current_version(house.archive, EVENT) is None
    assert nights_for_new_maps(house.archive, [EVENT], now) == []
    late = house.run(first[-1].partition_key)
    assert late.success
    assert late.asset_materializations_for_node("kilonova_probability") == []


def test_unusable_messages_are_put_aside(house: PublishingHome):
    """A malformed message goes to quarantine with a reason and asks for no run."""
    outcome = ingest_photometry(house.archive, house.message("photometry", b'{"candidate": "../x", "magnitude": 3}'))
    assert isinstance(outcome, Quarantined)
    assert "candidate" in outcome.reason
    answer = tick_result([], [outcome], encode_cursor({"t": {0: 7}}, 3))
    assert answer.run_requests == []
    assert len(answer.asset_events) == 1
    assert decode_cursor(answer.cursor) == ({"t": {0: 7}}, 3)
    assert decode_cursor(None) == ({}, 0)
    assert PhotometryArchive(house.archive).candidates() == []


def test_keys_of_an_old_name_lead_to_the_one_object(house: PublishingHome):
    """Two candidates that a third name joins: runs of both old keys make the one night, and the list has every name."""
    ra, dec = house.peak
    apart = 1.5 / 3600
    rows = kilonova(Candidate("A", ra, dec), 3)
    wanted = []
    for name, offset, some in (("A", 0.0, rows[:6]), ("B", 2 * apart, rows[6:])):
        there = Candidate(name, ra, dec + offset)
        wanted += wanted_nights(house.archive, house.photometry([replace(m, candidate=there) for m in some]))
    for one in wanted:
        house.run(one.partition_key, "kilonova_probability")
    between = Candidate("AT 2026xy", ra, dec + apart)
    again = wanted_nights(house.archive, house.photometry([Measurement(between, MJD + 2.9, "r", 20.0, 0.05)]))
    assert {w.candidate for w in again} == {"A"}
    assert len({w.partition_key for w in again}) == 3
    old = max(w.partition_key for w in wanted if w.candidate == "B")
    made = house.run(old)
    source = CandidateSource(house.archive, old, current())
    assert (source.name, len(source.measurements)) == ("A", len(rows) + 1)
    assert (house.store / night_key(source.key, LIGHT_CURVE)).is_file()
    assert "-A-" in source.key.partition_key
    listed = json.loads((house.store / "mma" / EVENT / "candidates.json").read_text())["candidates"]
    assert [(c["candidate"], c["aliases"]) for c in listed] == [("A", ["AT 2026xy", "B"])]
    assert (
        "A, AT 2026xy, B" in made.asset_materializations_for_node("ranked_candidates")[-1].metadata["candidates"].value
    )


def test_a_known_name_at_another_place_goes_to_the_quarantine(house: PublishingHome):
    """The reason gives both positions; the candidate stays as it was."""
    here, there = Candidate("AT2026xy", 10.0, 20.0), Candidate("SN 2026xy", 190.0, -27.0)
    house.photometry([Measurement(here, MJD + 1, "r", 20.0, 0.05)])
    refused = house.photometry([Measurement(there, MJD + 2, "r", 20.0, 0.05)])
    assert isinstance(refused, Quarantined)
    for said in ("10.000000", "20.000000", "190.000000", "-27.000000", "173 deg"):
        assert said in refused.reason
    assert len(house.photometry_archive.measurements("AT2026xy")) == 1
