"""What an observer does, in a real browser: log in, query, make a target, submit a request, see a retraction."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from mma_pipeline.tom import withdrawal
from mma_pipeline.tom.demo.event import SimulatedEvent
from mma_pipeline.tom.demo.portal import PROPOSAL

from .conftest import deliver

NIGHT = datetime(2026, 11, 22, 3, tzinfo=UTC)


def log_in(page: Page, url: str) -> None:
    """With name and password."""
    page.goto(f"{url}/targets/")
    page.fill("input[name=login]", "observer")
    page.fill("input[name=password]", "see the sky")
    page.click("button[type=submit]:has-text('Sign In')")
    page.wait_for_url("**/targets/**")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_from_login_to_retraction(live_server, page, observer, portal) -> None:
    """The whole way of an observer; at its end the request is withdrawn at the portal."""
    url = live_server.url
    event = SimulatedEvent(event_id="S261121a", candidate="AT2026mma")
    sent = [event.announcement(), *event.score(0.42, NIGHT, 17.1)]
    sent += event.score(0.97, NIGHT + timedelta(days=1), 17.9)
    faint = SimulatedEvent(event_id="S261121a", candidate="AT2026faint", ra=198.0, dec=-23.0)
    deliver(*sent, *faint.score(0.05, NIGHT))

    log_in(page, url)
    page.click("nav >> text=Derived alerts")
    page.fill("input[name=min_kilonova_probability]", "0.9")
    page.fill("input[name=event]", "S261121a")
    page.check("input[name=only_significant]")
    for name, value in (("ra", "197.4"), ("dec", "-23.4"), ("radius", "2")):
        page.fill(f"input[name={name}]", value)
    page.click("#submit-id-submit")
    rows = page.locator("#mma-results tbody tr")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("AT2026mma")
    expect(rows).to_contain_text("0.970")
    expect(rows).to_contain_text("17.90 r")

    page.check("input[name=selected_results]")
    page.click("text=Create Targets")
    expect(page.locator("#mma-status")).to_contain_text("Kilonova probability 0.970")
    target = Target.objects.get()
    assert page.url.split("?")[0] == f"{url}/targets/{target.pk}/"
    page.click("a[role=tab]:has-text('Alerts')")
    expect(page.locator("#mma-alerts")).to_contain_text("90 % region 31.9 deg²")
    link = page.locator("#mma-alerts a:has-text('skymap.fits.gz')")
    expect(link).to_have_attribute("href", f"{event.products}/S261121a/skymap.fits.gz")
    picture = os.environ.get("TOM_PICTURE")
    if picture:
        page.screenshot(path=Path(picture), clip={"x": 0, "y": 0, "width": 1280, "height": 760})

    page.goto(f"{url}/observations/LCO/create/?target_id={target.pk}")
    form = page.locator("form:has(input[name=observation_type][value=IMAGING])")
    now = datetime.now(UTC)
    form.locator("[name=name]").fill("first look")
    form.locator("[name=proposal]").select_option(PROPOSAL)
    for name, moment in (("start", now), ("end", now + timedelta(days=2))):
        form.locator(f"[name={name}_0]").fill(f"{moment:%Y-%m-%d}")
        form.locator(f"[name={name}_1]").fill("12:00")
    form.locator("[name=c_1_instrument_type]").select_option("1M0-SCICAM-SINISTRO")
    form.locator("[name=c_1_configuration_type]").select_option("EXPOSE")
    form.locator("[name=c_1_ic_1_exposure_time]").fill("120")
    form.locator("[name=c_1_ic_1_filter]").select_option("rp")
    form.locator("input[type=submit][name=submit]").click()
    page.wait_for_url(f"{url}/targets/{target.pk}/?tab=observations")
    record = ObservationRecord.objects.get()
    assert portal.groups[1]["requests"][0]["configurations"][0]["target"]["ra"] == event.ra

    deliver(*event.retractions(*(m.id for m in sent)))
    assert withdrawal.run()["done"] == 1
    page.goto(f"{url}/targets/{target.pk}/")
    expect(page.locator("#mma-status")).to_contain_text("Retracted.")
    expect(page.locator("#mma-status")).to_contain_text(f"Request {record.observation_id} at LCO: withdrawn.")
    assert portal.groups[1]["state"] == "CANCELED"
    page.goto(f"{url}/targets/")
    expect(page.locator("table")).to_contain_text("retracted")
