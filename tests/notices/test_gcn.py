"""Notices of GCN's core schema: each stream's trigger, localisation and kind, and what is no notice of any."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.gcn.localisation import Shape
from mma_pipeline.notices.gcn.notice import CoreNotice, parse_core
from mma_pipeline.notices.gcn.streams import CORE_STREAMS, core_stream, stream_for, stream_named, stream_of_message
from mma_pipeline.notices.gcn.words import localisation_words, trigger_words
from mma_pipeline.notices.key import EventVersion, FileStem, check_any_event_id, check_event_id
from mma_pipeline.notices.model import AlertType, Role, role_of
from mma_pipeline.notices.trigger_ids import LONGEST, TRIGGER_ID, TRIGGERS, observatory_of, trigger_event
from mma_pipeline.products.notices import notice_summary
from mma_pipeline.settings import NoticeSettings
from tests.gcn_notices import FOLDER, NOTICES, body, examples, needs_examples, record, svom, voevent

#: Published examples that are of no trigger, with the reason.
NOT_TRIGGERS = {
    "boom": "optical transients",
    "core": "parts of notices",
    "heasarc": "news of an archive",
    "lat": "flares of known blazars over a day",
    "lvk_nu_track_search": "a search after a superevent, read by a parser of its own",
    "kafka_alert_rubin": "an optical transient",
    "mchirp_source": "a part of an alert",
}


def parsed(stream: str, **changes: Any) -> tuple[CoreNotice, EventVersion]:
    """A notice of a stream, changed."""
    found = stream_named(stream)
    assert found is not None
    return parse_core(found, body(stream, **changes))


@pytest.mark.parametrize("stream", [stream for stream in CORE_STREAMS if stream.decode is None], ids=lambda s: s.name)
def test_each_stream_gives_its_event(stream: Any) -> None:
    """A notice is recognised without its topic, and is a version of its own trigger's event."""
    assert stream_for(record(stream.name)) is stream
    notice, version = parse_core(stream, body(stream.name))
    assert version.event_id == NOTICES[stream.name][1]
    assert observatory_of(version.event_id) == stream.observatory
    assert version.role is Role.OBSERVATION
    assert not notice.degraded
    assert EventVersion.from_partition_key(version.partition_key) == version
    test = parse_core(stream, body(stream.name, alert_tense="test"))[1]
    assert (test.role, test.event_id) == (Role.TEST, f"T{version.event_id}")


@pytest.mark.parametrize("stream", CORE_STREAMS, ids=lambda s: s.name)
def test_each_stream_has_topics_and_a_setting(stream: Any) -> None:
    """Every stream can be switched, and every topic belongs to one stream."""
    assert stream.name in NoticeSettings.model_fields
    assert all(core_stream(topic) is stream for topic in stream.topics)
    assert stream.observatory in TRIGGERS


@needs_examples
@pytest.mark.parametrize("path", examples(), ids=lambda path: str(path.relative_to(FOLDER)))
def test_every_published_example_parses(path: Any) -> None:
    """Each is a version of a trigger's event with a map or the reason why there is none; or is known to be of no trigger."""
    stream = stream_of_message(path.read_bytes())
    if stream is None:
        assert any(part in str(path.relative_to(FOLDER)) for part in NOT_TRIGGERS)
        return
    notice, version = parse_core(stream, path.read_bytes())
    # Some examples hold "stuff" or "hhhh..." for a map.
    assert all(line.startswith("healpix_file is not base64") for line in notice.degraded)
    assert len(version.event_id) <= LONGEST
    facts = notice_summary(notice)
    assert bool(facts["skymap_sha256"]) != bool(facts.get("no_map"))


@pytest.mark.parametrize(
    ("sent", "kind"),
    [
        ("initial", "Initial"),
        ("subsequent", "Initial"),
        ("update", "Update"),
        ("retraction", "Retraction"),
        (None, "Initial"),
    ],
)
def test_kinds(sent: str | None, kind: str) -> None:
    """The kinds of the core schema are those that gravitational-wave alerts have; a retraction has no map."""
    notice, version = parsed("chime_frb", alert_type=sent)
    assert version.label == kind
    assert (notice.shape is None) == (kind == "Retraction")


def test_an_unknown_kind_informs_and_withdraws_nothing() -> None:
    """It is read as an update, and named."""
    notice, version = parsed("chime_frb", alert_type="cancelled")
    assert version.label == "Update"
    assert "alert_type is 'cancelled'" in notice.degraded[0]


