"""Figures of the shipped kilonova model, one JSON line each: `make bench-kilonova`.

Every line has a goal, the value and whether it is met. Real data come from ../shared/data/photometry (or the folder
given as argument); without it those lines say so. The shipped model was trained on all real negatives there, so those
of the last lines come from a twin that was trained without two fifths of them, and the unseen family's from a model
without that family. Both are trained here, which takes a quarter of an hour; `--quick` leaves them out.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from sklearn.metrics import roc_auc_score
from threadpoolctl import threadpool_limits

from mma_pipeline.adapters.photometry.files import Defaults, read_photometry
from mma_pipeline.notices.photometry.brightness import ZERO_POINTS, of_flux
from mma_pipeline.notices.photometry.measurement import Measurement
from mma_pipeline.science.healpix import order_ipix_to_uniq
from mma_pipeline.science.kilonova.assess import CandidateCurve, assess_many
from mma_pipeline.science.kilonova.bands import BANDS, band_index
from mma_pipeline.science.kilonova.by_night import nightly_scores_of
from mma_pipeline.science.kilonova.features import FEATURE_NAMES, compute
from mma_pipeline.science.kilonova.lightcurve import MAX_ERROR, Event, LightCurve, Points, prepare, weak_as_limits
from mma_pipeline.science.kilonova.measured import LOOK_BACK_DAYS, earlier_detections, light_curve
from mma_pipeline.science.kilonova.model import Model, digest, packaged
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.training.calibration import reference_weights
from mma_pipeline.training.data import at2017gfo, kilonova_tables, real_transients
from mma_pipeline.training.negatives import RealTransient, after_mergers, held_out, with_gross_error
from mma_pipeline.training.simulation import kasen
from mma_pipeline.training.simulation.population import FAMILIES, Sample, simulate
from mma_pipeline.training.training import Settings, cut, night_ends, train

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "photometry"
MERGER = 57982.5285236
#: Seeds that no training uses.
TEST_SEED, PLACING_SEED = 20_250_101, 424_242
DISTANCE, DISTANCE_ERROR, EBV = 39.8, 8.3, 0.105
#: Snapshots scored at once.
_CHUNK = 20_000


def report(row: str, goal: str, value: object, met: bool | None) -> None:
    """One JSON line."""
    print(json.dumps({"row": row, "goal": goal, "value": value, "met": met}), flush=True)


@dataclass(frozen=True, eq=False)
class Scored:
    """Scores of S snapshots with their truth, arrays of shape (S,)."""

    p: np.ndarray
    """Published probability of a kilonova."""
    all_points: np.ndarray
    """The same with every point taken at its word."""
    nights: np.ndarray
    sufficient: np.ndarray
    label: np.ndarray
    owner: np.ndarray
    rising: np.ndarray
    """Whether the line through the points brightens."""


def scored(
    model: Model, sample: Sample, max_night: int = 12, change: Callable[[Points], Points] = lambda points: points
) -> Scored:
    """Score an object at the end of each of its nights, as a search does, of points that `change` may alter."""
    r = sample.points
    mag, limit = weak_as_limits(r.mag, np.where(r.err <= MAX_ERROR, r.err, np.nan), r.limit)
    sample = replace(sample, points=replace(r, mag=mag, limit=limit))
    owner, number, end = night_ends(sample)
    owner, end = owner[number <= max_night], end[number <= max_night]
    parts, slopes = [], []
    for i in range(0, len(owner), _CHUNK):
        points = change(cut(sample, owner[i : i + _CHUNK], end[i : i + _CHUNK]))
        parts.append(model.score_points(points))
        slopes.append(compute(points).matrix[:, FEATURE_NAMES.index("slope")])

    def joined(name: str) -> np.ndarray:
        return np.concatenate([getattr(part, name) for part in parts])

    return Scored(
        joined("probability")[:, 0], joined("all_points"), joined("nights"), joined("sufficient"), sample.label[owner],
        owner, np.concatenate(slopes) < 0,
    )  # fmt: skip


def ece(p: np.ndarray, truth: np.ndarray, weight: np.ndarray) -> float:
    """Expected calibration error in 15 bins."""
    bins = np.clip((p * 15).astype(int), 0, 14)
    gaps = [abs(np.sum(weight[bins == k] * (p[bins == k] - truth[bins == k]))) for k in range(15)]
    return float(sum(gaps) / weight.sum())


def kilonova_of_2017(model: Model, columns: dict, ages: list[float], bands: str, moved_to: float | None = None) -> list:
    """Probability at each age (None where the model abstains), in some bands, perhaps moved with 24 mag depth."""
    curves = []
    shift = 0.0 if moved_to is None else 5 * np.log10(moved_to / 40.7)
    for age in ages:
        keep = (columns["mjd"] < MERGER + age) & np.isin(columns["band"], list(bands))
        mag, err = columns["magnitude"][keep] + shift, columns["error"][keep]
        limit = columns["upper_limit"][keep]
        if moved_to is not None:
            err = np.hypot(err, 0.217 * 10 ** (0.4 * (mag - 24.0)))
            limit, mag = limit | (mag > 24.0), np.minimum(mag, 24.0)
        curves.append(LightCurve(columns["mjd"][keep], mag, err, list(np.array(columns["band"])[keep]), limit))
    far = moved_to or DISTANCE
    event = Event(MERGER, far, far * DISTANCE_ERROR / DISTANCE, EBV)
    s = model.score(curves, [event] * len(curves))
    return [round(float(p), 4) if ok else None for p, ok in zip(s.probability[:, 0], s.sufficient, strict=True)]


def bench_at2017gfo(model: Model, folder: Path) -> None:
    """The first two rows of the table."""
    c = at2017gfo(folder).columns
    first, second, third = kilonova_of_2017(model, c, [0.9, 1.9, 2.9], "griz")
    later = kilonova_of_2017(model, c, [3.9, 4.9, 5.9, 6.9, 7.9, 8.9, 9.9], "griz")
    report("AT2017gfo griz at 0.9 d", "abstains", first, first is None)
    report("AT2017gfo griz at 1.9 d", ">= 0.6", second, second is not None and second >= 0.6)
    report("AT2017gfo griz at 2.9 d", ">= 0.97", third, third is not None and third >= 0.97)
    report("AT2017gfo griz each night to 10 d", ">= 0.95", later, all(p is not None and p >= 0.95 for p in later))
    for bands, goal in (("gr", 0.95), ("r", 0.85)):
        (p,) = kilonova_of_2017(model, c, [2.9], bands)
        report(f"AT2017gfo {bands} at 2.9 d", f">= {goal}", p, p is not None and p >= goal)
    for distance in (100.0, 200.0):
        (p,) = kilonova_of_2017(model, c, [2.9], "griz", distance)
        report(f"AT2017gfo at {distance:.0f} Mpc, 2.9 d", ">= 0.95", p, p is not None and p >= 0.95)


def published_nights(
    path: Path, merger: float, event: Event, *, redshift: float | None = None, noise: bool = False
) -> tuple[dict[float, float], bool]:
    """Probability after each scored night by days since the merger, as `mma kilonova score` gives it, and whether it is excluded.

    With `noise`, 240 forced points of 2 uJy noise in the 60 days before the merger come with it, half of them positive.
    """
    measured = list(read_photometry(path, mapping={}, defaults=Defaults("it", 0.0, 0.0, event.ebv)).measurements)
    if noise:
        rng = np.random.default_rng(3)
        for k, flux in enumerate(rng.normal(0, 2.0, 240)):
            found = of_flux(float(flux), 2.0, ZERO_POINTS["uJy"])
            t = merger - 60 + k / 4
            measured.append(
                Measurement(
                    measured[0].candidate, t, BANDS[k % 4], found.magnitude, found.error, upper_limit=found.upper_limit
                )
            )
    one = CandidateCurve(light_curve(measured), event.ebv, (0.0, 0.0), redshift)
    (history,) = nightly_scores_of(packaged(), [one.curve], [one.seen_from(event)])
    excluded = earlier_detections(measured, merger, LOOK_BACK_DAYS)
    return {round(n["days"], 1): round(n["p_phot"], 3) for n in history if n["sufficient"]}, bool(excluded)


def bench_distances_and_bursts(folder: Path) -> None:
    """AT2017gfo with forced noise and with wrong map distances, and two gamma-ray bursts: one with a kilonova, one with a supernova."""
    gfo = folder / "AT2017gfo_DECam_griz.csv"
    near = Event(MERGER, DISTANCE, DISTANCE_ERROR, EBV)
    plain, _ = published_nights(gfo, MERGER, near)
    noisy, excluded = published_nights(gfo, MERGER, near, noise=True)
    report(
        "AT2017gfo with 60 days of forced noise before the merger",
        "admitted, each night as without",
        {"excluded": excluded, "nights": noisy},
        not excluded and noisy == plain,
    )
    for distance in (80.0, 150.0):
        wrong = Event(MERGER, distance, distance * DISTANCE_ERROR / DISTANCE, EBV)
        known, _ = published_nights(gfo, MERGER, wrong, redshift=0.009783)
        value = {"host known": known, "unknown": published_nights(gfo, MERGER, wrong)[0], "true distance": plain}
        met = all(abs(known[day] - plain[day]) <= 0.03 for day in plain)
        report(
            f"AT2017gfo at a map distance of {distance:.0f} Mpc, NGC 4993 known",
            "as with the true distance",
            value,
            met,
        )
    with_kilonova = {
        sigma: published_nights(folder / "GRB211211A.txt", 59559.548599537, Event(59559.548599537, 348.0, sigma))[0]
        for sigma in (20.0, 70.0)
    }
    met = all(p >= 0.9 for one in with_kilonova.values() for day, p in one.items() if day >= 2.6)
    report("GRB 211211A at 348 Mpc (20, 70 Mpc uncertain), all its bands", ">= 0.9 from 2.7 d", with_kilonova, met)
    burst = 60168.790416667
    for redshift, goal in ((None, 0.5), (0.36, 0.1)):
        for distance in (None, 40.0, 150.0):
            event = Event(burst, distance, None if distance is None else 0.2 * distance)
            nights, _ = published_nights(folder / "ZTF23aaxeacr.dat", burst, event, redshift=redshift)
            known = "no redshift" if redshift is None else f"z = {redshift}"
            at = "an event without distance" if distance is None else f"an event at {distance:.0f} Mpc"
            met = max(nights.values()) <= goal
            report(f"GRB 230812B with SN 2023pel, {known}, {at}", f"<= {goal} every scored night", nights, met)


def is_type_ia(r: RealTransient) -> bool:
    """Whether the first claimed type is Ia."""
    return r.kind.split(";")[0].startswith("Ia")


def real_negatives(folder: Path) -> list[RealTransient]:
    """All real transients of the folder that are no kilonovae."""
    return [RealTransient(r.name, r.source, r.kind, LightCurve(**r.columns), r.ebv) for r in real_transients(folder)]


def bench_negatives(model: Model, folder: Path, chosen: list[RealTransient], part: str) -> None:
    """Real transients at P >= 0.9; `part` says whether the model has met them."""
    groups = {
        "ZTF Ia": [r for r in chosen if r.source == "ztf-bts"],
        "faint Ia": [r for r in chosen if r.source == "osc" and is_type_ia(r)],
        "core collapse": [r for r in chosen if r.source == "osc" and not is_type_ia(r)],
        "ZTF alerts": [r for r in chosen if r.source == "ztf-alerts"],
    }
    for group, members in groups.items():
        for way, share in (("new", 1.0), ("old", 0.0)):
            negatives_line(model, members, part, group, way, share)
    bench_single_points(model, chosen, part)
    bench_real_calibration(model, folder, chosen, part)


def negatives_line(model: Model, members: list[RealTransient], part: str, group: str, way: str, share: float) -> None:
    """One group, placed after mergers shortly before the first detection ("new") or in mid-life ("old")."""
    table = scored(
        model,
        after_mergers(members, PLACING_SEED, new_share=share, distance_mpc=DISTANCE, distance_sigma_mpc=DISTANCE_ERROR),
        10,
    )
    passed = table.sufficient & (table.p >= 0.9)
    percent = by_night(table, table.p >= 0.9)
    objects = len(np.unique(table.owner[passed]))
    name = f"{group}, {part}, {way}: P >= 0.9"
    if group == "ZTF Ia":
        report(name, "<= 0.2 % each night", percent, max(percent.values(), default=0) <= 0.2)
    elif group == "faint Ia":
        met = all(v <= (5 if night <= 3 else 2.5) for night, v in percent.items())
        report(name, "<= 5 % nights 1 to 3, <= 2.5 % later", percent, met)
    else:
        report(name, "<= 1 object", {"objects": objects, "of": len(members)}, objects <= 1)


def by_night(table: Scored, passed: np.ndarray) -> dict[int, float]:
    """Per cent of the scored snapshots that passed, for each number of nights with ten of them."""
    percent = {}
    for night in range(1, 11):
        rows = table.sufficient & (table.nights == night)
        if rows.sum() >= 10:
            percent[night] = round(100 * float(passed[rows].mean()), 2)
    return percent


def bench_single_points(model: Model, members: list[RealTransient], part: str) -> None:
    """Real Ia with one wrong point in the last night, and core collapse that brightens in its one band."""
    ia = [r for r in members if r.source == "ztf-bts" or (r.source == "osc" and is_type_ia(r))]
    sample = after_mergers(ia, PLACING_SEED, distance_mpc=DISTANCE, distance_sigma_mpc=DISTANCE_ERROR)
    for way, size in (("fainter", 2.4), ("brighter", -2.4)):
        table = scored(model, sample, 10, lambda points, size=size: with_gross_error(points, PLACING_SEED, size))
        for name, p in (("", table.p), (", every point believed", table.all_points)):
            value = round(100 * float((p[table.sufficient] >= 0.9).mean()), 2)
            report(
                f"real Ia, {part}, one point of the last night 2.4 mag {way}: P >= 0.9{name}",
                "" if name else "<= 0.3 %",
                {"all nights": value, **by_night(table, p >= 0.9)},
                None if name else value <= 0.3,
            )
    counts = np.zeros(3)
    for k, distance in enumerate((40.0, 40.0, 100.0, 150.0)):
        placed = after_mergers(
            in_one_band([r for r in members if r.source == "osc" and not is_type_ia(r)]), PLACING_SEED + k,
            new_share=1.0, distance_mpc=distance, distance_sigma_mpc=0.2 * distance,
        )  # fmt: skip
        table = scored(model, placed, 3)
        rows = table.sufficient & (table.nights >= 2) & table.rising
        counts += [rows.sum(), (table.p[rows] >= 0.9).sum(), (table.p[rows] >= 0.5).sum()]
    high, half = (round(100 * float(c / max(counts[0], 1)), 2) for c in counts[1:])
    report(
        f"core collapse, {part}, brightening in one band, nights 2 and 3: P >= 0.9, P >= 0.5",
        "<= 0.5 %, <= 10 %",
        {"P >= 0.9": high, "P >= 0.5": half, "of": int(counts[0])},
        high <= 0.5 and half <= 10,
    )


def in_one_band(members: list[RealTransient]) -> list[RealTransient]:
    """Each band of each object as an object of its own, where it has three points or more."""
    out = []
    for r in members:
        c, index = r.curve, np.array([band_index(b) for b in r.curve.band])
        for k in range(len(BANDS)):
            rows = np.flatnonzero(index == k)
            if len(rows) >= 3:
                names = [c.band[i] for i in rows]
                curve = LightCurve(c.mjd[rows], c.magnitude[rows], c.error[rows], names, c.upper_limit[rows])
                out.append(replace(r, name=f"{r.name} {BANDS[k]}", curve=curve))
    return out


def bench_real_calibration(model: Model, folder: Path, members: list[RealTransient], part: str) -> None:
    """Calibration on real objects from night 5: the negatives and AT2017gfo."""
    table = scored(model, after_mergers(members, PLACING_SEED))
    rows = (table.nights >= 5) & table.sufficient
    ages = [4.9, 5.9, 6.9, 7.9, 8.9, 9.9]
    positive = np.array(kilonova_of_2017(model, at2017gfo(folder).columns, ages, "griz"), dtype=float)
    p = np.concatenate([table.p[rows], positive])
    truth = np.concatenate([np.zeros(rows.sum()), np.ones(len(ages))])
    value = ece(p, truth, np.ones(len(p)))
    report(f"calibration, real from night 5, {part}: ECE", "<= 0.05", round(value, 4), value <= 0.05)


def bench_simulated(
    model: Model, families: tuple[str, ...], tables: kasen.Tables | None, *, broad: bool = False
) -> None:
    """AUC, calibration and false positives on a simulated sky of another seed, by number of nights.

    The broad sky is harder than any search should be: the goals are not meant for it.
    """

    def line(row: str, goal: str, value: object, met: bool) -> None:
        report(f"{sky}, {row}", *(("", value, None) if broad else (goal, value, met)))

    sky = "simulated test (" + ", ".join(families) + (", broad" if broad else "") + ")"
    table = scored(model, simulate(TEST_SEED, 60_000, families=families, tables=tables, broad=broad), 9)
    p, nights = table.p, table.nights
    truth = (table.label == 0).astype(int)
    for night, goal in ((1, 0.87), (2, 0.95), (3, 0.97), (5, 0.985)):
        rows = nights == night
        weight = reference_weights(table.label[rows], np.zeros(rows.sum(), int))
        value = float(roc_auc_score(truth[rows], p[rows], sample_weight=weight))
        line(f"night {night}: AUC", f">= {goal}", round(value, 4), value >= goal)
    for night in range(1, 10):
        rows = nights == night
        value = ece(p[rows], truth[rows], reference_weights(table.label[rows], np.zeros(rows.sum(), int)))
        line(f"night {night}: ECE", "<= 0.03", round(value, 4), value <= 0.03)
    for night, goal in ((2, 0.03), (3, 0.03), (5, 0.005), (6, 0.005), (7, 0.005)):
        rows = table.sufficient & (nights == night)
        false = float((p[rows & (truth == 0)] >= 0.9).mean())
        true = float((p[rows & (truth == 1)] >= 0.9).mean())
        wanted = f"false positives <= {goal}" + (", true positives >= 0.8" if night >= 5 else "")
        value = {"false positives": round(false, 4), "true positives": round(true, 4)}
        met = false <= goal and (night < 5 or true >= 0.8)
        line(f"night {night}: scored objects at P >= 0.9", wanted, value, met)


def bench_supernovae_of_bursts(model: Model) -> None:
    """Simulated afterglows with a supernova, at the event's distance, which need not be theirs."""
    table = scored(model, simulate(TEST_SEED + 9, 15_000, shares=(0.0, 0.0, 0.0, 1.0)), 7)
    value = {f"P >= {limit}": by_night(table, table.p >= limit) for limit in (0.9, 0.5)}
    report("simulated afterglows with supernova, % of scored objects by night", "", value, None)


