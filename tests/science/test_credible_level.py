"""The credible level of a position is one number, whoever states it."""

from __future__ import annotations

import numpy as np
import pytest

from mma_pipeline.notices.icecube import Direction, Neutrino
from mma_pipeline.science.coincidence.neutrinos import overlaps
from mma_pipeline.science.kilonova.assess import locate
from mma_pipeline.science.skymaps.credible import Ranking
from mma_pipeline.science.skymaps.crossmatch import crossmatch
from mma_pipeline.science.skymaps.model import decode_skymap
from mma_pipeline.science.sphere import index29
from tests.science.maps import MISSING, gaussian_map, real_maps, table_bytes


def everywhere(skymap, ra: float, dec: float) -> list[float]:
    """The level as each of its users states it: crossmatch, candidates, neutrinos, the ranking itself."""
    track = Neutrino(1.0, Direction(ra, dec), 0.5, 0.5, None, None, None, ())
    return [
        float(crossmatch(skymap, ra, dec).searched_prob[0]),
        locate(skymap, ra, dec).credible_level,
        float(overlaps(skymap, [track], (500.0, 500.0))[0].credible_level or np.nan),
        float(Ranking(skymap).searched_prob[skymap.row_of(index29(ra, dec))]),
    ]


def test_of_a_gaussian() -> None:
    """At angle r from the centre of a Gaussian of width σ every user says 1 - exp(-r²/2σ²)."""
    sigma = 3.0
    uniq, density = gaussian_map(40.0, 20.0, sigma, order=10)
    skymap = decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}))
    for offset in (1.0, 3.0, 6.0):
        found = everywhere(skymap, 40.0, 20.0 + offset)
        assert found == pytest.approx([1 - np.exp(-0.5 * (offset / sigma) ** 2)] * len(found), abs=5e-3)
        assert len(set(found)) == 1


@pytest.mark.skipif(not real_maps(), reason=MISSING)
def test_of_gw170817() -> None:
    """On the map of GW170817 all agree to the last digit at NGC 4993 and at the mode, whose own pixel counts."""
    skymap = decode_skymap(real_maps()["GW170817_bayestar_flat_nside128"])
    counterpart = everywhere(skymap, 197.450374, -23.381495)
    assert counterpart == pytest.approx([0.4774] * len(counterpart), abs=5e-5)
    assert len(set(counterpart)) == 1
    mode = everywhere(skymap, *Ranking(skymap).mode)
    assert len(set(mode)) == 1
    assert mode[0] == pytest.approx(float(skymap.prob.max()))