def test_shapes() -> None:
    """A radius is a circle; two axes an ellipse; four corners a rectangle; older keys are read too."""
    assert parsed("svom", ra_dec_error=0.3)[0].shape == Shape(150.0, 20.0, 0.3, 0.3, 0.0, 0.9)
    ellipse = parsed("svom", ra_dec_error=[0.3, 0.1, 200])[0].shape
    assert ellipse == Shape(150.0, 20.0, 0.3, 0.1, 20.0, 0.9)
    older = parsed("svom", ra_dec_error=None, position_a_error=0.3, position_b_error=0.1, position_error_pa=20)[0].shape
    assert older == ellipse
    assert parsed("svom", ra_dec_error=None, ra_uncertainty=[0.3])[0].shape == Shape(150.0, 20.0, 0.3, 0.3, 0.0, 0.9)
    corners = [[149.0, 19.0], [149.0, 21.0], [151.0, 21.0], [151.0, 19.0]]
    rectangle = parsed("svom", ra_dec_error=None, rectangular_error_corners=corners)[0].shape
    assert rectangle is not None
    assert (rectangle.kind, len(rectangle.corners)) == ("rectangle", 4)
    for shape in (ellipse, rectangle):
        assert shape is not None
        assert Shape.from_json(json.loads(json.dumps(shape.to_json()))) == shape
    # Without a containment it is 90 %, as the core schema says.
    assert parsed("svom", containment_probability=None)[0].shape == parsed("svom")[0].shape
    assert parsed("svom", ra_dec_error=None)[0].shape is None


def test_systematic_error_is_added_where_it_is_not_included() -> None:
    """Of GBM the model of Goldstein et al. 2020 by the burst's class, and the coarser one of flight positions."""
    short, long = (parsed("fermi_gbm", duration_class=c)[0].shape for c in ("SHORT", "LONG"))
    assert short is not None
    assert long is not None
    assert short.systematic == ((0.390, 2.55, 0.6827), (0.610, 4.43, 0.6827))
    assert long.systematic == ((0.579, 1.86, 0.6827), (0.421, 4.14, 0.6827))
    assert "Goldstein" in long.source
    flight = parsed("fermi_gbm", subtype="FLIGHT_POSITION", systematic_included=True)[0].shape
    assert flight is not None
    assert not flight.systematic
    unmodelled = parsed("fermi_gbm", subtype="FLIGHT_POSITION")[0].shape
    assert unmodelled is not None
    assert unmodelled.systematic[1][1] == 13.7
    assert short.digest != long.digest


def test_the_classic_voevent_is_the_same_event() -> None:
    """Trigger number, burst number, place, error and the address of the map come from the XML."""
    stream = stream_of_message(voevent())
    assert stream is not None
    assert stream.name == "fermi_gbm_classic"
    notice, version = parse_core(stream, voevent())
    assert (version.event_id, version.label) == ("Fermi_794059200", "Update")
    assert notice.names == ("794059200", "bn260301500")
    assert notice.shape is not None
    assert (notice.shape.semi_major, notice.shape.containment) == (4.0, 0.6827)
    assert (
        notice.skymap_url == "https://heasarc.gsfc.nasa.gov/FTP/bn260301500/quicklook/glg_healpix_all_bn260301500.fit"
    )
    # The first alert names no place of the source, whatever numbers it holds.
    alert = parse_core(stream, voevent(packet=110))[0]
    assert (alert.alert_type, alert.shape, alert.position) == (AlertType.INITIAL, None, None)
    assert parse_core(stream, voevent(role="test"))[1].event_id == "TFermi_794059200"


def svom_parsed(*args: Any, **options: Any) -> tuple[CoreNotice, EventVersion]:
    """A VOEvent of SVOM, its stream told by its content."""
    data = svom(*args, **options)
    stream = stream_of_message(data)
    assert stream is not None
    assert stream.name == "svom_voevent"
    return parse_core(stream, data)


def test_svom_sends_voevents() -> None:
    """Trigger, better position and retraction are versions of one event; the radius holds 90 %; -1 is no radius."""
    notice, version = svom_parsed()
    assert (version.event_id, version.label) == ("SVOM_sb26030101", "Initial")
    assert notice.shape == Shape(150.0, 20.0, 0.1, 0.1, 0.0, 0.9)
    assert notice.time == datetime(2026, 3, 1, 12, 0, 0, 250000, tzinfo=UTC)
    assert notice.created == datetime(2026, 3, 1, 12, 0, 50, tzinfo=UTC)
    assert (notice.pipeline, dict(notice.signal)) == ("ECLAIRs", {"snr": 12.5, "rate_duration_s": 20.4})
    later = svom_parsed(204, radius="0.05")[1]
    assert (later.event_id, later.label) == (version.event_id, "Update")
    gone, withdrawn = svom_parsed(219, retracts=True)
    assert (withdrawn.event_id, withdrawn.label, gone.shape) == (version.event_id, "Retraction", None)
    grm = svom_parsed(201, instrument="GRM", radius="-1.0")[0]
    assert (grm.shape, grm.position, grm.degraded) == (None, (150.0, 20.0), ())
    assert svom_parsed(role="test")[1].event_id == "TSVOM_sb26030101"