def bench_unseen(tables: kasen.Tables) -> None:
    """A model trained on the two analytic families alone, tried on the radiative-transfer tables."""
    started = time.perf_counter()
    model = train(Settings(seed=5, objects=150_000, iterations=300, families=FAMILIES))
    table = scored(model, simulate(TEST_SEED + 1, 40_000, families=("kasen",), tables=tables), 5)
    for night, goal in ((3, 0.94), (5, 0.97)):
        rows = table.nights == night
        weight = reference_weights(table.label[rows], np.zeros(rows.sum(), int))
        value = float(roc_auc_score(table.label[rows] == 0, table.p[rows], sample_weight=weight))
        report(
            f"family not trained on (Kasen et al. 2017), night {night}: AUC",
            f">= {goal}",
            round(value, 4),
            value >= goal,
        )
    report("training for the line above", "", {"seconds": round(time.perf_counter() - started)}, None)


def bench_twin(folder: Path, tables: kasen.Tables) -> None:
    """A model trained as the shipped one, but without two fifths of the real negatives, tried on those."""
    started = time.perf_counter()
    everything = real_negatives(folder)
    settings = replace(Settings(), families=(*FAMILIES, "kasen"))
    model = train(settings, tables=tables, real=[r for r in everything if not held_out(r.name)])
    report("training for the lines below", "", {"seconds": round(time.perf_counter() - started)}, None)
    bench_negatives(model, folder, [r for r in everything if held_out(r.name)], "held out")


