"""What the products of a sky map cost, beside the way of the listener that this project replaces.

One JSON line per figure: CPU seconds and peak memory of our code and of ligo.skymap on a flat map (read_sky_map,
interpolate_nested, contour), on the same map in the same run, and the ratios. Each is measured in a process of its own
after imports and one warm-up on a small map; memory is the peak of the whole process, and `added_mb` what it grew by.

    PYTHONPATH=. python benchmarks/skymaps.py [--quick]      --quick leaves out the old way on the order-11 map (minutes, gigabytes)
"""

from __future__ import annotations

import argparse
import base64
import json
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.measured import ROOT, Figures, in_a_process, peak_mb, ratios

ALERTS = ROOT.parent / "shared" / "data" / "gw_alerts"
#: Real maps: 21 deg² at order 11 (the old way's NSIDE 2048), 1,002 deg² at order 9 (NSIDE 512).
MAPS = {
    "MS230425k order 11": "MS230425k-preliminary.json",
    "S230518h order 9": "S230518h-PRELIMINARY-2023-05-18T133818Z.json",
}
#: The old way on an order-11 map takes minutes and 10 GB; what does not end by then has no figures.
LIMIT_S = 300


def _simulated(max_order: int, area: float) -> bytes:
    from mma_pipeline.science.simulation.alerts import MapSpec, simulate_skymap
    from mma_pipeline.science.skymaps.model import encode_skymap

    spec = MapSpec(ra=150.0, dec=-20.0, area_90=area, max_order=max_order)
    return encode_skymap(simulate_skymap(spec, name="MS000000a", time=datetime(2026, 1, 1, tzinfo=UTC)))


def _maps() -> dict[str, bytes]:
    """FITS bytes of the maps, simulated ones where there are no real ones."""
    if not ALERTS.is_dir():
        return {"simulated order 11": _simulated(11, 10.0), "simulated order 9": _simulated(9, 1000.0)}
    return {
        name: base64.b64decode(json.loads((ALERTS / file).read_text())["event"]["skymap"])
        for name, file in MAPS.items()
    }


# -- ours: each takes the FITS bytes and returns a function to be measured -------------------------------------------


def _contours(body: bytes) -> Callable[[], object]:
    from mma_pipeline.science.regions.contours import credible_regions, regions_geojson
    from mma_pipeline.science.skymaps.model import decode_skymap

    return lambda: regions_geojson(credible_regions(decode_skymap(body)))


def _areas(body: bytes) -> Callable[[], object]:
    from mma_pipeline.science.skymaps.credible import credible_areas
    from mma_pipeline.science.skymaps.model import decode_skymap

    return lambda: credible_areas(decode_skymap(body), (0.5, 0.9))


def _moc(body: bytes) -> Callable[[], object]:
    from mma_pipeline.science.regions.coverage import credible_coverage, moc_fits
    from mma_pipeline.science.skymaps.model import decode_skymap

    return lambda: moc_fits(credible_coverage(decode_skymap(body), 0.9))


def _flat(body: bytes) -> Callable[[], object]:
    from mma_pipeline.science.skymaps.flat import encode_flat
    from mma_pipeline.science.skymaps.model import decode_skymap

    return lambda: encode_flat(decode_skymap(body))


def _alert(body: bytes) -> Callable[[], object]:
    from mma_pipeline.science.plots.skymap import sky_plot
    from mma_pipeline.science.regions.contours import credible_regions, regions_geojson
    from mma_pipeline.science.regions.coverage import credible_coverage, moc_fits, moc_json
    from mma_pipeline.science.skymaps.flat import encode_flat
    from mma_pipeline.science.skymaps.model import decode_skymap
    from mma_pipeline.science.skymaps.statistics import describe

    def run() -> None:
        skymap = decode_skymap(body)
        describe(skymap)
        outlines = regions_geojson(credible_regions(skymap))
        for level in (0.5, 0.9):
            moc_fits(credible_coverage(skymap, level))
            moc_json(credible_coverage(skymap, level))
        encode_flat(skymap)
        lines = {
            f["properties"]["credible_level"]: f["geometry"]["coordinates"] for f in json.loads(outlines)["features"]
        }
        sky_plot(skymap, lines, title="benchmark")

    return run