def test_svoms_telescopes_state_when_they_looked() -> None:
    """A position of MXT comes with the time of its exposure, which is not that of the burst."""
    looked = {"instrument": "MXT", "time": "2026-03-01T12:45:00"}
    assert svom_parsed(209, **looked)[0].time is None
    assert svom_parsed(209, **looked, t0="2026-03-01T12:00:01.500Z")[0].time == datetime(
        2026, 3, 1, 12, 0, 1, 500000, tzinfo=UTC
    )


def test_only_names_of_triggers_are_names() -> None:
    """A running number beside the trigger may be that of another one too: it joins no events. IceCube's name does."""
    assert parsed("fermi_gbm_targeted", id=["794059200123", "7"])[0].names == ("794059200123",)
    assert parsed("icecube_tracks")[0].names == ("141000_12345678", "260301A")
    named, version = parsed("icecube_tracks", id=["141000", "12345678"])
    assert (version.event_id, named.names) == ("IceCube_260301A", ("260301A",))


def test_map_addresses_lead_to_the_streams_own_servers() -> None:
    """No other server is asked, whatever an alert says; the address of a server alone is no map."""
    assert parsed("fermi_gbm")[0].skymap_url is not None
    for url in (
        "http://169.254.169.254/latest/meta-data",
        "file:///etc/passwd",
        "https://heasarc.gsfc.nasa.gov.example.org/a.fits",
        "https://user@heasarc.gsfc.nasa.gov/a.fits",
        "https://heasarc.gsfc.nasa.gov:8080/a.fits",
        "https://heasarc.gsfc.nasa.gov/" + "a" * 300,
        "http://[",
    ):
        notice = parsed("fermi_gbm", healpix_url=url)[0]
        assert notice.skymap_url is None
        assert "healpix_url" in notice.degraded[0]
    assert parsed("km3net", healpix_url="https://opendata.km3net.de/")[0].skymap_url is None


def test_event_ids_are_as_strict_as_those_of_superevents() -> None:
    """Only the patterns of known triggers are ids; none leaves its folder, splits a key or is longer than a column."""
    for text in (
        "Fermi_../../x",
        "Fermi_1",
        "Fermi-745121685",
        "fermi_745121685",
        "Fermi_745121685\n",
        "Nobody_123456",
        "",
    ):
        with pytest.raises(NoticeError):
            check_any_event_id(text)
        with pytest.raises(NoticeError):
            check_event_id(text)
    assert check_any_event_id("Fermi_745121685") == "Fermi_745121685"
    assert check_any_event_id("S230518h") == "S230518h"
    with pytest.raises(NoticeError):
        check_event_id("Fermi_745121685")
    with pytest.raises(NoticeError):
        trigger_event("Fermi", "../x", test=False)
    assert str(FileStem.parse("Fermi_745121685-Update-Map2")) == "Fermi_745121685-Update-Map2"
    # A superevent that is real is never taken for a test because of the letters of an observatory.
    assert role_of("S230518h") is Role.OBSERVATION
    assert role_of("Swift_694215995") is Role.OBSERVATION
    assert role_of("TSwift_694215995") is Role.TEST


@given(st.from_regex(TRIGGER_ID, fullmatch=True), st.sampled_from(["Initial", "Update-Map", "Retraction"]))
def test_keys_of_triggers_round_trip(event_id: str, label: str) -> None:
    """Every id that is accepted gives a key, a stem and a role that lead back to it, and fits the archive's columns."""
    version = EventVersion(event_id, datetime(2026, 3, 1, 12, tzinfo=UTC), label, "0123456789")
    assert EventVersion.from_partition_key(version.partition_key) == version
    assert FileStem.parse(f"{event_id}-{label}3") == FileStem(event_id, label, 3)
    assert not version.is_gravitational_wave
    assert (version.role is Role.TEST) == event_id.startswith("T")
    assert len(version.partition_key) <= 120


def test_words() -> None:
    """What people read of a notice: the signal, the error, and what was added to it."""
    facts = notice_summary(parsed("fermi_gbm")[0])
    lines = trigger_words(facts)
    assert lines[0] == "gamma rays, Fermi GBM: signal to noise 9.5"
    assert re.match(r"circle of 1 deg \(90 %\), and the systematic error of Goldstein", lines[1])
    assert localisation_words({}) == ""
    assert trigger_words({"alert_type": "Retraction", "messenger": "radio"}) == ()
