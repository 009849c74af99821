"""Bodies for GWTM: everything that the site would refuse or break on is found before sending."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.adapters.publishing.gwtm_fields import alert_row, galaxies_body, icecube_body
from mma_pipeline.notices import derived
from tests.adapters.publishing.helpers import SHARED
from tests.notices.test_derived import FULL, VERSION
from tests.services.gwtm_schemas import LENGTHS, Alert, GalaxyList, NoticeBody

ICECUBE = SHARED / "data" / "icecube"
EXTERNAL = replace(
    FULL,
    version=replace(VERSION, label="Update-ExtCoinc"),
    external=derived.CoincidenceSummary("Fermi", "524666471", ivorn="ivo://x", time_difference=2.0),
)


def row(alert: derived.DerivedAlert, skymap_key: str | None = "fit/x.fits.gz") -> dict[str, Any]:
    """Fields for an alert."""
    return dict(alert_row(alert, observing_run="O4", skymap_key=skymap_key).fields)


@pytest.mark.parametrize(
    ("label", "packet"),
    [("EarlyWarning", 163), ("Preliminary", 150), ("Initial", 151), ("Update", 152), ("Retraction", 164),
     ("Update-ExtCoinc", 666), ("Initial-ExtCoinc", 666)],
)  # fmt: skip
def test_packet_types_are_gcns(label: str, packet: int) -> None:
    """Each kind of notice has GCN's number; rows of combined maps have the site's 666."""
    assert row(replace(FULL, version=replace(VERSION, label=label)))["packet_type"] == packet


def test_absent_values_are_absent() -> None:
    """A retraction has no event, no map: nothing but identity is sent, no zeros and no placeholders."""
    bare = derived.DerivedAlert(derived.DerivedKind.VERSION, "MS181101ab", version=replace(VERSION, label="Retraction"))
    assert row(bare, None) == {
        "observing_run": "O4",
        "description": "O4 Alert",
        "role": "test",
        "graceid": "MS181101ab",
        "alert_type": "Retraction",
        "packet_type": 164,
        "timesent": "2023-05-18T15:41:16.000000",
    }


def test_external_fields_only_on_the_combined_row() -> None:
    """The main row says nothing of the coincidence, its own row all of it."""
    assert "ext_coinc_observatory" not in row(FULL)
    assert row(EXTERNAL)["gcn_notice_id"] == 524666471
    assert row(EXTERNAL)["ivorn"] == "ivo://x"


@pytest.mark.parametrize("notice_id", ["01709130136x", str(2**31), "9" * 30, "-1", "²"])
def test_notice_ids_that_the_site_cannot_hold_are_left_out(notice_id: str) -> None:
    """Text or more than 32 bits would be a lasting 500: left out, and said so."""
    external = replace(EXTERNAL, external=derived.CoincidenceSummary("EP", notice_id))
    made = alert_row(external, observing_run="O4", skymap_key=None)
    assert "gcn_notice_id" not in made.fields
    assert any(note.startswith("gcn_notice_id left out") for note in made.notes)


def test_a_required_value_that_does_not_fit_is_an_error() -> None:
    """Without its id a row would be somebody else's: refused here, not at the site."""
    with pytest.raises(PermanentError, match="alert_type"):
        row(replace(FULL, version=replace(VERSION, label="Update" + "x" * 60 + "-ExtCoinc")))
    with pytest.raises(PermanentError, match="not a kind of alert"):
        row(replace(FULL, version=replace(VERSION, label="IceCube")))


_number = st.floats(allow_nan=True, allow_infinity=True)
_text = st.text(max_size=130)


@settings(max_examples=150, deadline=None)
@given(
    far=_number, area=_number, ra=_number, dec=_number, distance=_number, p=_number, group=_text,
    instruments=st.lists(_text, max_size=3), ivorn=_text, notice_id=_text, key=st.text(max_size=600),
)  # fmt: skip
def test_whatever_an_alert_holds_the_site_takes_it(
    far: float, area: float, ra: float, dec: float, distance: float, p: float, group: str,
    instruments: list[str], ivorn: str, notice_id: str, key: str,
) -> None:  # fmt: skip
    """Any values at all: the body passes the server's own model, fits its columns and is plain JSON."""
    assert FULL.event is not None
    event = replace(FULL.event, far=far, group=group, instruments=tuple(instruments), classification={"BNS": p})
    place = derived.Localisation(ra, dec, area, area, distance, distance)
    external = derived.CoincidenceSummary("x", notice_id, ivorn=ivorn, time_difference=far)
    alert = replace(EXTERNAL, event=event, localisation=place, external=external)
    fields = row(alert, key)
    json.dumps(fields, allow_nan=False)
    Alert.model_validate(fields)
    assert all(len(fields.get(name) or "") <= longest for name, longest in LENGTHS.items())
    assert abs(fields.get("gcn_notice_id") or 0) < 2**31


