"""The Moon's distance on a target's page."""

from __future__ import annotations

import numpy as np
import pytest
from astropy import units as u
from astropy.coordinates import GCRS, SkyCoord, get_body
from astropy.time import Time
from django.template import Context, Template
from django.template.engine import Engine

from mma_pipeline.tom.project.target_tags import moon_separation


@pytest.mark.parametrize(("ra", "dec"), [(197.45, -23.38), (0.0, 90.0), (359.99, 0.0)])
def test_all_times_at_once_are_each_time_alone(ra: float, dec: float) -> None:
    """The separations are those that astropy gives time by time, as the toolkit computes them."""
    times = Time("2026-11-21") + np.arange(0, 30, 3.7) * u.day
    alone = [
        get_body("moon", time).separation(SkyCoord(ra, dec, unit="deg", frame=GCRS(obstime=time))).deg for time in times
    ]
    np.testing.assert_allclose(moon_separation(ra, dec, times), alone, atol=1e-9)


def test_the_toolkits_other_tags_are_still_there() -> None:
    """The library that takes the toolkit's place has all its tags and filters."""
    from tom_targets.templatetags import targets_extras

    library = Engine.get_default().template_libraries["targets_extras"]
    assert set(library.tags) == set(targets_extras.register.tags)
    assert set(library.filters) == set(targets_extras.register.filters)
    text = Template("{% load targets_extras %}{{ 197.450374|deg_to_sexigesimal:'hms' }}").render(Context())
    assert text == "13:09:48.090"
