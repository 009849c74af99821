"""The requests of an event as the pipeline reads them: behind a token, in the Treasure Map's form, with what became of them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from tom_observations.models import ObservationRecord
from tom_targets.models import Target

from mma_pipeline.notices.footprints import parse_footprint
from mma_pipeline.notices.pointings import Status, of_tom
from mma_pipeline.tom.pointings import rows

from .conftest import NIGHT, deliver

pytestmark = pytest.mark.django_db
TOKEN = "a token that only the tests know"


@pytest.fixture
def told(settings) -> None:
    """The TOM tells pointings to those who hold the token."""
    settings.MMA_TOM = settings.MMA_TOM | {"pointings_token": TOKEN}


def ask(client, event: str, token: str = TOKEN):
    """The answer of the address."""
    return client.get("/api/mma/pointings/", {"graceid": event}, headers={"Authorization": f"Bearer {token}"})


def test_a_request_is_a_pointing(requested, client, event, told) -> None:
    """Position, instrument, band and field of the request as submitted; planned at the begin of its window."""
    client.logout()
    (row,) = ask(client, event.event_id).json()
    pointing = of_tom(row)
    assert (pointing.source, pointing.source_id) == ("tom", f"{requested.pk}-1")
    assert (pointing.ra, pointing.dec) == pytest.approx((event.ra, event.dec))
    assert (pointing.instrument, pointing.band, pointing.status) == ("1M0-SCICAM-SINISTRO", "rp", Status.PLANNED)
    assert pointing.time == datetime.fromisoformat(requested.parameters["start"]).replace(tzinfo=UTC)
    # 26.5 arcmin on a side, by the observatory's page.
    (corners,) = pointing.footprint.polygons
    assert {abs(value) for corner in corners for value in corner} == {0.220833}
    assert (row["request"], row["target"], row["depth"]) == (requested.observation_id, event.candidate, None)
    assert ask(client, "S240422ed").json() == []


@pytest.mark.parametrize(
    ("state", "status"),
    [("PENDING", "planned"), ("COMPLETED", "completed"), ("CANCELED", "cancelled"), ("WINDOW_EXPIRED", "cancelled")],
)
def test_what_became_of_it(requested, event, told, state: str, status: str) -> None:
    """The facility's state decides; the time is the scheduled one, and nothing stands for one that is not known."""
    requested.status = state
    requested.save()
    (row,) = rows(event.event_id)
    assert row["status"] == status
    assert (row["time"] is None) == (status == "completed")
    requested.scheduled_start = NIGHT
    requested.save()
    (row,) = rows(event.event_id)
    assert row["time"] == "2026-11-22T03:00:00"


def test_only_the_token_opens(requested, client, event, told, settings, observer) -> None:
    """Neither a wrong token nor a session opens the address, nor does it write; without a token the TOM has none."""
    for strategy in ("LOCKED", "READ_ONLY"):
        settings.AUTH_STRATEGY = strategy
        client.force_login(observer)
        assert client.get("/api/mma/pointings/", {"graceid": event.event_id}).status_code == 401
        for wrong in ("", "wrong", TOKEN[:-1], TOKEN + "x", "ü"):
            answer = ask(client, event.event_id, wrong)
            assert answer.status_code == 401
            assert TOKEN not in answer.content.decode()
    assert ask(client, "").status_code == 400
    assert client.post("/api/mma/pointings/", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 405
    settings.MMA_TOM = settings.MMA_TOM | {"pointings_token": ""}
    client.logout()
    assert ask(client, event.event_id).status_code == 404
    assert ask(client, event.event_id, "").status_code == 404


def record(event, parameters: dict[str, object], facility: str = "LCO") -> None:
    """A request for the event's candidate with these parameters."""
    deliver(*event.score(0.9, NIGHT))
    ObservationRecord.objects.create(
        target=Target.objects.get(), facility=facility, parameters=parameters, observation_id="1", status="PENDING"
    )


def test_every_band_is_a_pointing(event, auto_targets) -> None:
    """Several exposures, a camera of four bands, and a sequence of filters are a pointing in each band."""
    record(event, {"c_1_instrument_type": "1M0-SCICAM-SINISTRO", "c_1_ic_1_exposure_time": 30, "c_1_ic_1_filter": "gp",
                   "c_1_ic_2_exposure_time": 60, "c_1_ic_2_filter": "ip", "c_1_ic_3_exposure_time": None,
                   "c_2_instrument_type": "2M0-SCICAM-MUSCAT", **{f"c_2_ic_1_exposure_time_{b}": 9 for b in "griz"},
                   "c_3_instrument_type": "2M0-FLOYDS-SCICAM", "c_3_configuration_type": "SPECTRUM",
                   "c_3_ic_1_exposure_time": 900})  # fmt: skip
    found = list(rows(event.event_id))
    assert [row["band"] for row in found] == ["gp", "ip", "gp", "ip", "rp", "zs"]
    assert len({row["id"] for row in found}) == 6
    assert [row["instrument_name"][:3] for row in found] == ["1M0"] * 2 + ["2M0"] * 4
    ObservationRecord.objects.all().delete()
    record(event, {"instrument_type": "1M0-SCICAM-SINISTRO", "gp": [120, 1, 1], "rp": [60, 2, 1], "ip": []})
    assert [row["band"] for row in rows(event.event_id)] == ["gp", "rp"]
    ObservationRecord.objects.all().delete()
    record(event, {"observation_type": "SPECTRA", "instrument_type": "2M0-FLOYDS-SCICAM"})
    assert list(rows(event.event_id)) == []


def test_no_footprint_is_invented(event, auto_targets) -> None:
    """An instrument without a source, and a mosaic, have no field; a readout mode has its own."""
    camera = {"c_1_ic_1_exposure_time": 30, "c_1_ic_1_filter": "w"}
    record(event, camera | {"c_1_instrument_type": "0M8-NRES-SCICAM"})
    record(event, camera | {"c_1_instrument_type": "1M0-SCICAM-SINISTRO", "mosaic_pattern": "grid"})
    record(event, camera | {"c_1_instrument_type": "0M4-SCICAM-QHY600", "c_1_ic_1_readout_mode": "central30x30"})
    unknown, mosaic, window = rows(event.event_id)
    assert unknown["footprint"] is mosaic["footprint"] is None
    (corners,) = parse_footprint(window["footprint"]).polygons
    assert {abs(value) for corner in corners for value in corner} == {0.25}


def test_a_facility_that_is_gone_stops_nothing(event, auto_targets, caplog) -> None:
    """A request of a facility that is not configured any more is left out and named; the others are told."""
    record(event, {}, facility="GONE")
    record(event, {"c_1_ic_1_exposure_time": 30})
    assert [row["facility"] for row in rows(event.event_id)] == ["LCO"]
    assert "GONE" in caplog.text


def test_another_target_of_the_request(event, auto_targets) -> None:
    """A configuration that names a target of its own points there."""
    other = Target.objects.create(name="elsewhere", type="SIDEREAL", ra=12.5, dec=-3.25)
    deliver(*event.score(0.9, NIGHT))
    ObservationRecord.objects.create(
        target=Target.objects.exclude(pk=other.pk).get(), facility="LCO", observation_id="1", status="PENDING",
        parameters={"c_1_ic_1_exposure_time": 30, "c_1_target_override": other.pk},
    )  # fmt: skip
    (row,) = rows(event.event_id)
    assert (row["position"], row["target"]) == ("POINT(12.5 -3.25)", "elsewhere")