def bench_time(model: Model) -> None:
    """Milliseconds from light curve to probability on one thread, beside scikit-learn's own trees of the same size."""
    rng = np.random.default_rng(1)
    t = np.sort(rng.uniform(0.3, 8, 32))
    one = LightCurve(MERGER + t, 18 + 0.4 * t, np.full(32, 0.1), list(rng.choice(list("griz"), 32)), np.zeros(32, bool))
    event = Event(MERGER, DISTANCE, DISTANCE_ERROR, EBV)

    def milliseconds(action: Callable[[], object]) -> float:
        # CPU time of the one thread: the wall clock would measure whoever shares the machine.
        times = []
        for _ in range(15):
            started = time.process_time()
            action()
            times.append(time.process_time() - started)
        return 1000 * float(np.median(times))

    single = milliseconds(lambda: model.score([one], [event]))
    thousand = milliseconds(lambda: model.score([one] * 1000, [event] * 1000))
    report("time, one candidate (ms of CPU, one thread)", "<= 30", round(single, 2), single <= 30)
    report("time, 1,000 candidates (ms of CPU, one thread)", "<= 150", round(thousand, 1), thousand <= 150)

    bench_history_time(milliseconds)

    from sklearn.ensemble import HistGradientBoostingClassifier

    x = rng.normal(size=(3000, len(FEATURE_NAMES)))
    y = rng.integers(0, 3, 3000)
    stock = HistGradientBoostingClassifier(
        max_iter=len(model.trees.column) // 3, max_leaf_nodes=31, early_stopping=False
    )
    stock.fit(x, y)
    points = prepare([one] * 1000, [event] * 1000)
    theirs = milliseconds(lambda: stock.predict_proba(compute(points).matrix))
    value = {"ours": round(thousand, 1), "scikit-learn": round(theirs, 1), "ratio": round(theirs / thousand, 2)}
    report("1,000 candidates beside scikit-learn's predict_proba (ms)", "", value, None)