def test_rounding_above_one_is_one() -> None:
    """A probability of 1.0000000002 is sent as 1: the site refuses anything above."""
    assert FULL.event is not None
    alert = replace(FULL, event=replace(FULL.event, classification={"BNS": 1.0000000002, "NSBH": 1.1}))
    assert row(alert)["prob_bns"] == 1.0
    assert "prob_nsbh" not in row(alert)


def test_galaxies_follow_the_servers_model() -> None:
    """Ranks count from one, no invented DOI is asked for, and one bad entry is an error that names it."""
    galaxy = {"name": "NGC 4993", "ra": 197.448, "dec": -23.384, "score": 0.3, "info": {"Mstar": 5e10, "x": math.nan}}
    body = galaxies_body(FULL, [galaxy] * 3, groupname="g", reference="https://x")
    GalaxyList.model_validate(body)
    assert [entry["rank"] for entry in body["galaxies"]] == [1, 2, 3]
    assert body["galaxies"][0]["info"] == {"Mstar": 5e10}
    assert body["request_doi"] is False
    assert len(galaxies_body(FULL, [galaxy] * 5000, groupname="g", reference="x")["galaxies"]) == 1000
    for bad in ({"ra": None}, {"dec": 95.0}, {"score": math.nan}):
        with pytest.raises(PermanentError, match="galaxy 2"):
            galaxies_body(FULL, [galaxy, galaxy | bad], groupname="g", reference="https://x")


@pytest.mark.skipif(not ICECUBE.is_dir(), reason="../shared/data/icecube is not here")
def test_icecube_of_the_new_schema() -> None:
    """Positions inside `localization`, scalar errors, null p-values: all of it arrives."""
    record = json.loads((ICECUBE / "lvk_nu_track_search.example.json").read_text())
    body = icecube_body(record)
    NoticeBody.model_validate(body)
    assert body["notice_data"]["ref_id"] == "S230914ak-2-Preliminary"
    assert body["notice_data"]["graceid"] == "S230914ak"
    assert body["notice_data"]["flux_sens_high"] == 0.647
    first, second = body["events_data"]
    assert (first["ra"], first["dec"], first["ra_uncertainty"]) == (17.48, 16.15, 0.5)
    assert first["event_pval_bayesian"] is None
    assert second["event_dt"] == 222.46


def test_icecube_of_the_old_schema_and_without_events() -> None:
    """Flat positions with a list of errors; an integer reference; no events is an upper limit and no crash."""
    old = {
        "reference": {"gcn.notices.LVK.alert": 4642},
        "ref_ID": "MS230427r",
        "pval_generic": "null",
        "most_probable_direction": None,
        "coincident_events": [{"event_dt": 1.0, "ra": 345.82, "dec": 9.01, "ra_uncertainty": [0.51], "uncertainty_shape": "circle"}],
    }  # fmt: skip
    body = icecube_body(old)
    NoticeBody.model_validate(body)
    assert body["notice_data"]["ref_id"] == "4642"
    assert body["notice_data"]["pval_generic"] is None
    assert body["events_data"][0]["ra_uncertainty"] == 0.51
    for events in (None, []):
        assert icecube_body(old | {"coincident_events": events})["events_data"] == []
    with pytest.raises(PermanentError, match="names no superevent"):
        icecube_body({"ref_ID": "S1"})


def test_times_are_utc_without_zone() -> None:
    """The site stores naive UTC; a time with another zone is converted, not cut."""
    record = {
        "reference": {"gcn.notices.LVK.alert": "x"},
        "ref_ID": "S230914ak",
        "alert_datetime": "2023-09-14T13:49:16.526+02:00",
        "observation_start": "soon",
    }
    notice = icecube_body(record)["notice_data"]
    assert notice["alert_datetime"] == "2023-09-14T11:49:16.526000"
    assert notice["observation_start"] is None
    later = replace(VERSION, created=datetime(2023, 5, 18, 15, 41, 16, 5, tzinfo=UTC))
    assert row(replace(FULL, version=later))["timesent"] == "2023-05-18T15:41:16.000005"
