"""Airmass on the pages from which observers ask for time: it must not depend on the age of the Earth's tables."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse
from tom_observations.facility import get_service_class
from tom_observations.utils import get_sidereal_visibility
from tom_targets.models import Target

pytestmark = pytest.mark.django_db
_J2000 = datetime(2000, 1, 1, 12, tzinfo=UTC)


@pytest.fixture
def target(observer) -> Target:
    """A target of the observer's, opposite to the mean Sun on the equator: every site sees it cross at midnight."""
    days = (datetime.now(UTC) - _J2000) / timedelta(days=1)
    made = Target.objects.create(name="midnight", type="SIDEREAL", ra=(100.46 + 0.9856474 * days) % 360, dec=0.0)
    made.give_user_access(observer)
    return made


def airmass(ra: float, dec: float, latitude: float, longitude: float, moment: datetime) -> float:
    """Secant of the zenith distance of a position (deg) at a site (deg, east); below the horizon it is negative.

    From mean sidereal time and precession in closed form (Meeus 1998, equation 12.4 and chapter 21, to first order).
    """
    days = (moment - _J2000) / timedelta(days=1)
    sidereal = 280.46061837 + 360.98564736629 * days + longitude
    years, alpha, delta = days / 365.25, math.radians(ra), math.radians(dec)
    ra += years * (3.075 + 1.336 * math.sin(alpha) * math.tan(delta)) * 15 / 3600
    dec += years * 20.04 * math.cos(alpha) / 3600
    hour_angle, delta, phi = (math.radians(angle) for angle in (sidereal - ra, dec, latitude))
    return 1.0 / (math.sin(phi) * math.sin(delta) + math.cos(phi) * math.cos(delta) * math.cos(hour_angle))


def test_airmass_is_that_of_the_closed_form(target) -> None:
    """Every airmass of a night plan of today agrees with the closed form to 0.5 %, at all of LCO's sites."""
    start = datetime.now(UTC).replace(tzinfo=None)
    plan = get_sidereal_visibility(target, start, start + timedelta(days=1), 30, 2.5, "LCO")
    sites = get_service_class("LCO")().get_observing_sites()
    assert {name.removeprefix("(LCO) ") for name in plan} == set(sites)
    for name, (times, values) in plan.items():
        site = sites[name.removeprefix("(LCO) ")]
        seen = [(moment, value) for moment, value in zip(times, values, strict=True) if value is not None]
        assert len(seen) > 4, f"{name}: more than two hours of the night"
        for moment, value in seen:
            found = airmass(target.ra, target.dec, site["latitude"], site["longitude"], moment.replace(tzinfo=UTC))
            assert value == pytest.approx(found, rel=5e-3)


def test_pages_with_a_plan(client, observer, portal, target) -> None:
    """The request page and the plan on a target's page come with a plot, whatever today is."""
    client.force_login(observer)
    request = client.get(f"{reverse('tom_observations:create', args=['LCO'])}?target_id={target.pk}")
    assert request.status_code == 200
    assert "Airmass" in request.content.decode()
    now = datetime.now(UTC)
    span = {"start_time": f"{now:%Y-%m-%d %H:%M:%S}", "end_time": f"{now + timedelta(days=1):%Y-%m-%d %H:%M:%S}"}
    plan = client.get(reverse("tom_targets:detail", args=[target.pk]), span | {"airmass": 2.5})
    assert plan.status_code == 200
    assert "plotly-graph-div" in plan.content.decode()