def bench_history_time(milliseconds: Callable[[Callable[[], object]], float]) -> None:
    """A thousand different candidates, each with the score of every night, map and prior included."""
    rng = np.random.default_rng(2)
    uniform = SkyMap(order_ipix_to_uniq(np.zeros(12, int), np.arange(12)), np.full(12, 1 / (4 * np.pi)))
    event = Event(MERGER, DISTANCE, DISTANCE_ERROR)
    for nights in (5, 10):
        candidates = []
        for k in range(1000):
            t = np.repeat(rng.uniform(0.3, 1.0) + np.arange(nights), 3) + rng.uniform(0, 0.1, 3 * nights)
            mag = 18 + rng.uniform(-0.1, 0.8) * t + rng.normal(0, 0.1, len(t))
            curve = LightCurve(
                MERGER + t, mag, np.full(len(t), 0.1), list(rng.choice(list("griz"), len(t))), np.zeros(len(t), bool)
            )
            candidates.append(
                CandidateCurve(
                    curve, 0.1, (float(rng.uniform(0, 360)), float(rng.uniform(-60, 60))), 0.01 if k % 2 else None
                )
            )
        value = milliseconds(
            lambda candidates=candidates: assess_many(
                packaged(), candidates, event, uniform, has_remnant=1.0, terrestrial=0.0
            )
        )
        report(
            f"time, 1,000 different candidates with the history of {nights} nights (ms of CPU, one thread)",
            "<= 500", round(value), value <= 500,
        )  # fmt: skip


