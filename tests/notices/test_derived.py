"""The alerts that we publish: schema, ids, headers, round trip."""

from __future__ import annotations

import contextlib
import json
import math
import uuid
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_pipeline.notices import derived, icecube_summary
from mma_pipeline.notices.errors import NoticeError

CREATED = datetime(2023, 5, 18, 15, 41, 16, tzinfo=UTC)
V1 = derived.BrokerAlertV1("AT2017gfo", 197.450374, -23.381495, 57983.000001, 0.98, 0.02)
VERSION = derived.VersionRef("S230518h-Update-20230518T154116-0123456789", "Update", CREATED, "S230518h-Update")
FULL = derived.DerivedAlert(
    derived.DerivedKind.VERSION,
    "S230518h",
    version=VERSION,
    event=derived.EventSummary(
        datetime(2023, 5, 18, 12, 59, 8, 167000, tzinfo=UTC),
        far=3.2e-10,
        significant=True,
        instruments=("H1", "L1"),
        group="CBC",
        pipeline="pycbc",
        search="AllSky",
        classification={"NSBH": 0.86, "BBH": 0.0},
        properties={"HasNS": 1.0},
    ),
    localisation=derived.Localisation(95.7, -10.9, 179.7, 666.0, 277.9, 68.3),
    external=derived.CoincidenceSummary("Fermi", "524666471", time_difference=2.02),
    products=(derived.ProductLink("skymap", "https://x/fit/a.fits.gz", "a" * 64, 611532, "application/fits"),),
)


def test_v1_is_what_the_old_consumers_read() -> None:
    """Body and headers are those of the demo's broker: six fields; sender, schema, time, id."""
    assert json.loads(derived.encode(V1)) == {
        "candidate": "AT2017gfo",
        "ra": 197.450374,
        "dec": -23.381495,
        "time_obs": 57983.000001,
        "kn_score": 0.98,
        "other_score": 0.02,
    }
    headers = derived.headers_v1(V1, datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone(timedelta(hours=1))))
    assert set(headers) == {"sender", "schema", "time", "id"}
    assert headers["sender"] == "alert-integration-demo"
    assert headers["schema"] == "scimma.alert-integration-demo/broker/v1"
    # The demo's TOM parses with this format, which fails on a whole second printed without a fraction.
    parsed = datetime.strptime(headers["time"], "%Y-%m-%d %H:%M:%S.%f").replace(tzinfo=UTC)
    assert parsed == datetime(2026, 1, 2, 2, 4, 5, tzinfo=UTC)
    assert uuid.UUID(hex=headers["id"]) == derived.message_id(V1)


def test_v2_follows_its_schema() -> None:
    """Every kind of message that we build is valid by the published schema, and comes back equal."""
    validator = jsonschema.Draft202012Validator(derived.json_schema_v2())
    validator.check_schema(derived.json_schema_v2())
    candidate = derived.DerivedAlert(
        derived.DerivedKind.CANDIDATE,
        "MS181101ab",
        candidate=derived.CandidateScore("AT2017gfo", 197.45, -23.38, 57983.1, 0.9, 0.1, "kn/1", 0.4),
    )
    retraction = derived.retraction_of(derived.message_id(V1), "S230518h", version=VERSION, reason="retracted by LVK")
    search = icecube_summary.NeutrinoSearch(
        "IceCube",
        "S230518h-2-Preliminary",
        2,
        0.0191,
        map_version=VERSION.partition_key,
        tracks=(
            icecube_summary.NeutrinoTrack(17.48, 16.15, 0.5, 0.9, 12.91, 0.0191, None, 0.1, 0.2, 3.0, 0.01, 0.02),
            icecube_summary.NeutrinoTrack(time_offset=-3.0),
        ),
    )
    neutrinos = derived.DerivedAlert(derived.DerivedKind.VERSION, "S230518h", version=VERSION, neutrinos=search)
    limit = replace(neutrinos, neutrinos=icecube_summary.NeutrinoSearch("IceCube", "4642", 0))
    for alert in (FULL, candidate, retraction, neutrinos, limit):
        record = json.loads(derived.encode(alert))
        validator.validate(record)
        assert derived.DerivedAlert.from_json(record) == alert
        assert derived.decode_v2(derived.encode(alert)) == alert
    assert candidate.is_test
    assert not FULL.is_test


def test_schema_refuses_what_is_wrong() -> None:
    """A retraction without target, a probability over one and a declination over 90 are invalid."""
    validator = jsonschema.Draft202012Validator(derived.json_schema_v2())
    good = FULL.to_json()
    bad = [
        good | {"kind": "retraction"},
        good | {"retracts": str(uuid.uuid4())},
        good | {"event": good["event"] | {"classification": {"BNS": 1.2}}},
        good | {"localisation": {"dec": 91}},
        good | {"event_id": "../../x"},
        {k: v for k, v in good.items() if k != "version"},
    ]
    assert [validator.is_valid(record) for record in bad] == [False] * len(bad)


def test_id_depends_on_content_alone() -> None:
    """The id is the same in every process, differs where content differs, and ignores when it was published."""
    assert derived.message_id(V1) == uuid.UUID(derived.headers_v1(V1, CREATED)["id"])
    again = replace(FULL, event=replace(FULL.event, classification={"BBH": 0.0, "NSBH": 0.86}))  # type: ignore[type-var]
    assert derived.message_id(again) == derived.message_id(FULL)
    assert derived.message_id(replace(FULL, event_id="S230518i")) != derived.message_id(FULL)
    assert derived.message_id(FULL).version == 5
    # Frozen: a change of the id breaks de-duplication for every consumer.
    assert str(derived.message_id(V1)) == "c00ad3c5-9678-54b9-9c1b-2291e147fdfb"


def test_not_a_number_is_refused() -> None:
    """NaN is not JSON; it is an error here and never on the wire."""
    with pytest.raises(ValueError, match=r"[Oo]ut of range"):
        derived.encode(replace(V1, kn_score=math.nan))


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda x: (
            st.lists(x, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["kind", "event_id", "version", "event", "products", "candidate", "time", "created", "name"]
                ),
                x,
                max_size=4,
            )
        ),
        max_leaves=12,
    )
)
def test_reading_garbage_raises_one_error(value: object) -> None:
    """Whatever a message holds, reading it gives an alert or a NoticeError, nothing else."""
    record = {"schema": derived.SCHEMA_V2, "kind": "version", "event_id": "S230518h"}
    record |= value if isinstance(value, dict) else {"products": value}
    with contextlib.suppress(NoticeError):
        derived.DerivedAlert.from_json(record)
