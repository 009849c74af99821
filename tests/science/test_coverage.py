"""Coverage: the region as MOC agrees with closed forms and with mocpy's own selection."""

import io
import json

import numpy as np
import pytest
from astropy import units
from astropy.coordinates import Latitude, Longitude
from astropy.io import fits
from astropy.table import QTable
from hypothesis import given, settings
from hypothesis import strategies as st
from mocpy import MOC

from mma_pipeline.science.regions.coverage import (
    credible_coverage,
    moc_fits,
    moc_json,
    overlap_area,
    probability_within,
)
from mma_pipeline.science.skymaps.model import decode_skymap

from .maps import MISSING, gaussian_map, real_maps, rows_for_tools, table_bytes

FULL_SKY_DEG2 = 4 * np.pi * (180 / np.pi) ** 2


def _gaussian(ra=40.0, dec=-20.0, sigma=1.0):
    uniq, density = gaussian_map(ra, dec, sigma)
    return decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))


@pytest.mark.parametrize("level", [0.5, 0.9])
@pytest.mark.parametrize(("ra", "dec"), [(40.0, -20.0), (0.0, 0.0), (123.0, 90.0), (10.0, -89.5)])
def test_area_of_a_gaussian(level, ra, dec):
    """The region of a narrow Gaussian has the area -2π σ² ln(1 - level), wherever it lies."""
    found = credible_coverage(_gaussian(ra, dec), level)
    assert found.area_deg2 == pytest.approx(-2 * np.pi * np.log(1 - level), rel=0.01)


def test_level_is_reached_and_not_exceeded_by_more_than_a_row():
    """A region holds at least its level, and without its faintest row it would not."""
    skymap = _gaussian()
    found = credible_coverage(skymap, 0.9)
    rows = np.isin(skymap.uniq, 4 * 4**found.order + found.ipix)
    assert found.probability >= 0.9
    faintest = skymap.prob[rows][np.argmin(skymap.probdensity[rows])]
    assert found.probability - faintest < 0.9


@pytest.mark.parametrize("name", sorted(real_maps()) or [pytest.param("", marks=pytest.mark.skip(MISSING))])
def test_agrees_with_mocpy(name):
    """mocpy's own choice of cells by cumulative probability covers the same sky to within the crossing row."""
    skymap = decode_skymap(rows_for_tools(name))
    independent = MOC.from_valued_healpix_cells(
        skymap.uniq.astype(np.uint64), skymap.prob, int(skymap.order.max()), cumul_from=0.0, cumul_to=0.9
    )
    ours = credible_coverage(skymap, 0.9)
    largest = FULL_SKY_DEG2 / 12 / 4.0 ** ours.order.min()
    assert ours.area_deg2 == pytest.approx(independent.sky_fraction * FULL_SKY_DEG2, rel=1e-6, abs=largest * 1.001)


def test_files_read_back_as_the_same_region():
    """FITS and JSON forms hold the same cells, read by mocpy and astropy."""
    found = credible_coverage(_gaussian(), 0.9)
    from_json = MOC.from_json(json.loads(moc_json(found)))
    with fits.open(io.BytesIO(moc_fits(found))) as hdus:
        assert hdus[1].header["MOCDIM"] == "SPACE"
        ranges = hdus[1].data["RANGE"].reshape(-1, 2)
    cells = (ranges[:, 1] - ranges[:, 0]).sum() / (12 * 4.0**29)
    assert from_json.sky_fraction == pytest.approx(cells, rel=1e-12)
    assert cells * FULL_SKY_DEG2 == pytest.approx(found.area_deg2, rel=1e-9)


def test_same_map_same_bytes():
    """The files of equal maps are equal, and hold no date."""
    first, second = (moc_fits(credible_coverage(_gaussian(), 0.5)) for _ in range(2))
    assert first == second
    assert b"DATE" not in first


def test_the_file_opens_in_mocpy(tmp_path):
    """mocpy reads the file as the region that it was written from."""
    found = credible_coverage(_gaussian(), 0.9)
    (tmp_path / "region.fits").write_bytes(moc_fits(found))
    assert MOC.from_fits(tmp_path / "region.fits") == found.moc()


@pytest.mark.parametrize("level", [0.0, -0.1, 1.1])
def test_level_outside_the_unit_interval_is_refused(level):
    """A credible level that is none gives one clear error."""
    with pytest.raises(ValueError, match="outside 0 to 1"):
        credible_coverage(_gaussian(), level)


@pytest.mark.parametrize("name", sorted(real_maps()) or [pytest.param("", marks=pytest.mark.skip(MISSING))])
def test_probability_within_agrees_with_mocpy(name):
    """The probability inside a region is what its rows hold, and what mocpy sums."""
    skymap = decode_skymap(rows_for_tools(name))
    found = credible_coverage(skymap, 0.9)
    table = QTable({"UNIQ": skymap.uniq.astype(np.uint64), "PROBDENSITY": skymap.probdensity / units.sr})
    held = probability_within(skymap, found.moc())
    assert held == pytest.approx(found.probability, rel=1e-9)
    assert held == pytest.approx(float(found.moc().probability_in_multiordermap(table)), rel=1e-6)


@settings(max_examples=15, deadline=None)
@given(st.floats(0, 360), st.floats(-90, 90), st.floats(0.5, 60), st.integers(3, 9))
def test_probability_of_a_uniform_sky_is_the_area(ra, dec, radius, depth):
    """On a uniform sky the probability within any coverage is its share of the sky, also when its cells cut rows."""
    cone = MOC.from_cone(Longitude(ra, "deg"), Latitude(dec, "deg"), radius=Longitude(radius, "deg"), max_depth=depth)
    skymap = decode_skymap(table_bytes({"UNIQ": np.arange(4, 16), "PROBDENSITY": np.full(12, 1 / (4 * np.pi))}))
    assert probability_within(skymap, cone) == pytest.approx(float(cone.sky_fraction), abs=1e-12)
    assert overlap_area(cone, cone) == pytest.approx(float(cone.sky_fraction) * FULL_SKY_DEG2)
    assert overlap_area(cone, cone.complement()) == 0
    assert probability_within(skymap, MOC.new_empty(9)) == 0