def main() -> None:
    """Print all lines."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", nargs="?", type=Path, default=DATA)
    parser.add_argument("--quick", action="store_true", help="leave out the lines that train a model")
    options = parser.parse_args()
    # One thread for everything: OpenMP's defaults on a shared machine cost more than they give.
    with threadpool_limits(1):
        run(options)


def run(options: argparse.Namespace) -> None:
    """Every line, in the order of the table."""
    model = packaged()
    report("model", "", {"digest": digest(model), **model.info}, None)
    tables = None
    if options.data.is_dir():
        tables = kasen.read(kilonova_tables(options.data))
        bench_at2017gfo(model, options.data)
        bench_distances_and_bursts(options.data)
        bench_negatives(model, options.data, real_negatives(options.data), "trained on")
    else:
        report("real data", "", f"{options.data} is not here: those lines are missing", None)
    bench_simulated(model, FAMILIES, None)
    bench_supernovae_of_bursts(model)
    if tables is not None:
        bench_simulated(model, (*FAMILIES, "kasen"), tables)
        bench_simulated(model, (*FAMILIES, "kasen"), tables, broad=True)
    bench_time(model)
    if tables is not None and not options.quick:
        bench_unseen(tables)
        bench_twin(options.data, tables)


if __name__ == "__main__":
    main()
