"""Derived alerts in the forms of GCN and Hermes: valid by the receivers' schemas, with the alert's facts and nothing else."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from importlib import resources
from uuid import UUID

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from referencing import Registry, Resource

from mma_pipeline.notices import derived
from mma_pipeline.notices.coincidence import Coincidence
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.outgoing.gcn import unified
from mma_pipeline.notices.outgoing.hermes import hermes_message
from mma_pipeline.notices.outgoing.points import MOST, points_of
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement
from mma_pipeline.notices.photometry.message import parse
from mma_pipeline.notices.times import mjd_of
from tests.notices.test_derived import FULL
from tests.services.hermes import check_message

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = UUID(int=7)
AT = Candidate("AT2017gfo", 197.450374, -23.381495)
MEASURED = (
    Measurement(AT, 57983.0, "i", 17.48, 0.02, telescope="CTIO 4m", instrument="DECam"),
    Measurement(AT, 57982.5, "g", 21.0, None, upper_limit=True, instrument="DECam"),
    Measurement(AT, 57984.0, "r", 17.99, None),
    Measurement(AT, 57990.0, "r", 20.5, 0.1, instrument="DECam"),
)
SCORE = derived.CandidateScore("AT2017gfo", AT.ra, AT.dec, 57984.0, 0.9, 0.1, aliases=("SSS17a",), redshift=0.0098)
CANDIDATE = derived.DerivedAlert(derived.DerivedKind.CANDIDATE, "S230518h", version=FULL.version, candidate=SCORE)
PAIR = derived.DerivedAlert(
    derived.DerivedKind.COINCIDENCE,
    "S230518h",
    version=FULL.version,
    event=FULL.event,
    coincidence=Coincidence("Fermi_706193951", "Fermi_706193951-Initial-x", "CBC with GRB", -1.7, 3e-9),
)
WITHDRAWAL = derived.retraction_of(ID, "S230518h", version=FULL.version, reason="retracted by LVK")
POINTS = points_of(MEASURED, SCORE.time_obs)


def _core() -> Registry[object]:
    folder = resources.files("mma_pipeline.notices").joinpath("schemas/gcn")
    found = [json.loads(entry.read_text()) for entry in folder.iterdir()]
    return Registry().with_resources((one["$id"], Resource.from_contents(one)) for one in found)


def test_points_are_what_was_used() -> None:
    """Photometry goes out by time, up to the latest observation of the score, the latest ones if there are many."""
    assert [(p["mjd"], p["band"]) for p in POINTS] == [(57982.5, "g"), (57983.0, "i"), (57984.0, "r")]
    assert POINTS[2] == {"mjd": 57984.0, "band": "r", "magnitude": 17.99, "upper_limit": False}
    many = [replace(MEASURED[0], mjd=57000.0 + n) for n in range(MOST + 5)]
    assert [p["mjd"] for p in points_of(many, 1e6)] == [57005.0 + n for n in range(MOST)]


@pytest.mark.parametrize("alert", [FULL, CANDIDATE, PAIR, WITHDRAWAL, replace(FULL, event_id="MS230518h")])
def test_unified_notices_are_made_of_the_core_schemas(alert: derived.DerivedAlert) -> None:
    """Every kind of alert is valid by each core schema of GCN, and has no key that none of them knows."""
    found = unified(alert, POINTS, NOW, ID)
    names = (
        "Alert",
        "Reporter",
        "Event",
        "DateTime",
        "Localization",
        "Distance",
        "Statistics",
        "FollowUp",
        "AdditionalInfo",
    )
    base, registry = "https://gcn.nasa.gov/schema/v7.2.3/gcn/notices/core/", _core()
    known = {"data"}
    for name in names:
        schema = {"$ref": f"{base}{name}.schema.json"}
        jsonschema.Draft202012Validator(schema, registry=registry).validate(found)
        known |= registry[f"{base}{name}.schema.json"].contents["properties"].keys()  # type: ignore[index]
    assert found.keys() <= known
    assert found["alert_tense"] == ("test" if alert.is_test else "current")
    assert found["id"] == str(ID)
    json.dumps(found, allow_nan=False)


def test_unified_notice_has_the_facts() -> None:
    """Time, rate, classes, place, distance and map are those of the alert; classes only where they add up to one."""
    found = unified(FULL, [], NOW, ID)
    assert found["trigger_time"] == "2023-05-18T12:59:08.167000Z"
    assert (found["far"], found["ref_ID"], found["alert_type"]) == (3.2e-10, "S230518h", "update")
    assert (found["ra"], found["dec"], found["luminosity_distance"]) == (95.7, -10.9, 277.9)
    assert found["healpix_url"] == "https://x/fit/a.fits.gz"
    assert "classification" not in found, "0.86 alone is no sum of one"
    assert FULL.event is not None
    whole = replace(FULL.event, classification={"NSBH": 0.86, "BBH": 0.04, "Terrestrial": 0.1})
    sure = unified(replace(FULL, event=whole), [], NOW, ID)
    assert sure["classification"] == whole.classification
    assert sure["p_astro"] == pytest.approx(0.9)
    assert unified(PAIR, [], NOW, ID)["far"] == 3e-9
    gone = unified(WITHDRAWAL, [], NOW, ID)
    assert (gone["alert_type"], gone["reference"]["mma.derived-alert"]) == ("retraction", str(ID))


def test_unified_candidate_is_as_an_optical_alert() -> None:
    """A candidate has its place, names, probabilities and measurements; limits are limits."""
    data = unified(CANDIDATE, POINTS, NOW, ID)["data"]
    (target,) = data["targets"]
    assert target["event_name"] == ["AT2017gfo", "SSS17a"]
    assert target["gcn_crossmatch"][0]["ref_ID"] == "S230518h"
    limit, first, _ = data["photometry"]
    assert (limit["limiting_mag"], "mag" in limit) == (21.0, False)
    assert (first["mag"], first["mag_error"], first["filter"]) == (17.48, 0.02, "i")
    assert first["observation_start"] == "2017-08-18T00:00:00.000000Z"


def test_what_does_not_fit_is_refused() -> None:
    """A notice that would break the schema is an error that says where, not a message."""
    broken = [{**POINTS[0], "band": 5}]
    with pytest.raises(NoticeError, match=r"data\.photometry\.0"):
        unified(CANDIDATE, broken, NOW, ID)


def test_hermes_takes_what_we_send_and_we_read_it_back() -> None:
    """A candidate's message passes Hermes's checks; our own reader of Hermes messages finds the same measurements in it."""
    body = hermes_message(CANDIDATE, POINTS, "mma.candidates")
    check_message(body)
    assert body["data"]["kilonova"]["kilonova_probability"] == 0.9
    notice = parse(json.dumps(body).encode())
    back = {(round(m.mjd, 6), m.band, m.magnitude, m.upper_limit) for m in notice.measurements}
    # The point without telescope and instrument is one that Hermes would refuse.
    assert back == {(57982.5, "g", 21.0, True), (57983.0, "i", 17.48, False)}
    assert notice.event_id == "S230518h"
    assert mjd_of(body["data"]["photometry"][1]["date_obs"]) == 57983.0
    mock = hermes_message(replace(CANDIDATE, event_id="MS230518h"), POINTS, "t")
    assert mock["title"].startswith("TEST: ")


def test_hermes_withdrawal_names_the_message() -> None:
    """A withdrawal refers to the message by its Hopskotch id; other alerts have no Hermes message."""
    body = hermes_message(WITHDRAWAL, [], "t")
    check_message(body)
    assert body["data"]["references"] == [{"source": "hop_uuid", "citation": str(ID)}]
    with pytest.raises(NoticeError, match="candidates"):
        hermes_message(FULL, [], "t")


def test_the_checks_find_faults() -> None:
    """The stand-in of Hermes refuses what the real one does."""
    body = hermes_message(CANDIDATE, POINTS, "t")
    body["data"]["photometry"][0] |= {"target_name": "other"}
    with pytest.raises(ValidationError, match="target table"):
        check_message(body)


@given(
    ra=st.floats(0, 360, exclude_max=True),
    dec=st.floats(-90, 90),
    magnitude=st.floats(1, 30),
    error=st.none() | st.floats(1e-3, 2),
    limit=st.booleans(),
)
def test_any_candidate_is_valid(ra: float, dec: float, magnitude: float, error: float | None, limit: bool) -> None:
    """Whatever place and photometry a candidate has, both forms are valid."""
    place = Candidate("x", ra, dec)
    points = points_of([Measurement(place, 60000.0, "r", magnitude, error, limit, instrument="cam")], 60000.0)
    alert = replace(CANDIDATE, candidate=replace(SCORE, ra=ra, dec=dec))
    assert unified(alert, points, NOW, ID)["data"]["targets"][0]["ra"] == ra
    check_message(hermes_message(alert, points, "t"))