# -- the old listener's way: everything from a flat map at the finest order -----------------------------------------


def _old_flat_map(body: bytes) -> Callable[[], Any]:
    from ligo.skymap.io import read_sky_map

    file = tempfile.NamedTemporaryFile(suffix=".fits")  # noqa: SIM115  (lives as long as the process)
    file.write(body)
    file.flush()
    return lambda: (read_sky_map(file.name, nest=True)[0], file)[0]


def _old_contours(body: bytes) -> Callable[[], object]:
    from ligo.skymap.healpix_tree import interpolate_nested
    from ligo.skymap.postprocess.contour import contour
    from ligo.skymap.postprocess.util import find_greedy_credible_levels

    read = _old_flat_map(body)

    def run() -> object:
        levels = 100 * find_greedy_credible_levels(interpolate_nested(read(), nest=True))
        return list(contour(levels, [50, 90], nest=True, degrees=True, simplify=True))

    return run


def _old_areas(body: bytes) -> Callable[[], object]:
    import numpy as np

    read = _old_flat_map(body)

    def run() -> object:
        prob = read()
        total = np.cumsum(np.sort(prob)[::-1])
        return np.searchsorted(total, (0.5, 0.9)) * 41252.96 / len(prob)

    return run


def _old_moc(body: bytes) -> Callable[[], object]:
    import numpy as np
    from mocpy import MOC

    read = _old_flat_map(body)

    def run() -> object:
        prob = read()
        depth = int(np.log2(len(prob) / 12)) // 2
        uniq = np.arange(len(prob), dtype=np.uint64) + np.uint64(4 * 4**depth)
        return MOC.from_valued_healpix_cells(uniq, prob, depth, cumul_to=0.9).serialize("fits")

    return run


def _old_flat(body: bytes) -> Callable[[], object]:
    from ligo.skymap.bayestar import rasterize
    from ligo.skymap.io import read_sky_map, write_sky_map

    folder = Path(tempfile.mkdtemp())
    (folder / "map.fits").write_bytes(body)

    def run() -> None:
        write_sky_map(
            str(folder / "flat.fits.gz"), rasterize(read_sky_map(str(folder / "map.fits"), moc=True)), nest=True
        )

    return run


def _old_alert(body: bytes) -> Callable[[], object]:
    parts = [_old_areas(body), _old_contours(body), _old_moc(body)]
    return lambda: [part() for part in parts]


TASKS: dict[str, tuple[Callable[[bytes], Callable[[], object]], Callable[[bytes], Callable[[], object]]]] = {
    "areas": (_areas, _old_areas),
    "moc_90": (_moc, _old_moc),
    "contours": (_contours, _old_contours),
    "flat_map": (_flat, _old_flat),
    "whole_alert": (_alert, _old_alert),
}


def measure(task: str, old: bool, path: Path) -> None:
    """In a process of its own: print CPU seconds and memory (MB) of one task."""
    make = TASKS[task][old]
    make(_simulated(5, 3000.0))()
    run = make(path.read_bytes())
    before = peak_mb()
    begin = time.process_time()
    run()
    cpu, peak = time.process_time() - begin, peak_mb()
    print(json.dumps({"cpu_s": round(cpu, 4), "peak_mb": round(peak), "added_mb": round(peak - before, 1)}))


def _child(task: str, old: bool, path: Path) -> Figures | str:
    return in_a_process(__file__, "--task", task, "--path", str(path), *(["--old"] if old else []), limit_s=LIMIT_S)


def main() -> None:
    """Print one JSON line per figure and map."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--old", action="store_true")
    parser.add_argument("--path", type=Path)
    options = parser.parse_args()
    if options.task:
        measure(options.task, options.old, options.path)
        return
    with tempfile.TemporaryDirectory() as folder:
        for name, body in _maps().items():
            path = Path(folder) / "map.fits"
            path.write_bytes(body)
            for task in TASKS:
                ours = _child(task, False, path)
                old = None if options.quick and "11" in name else _child(task, True, path)
                line: dict[str, Any] = {"figure": task, "map": name, "ours": ours, "ligo_skymap_flat": old}
                if old is not None:
                    line |= ratios(ours, old)
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
