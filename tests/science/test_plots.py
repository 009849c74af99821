"""Pictures: valid, small, the same each time, and right about where things are."""

import io

import numpy as np
import pytest
from PIL import Image

from mma_pipeline.science.plots.skymap import Marker, region_of, sky_plot
from mma_pipeline.science.skymaps.model import decode_skymap

from .maps import MISSING, gaussian_map, real_maps, table_bytes


def _gaussian(ra, dec, sigma):
    uniq, density = gaussian_map(ra, dec, sigma)
    return decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": density}, ORDERING="NUNIQ"))


def _circle(ra, dec, radius):
    angle = np.linspace(0, 2 * np.pi, 60)
    return np.column_stack(
        [(ra + radius * np.cos(angle) / np.cos(np.radians(dec))) % 360, dec + radius * np.sin(angle)]
    )


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (180.0, 60.0), (300.0, -85.0)])
def test_region_is_found(ra, dec):
    """The zoom looks at the centre of a Gaussian and reaches beyond its 90 % radius of 2.15 σ."""
    found_ra, found_dec, radius = region_of(_gaussian(ra, dec, 1.0))
    assert found_dec == pytest.approx(dec, abs=0.1)
    assert (found_ra - ra + 180) % 360 - 180 == pytest.approx(0, abs=0.1 / np.cos(np.radians(dec)))
    assert 2.0 < radius < 3.5


def test_colour_lies_where_the_probability_is():
    """On the all-sky half, the dark pixels lie in the quadrant of the source: right ascension grows to the left."""
    picture = sky_plot(_gaussian(270.0, 45.0, 6.0), {}, title="test")
    pixels = np.asarray(Image.open(io.BytesIO(picture)).convert("RGB")).astype(int)
    left = pixels[:, : int(pixels.shape[1] * 0.6)]
    red = (left[..., 0] > 100) & (left[..., 0] - left[..., 2] > 90)
    y, x = np.nonzero(red)
    middle = 0.01 + 0.585 * (2.18 / 4.2)
    assert x.mean() < middle * pixels.shape[1]
    assert y.mean() < pixels.shape[0] * (1 - 0.06 - 0.78 / 2)


def test_same_input_same_bytes():
    """Two pictures of the same map are equal byte for byte."""
    skymap = _gaussian(10.0, 10.0, 2.0)
    lines = {90: [_circle(10.0, 10.0, 4.3)]}
    one, two = (sky_plot(skymap, lines, title="S1", markers=[Marker(11, 9, "host")]) for _ in range(2))
    assert one == two


@pytest.mark.parametrize("name", sorted(real_maps())[::5] or [pytest.param("", marks=pytest.mark.skip(MISSING))])
def test_real_maps_give_small_pictures(name):
    """A picture of a real map is a PNG of under 250 kB, small enough to travel in metadata."""
    picture = sky_plot(decode_skymap(real_maps()[name]), {}, title=name)
    assert Image.open(io.BytesIO(picture)).format == "PNG"
    assert len(picture) < 250_000


def test_uniform_sky_has_a_picture():
    """A map that says nothing is drawn like any other."""
    uniq = np.arange(4 * 16, 4 * 16 + 12 * 16)
    skymap = decode_skymap(table_bytes({"UNIQ": uniq, "PROBDENSITY": np.full(192, 1 / (4 * np.pi))}, ORDERING="NUNIQ"))
    assert sky_plot(skymap, {}, title="uniform").startswith(b"\x89PNG")
