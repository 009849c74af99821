"""From messages to rows and targets: once each, in any order."""

from __future__ import annotations

import itertools
import random
import threading
from datetime import UTC, datetime, timedelta

import pytest
from django.db import DatabaseError, connection
from tom_dataproducts.models import PhotometryReducedDatum
from tom_targets.models import Target, TargetName

from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.notices import derived
from mma_pipeline.notices.candidate_summary import CheckVerdict
from mma_pipeline.notices.icecube_summary import NeutrinoSearch, NeutrinoTrack
from mma_pipeline.tom import ingest, targets
from mma_pipeline.tom.demo.event import Sent, SimulatedEvent
from mma_pipeline.tom.models import DerivedAlert, Event, RejectedMessage, StreamPosition

from .conftest import deliver

pytestmark = pytest.mark.django_db
NIGHT = datetime(2026, 11, 22, 3, tzinfo=UTC)


def everything(event: SimulatedEvent) -> list:
    """The whole story of an event: version, three nights as v1 and v2, retraction of each message."""
    sent = [event.announcement(), *itertools.chain.from_iterable(event.nights())]
    return [*sent, *event.retractions(*(m.id for m in sent))]


def state() -> tuple:
    """All that the TOM says, without the order in which rows were written."""
    return (
        sorted(DerivedAlert.objects.values_list("message_id", "candidate", "retracted", "target__name")),
        sorted((t.name, t.ra, t.dec, tuple(sorted(t.extra_fields.items()))) for t in Target.objects.all()),
        sorted(TargetName.objects.values_list("name", flat=True)),
        sorted(PhotometryReducedDatum.objects.values_list("bandpass", "brightness", "timestamp")),
        sorted(Event.objects.values_list("event_id", "significant", "version", "retracted_at")),
    )


def test_a_candidate_is_one_target(event, auto_targets) -> None:
    """Six messages about one candidate make one target; magnitude and probability are those of the newest."""
    deliver(event.announcement())
    for pair in event.nights():
        deliver(*pair)
    target = Target.objects.get()
    assert (target.name, target.ra, target.dec) == (event.candidate, event.ra, event.dec)
    extras = target.extra_fields
    assert extras["magnitude"] == 18.8
    assert extras["kilonova probability"] == 0.98
    assert extras["posterior"] == 0.991
    assert extras["credible level"] == 0.47
    assert extras["events"] == event.event_id
    assert extras["alert status"] == "live"
    assert DerivedAlert.objects.filter(target_id=target.pk).count() == 6
    light_curve = PhotometryReducedDatum.objects.order_by("timestamp").values_list("bandpass", "brightness")
    assert list(light_curve) == [("r", 17.1), ("r", 17.9), ("r", 18.8)]


def test_v1_has_no_magnitude(event, auto_targets) -> None:
    """A target known from v1 alone shows no magnitude: the message has none."""
    old, _ = event.score(0.7, NIGHT)
    deliver(old)
    assert "magnitude" not in Target.objects.get().extra_fields
    assert not PhotometryReducedDatum.objects.exists()


def test_replay_changes_nothing(event, auto_targets) -> None:
    """The whole story delivered again, twice and shuffled, leaves everything as it was."""
    story = everything(event)
    assert set(deliver(*story)) == {"stored"}
    before = state()
    assert set(deliver(*story)) == {"known"}
    random.Random(1).shuffle(story)
    assert set(deliver(*story)) == {"known"}
    assert state() == before


@pytest.mark.parametrize("seed", range(12))
def test_any_order_ends_alike(event, auto_targets, seed: int) -> None:
    """Whatever the order of arrival, alerts, photometry and event end alike, and no target is live."""
    story = everything(event)
    deliver(*story)
    rows, _, _, photometry, events = state()
    for model in (DerivedAlert, Event, Target):
        model.objects.all().delete()
    random.Random(seed).shuffle(story)
    deliver(*story)
    again = state()
    # A message that comes after its retraction makes no target and so joins none.
    assert [r[:3] for r in again[0]] == [r[:3] for r in rows]
    assert again[4] == events
    assert set(again[3]) <= set(photometry)
    assert all(t.extra_fields["alert status"] == "retracted" for t in Target.objects.all())


def test_names_that_differ_in_spelling_are_one_target(event, auto_targets) -> None:
    """`AT 2017gfo`, made by hand, and `at2017GFO` of the stream are one target; the new spelling is an alias."""
    by_hand = Target.objects.create(name="AT 2017gfo", type="SIDEREAL", ra=197.45, dec=-23.38)
    deliver(*SimulatedEvent(candidate="at2017-GFO").score(0.9, NIGHT))
    assert Target.objects.get() == by_hand
    assert by_hand.names == ["AT 2017gfo", "at2017-GFO"]


def test_only_what_the_rule_admits(event, settings) -> None:
    """Probability, significance, and mock events decide what becomes a target by itself; the table keeps all."""
    rule = {"enabled": True, "min_kilonova_probability": 0.8, "only_significant": True, "test_events": False}
    settings.MMA_TOM = settings.MMA_TOM | {"target_rule": rule}
    real = {"event_id": "S230518h"}
    wanted = SimulatedEvent(candidate="wanted", **real)
    deliver(*wanted.score(0.79, NIGHT), *SimulatedEvent(candidate="mock").score(0.99, NIGHT))
    deliver(*SimulatedEvent(candidate="weak", event_id="S240112e", significant=False).score(0.99, NIGHT))
    assert not Target.objects.exists()
    deliver(*wanted.score(0.81, NIGHT + timedelta(days=1)))
    assert Target.objects.get().name == "wanted"
    assert DerivedAlert.objects.count() == 8


@pytest.mark.parametrize("first", [0, 1], ids=["v1 first", "v2 first"])
def test_the_posterior_decides_and_its_reasons_are_kept(event, settings, first: int) -> None:
    """A supernova far behind: 0.964 by the light curve, 0.005 in the end. Both messages of the score have the latter, and v2 alone no target."""
    rule = {"enabled": True, "min_kilonova_probability": 0.5, "only_significant": False, "test_events": True}
    settings.MMA_TOM = settings.MMA_TOM | {"target_rule": rule}
    verdicts = (
        CheckVerdict("star", "nothing", "no star at its place", 1.0, counted=True),
        CheckVerdict("host", "found", "host FAR at 2 arcsec", 0.001, counted=True),
    )
    sent = event.score(0.964, NIGHT, posterior=0.005, vetting=verdicts)
    deliver(sent[first], sent[1 - first])
    for alert in DerivedAlert.objects.all():
        assert (alert.kilonova_probability, alert.posterior) == (0.964, 0.005)
        assert alert.reasons == ["host FAR at 2 arcsec"]
    # v1 alone says nothing else than the light curve: what came before its twin was judged by that.
    assert Target.objects.exists() is (first == 0)


def test_a_target_deleted_by_a_person_stays_away(event, auto_targets) -> None:
    """Copies of a known message do not bring back a target that a person deleted."""
    sent = event.score(0.9, NIGHT)
    deliver(*sent)
    Target.objects.all().delete()
    deliver(*sent)
    assert not Target.objects.exists()


def test_a_reject_stops_nothing(event, auto_targets) -> None:
    """A malformed message is kept with its reason, once, and the next ones are stored."""
    broken = SimulatedEvent(candidate="x" * 200).score(0.5, NIGHT)[0]
    assert deliver(broken, *event.score(0.9, NIGHT)) == ["rejected", "stored", "stored"]
    reject = RejectedMessage.objects.get()
    assert "not a name" in reject.reason
    assert bytes(reject.body) == broken.body


def message(sent, offset: int) -> StreamMessage:
    """A message as the Kafka adapter gives it."""
    return StreamMessage(
        "derived-alerts", "mma.derived", 0, offset, sent.body, None, tuple(sent.headers.items()), None, NIGHT
    )


def test_messages_and_place_are_one_transaction(event, auto_targets, monkeypatch) -> None:
    """Where storing breaks off, neither a message nor the place in the stream is kept, and reading again is whole."""
    batch = [message(m, n) for n, m in enumerate(everything(event)[:4])]
    offsets = {"mma.derived": {0: 4}}
    calls = itertools.count()
    real = ingest.store

    def fails_at_third(*args):
        if next(calls) == 2:
            raise DatabaseError("disk full")
        return real(*args)

    monkeypatch.setattr(ingest, "store", fails_at_third)
    with pytest.raises(DatabaseError):
        ingest.store_batch("derived-alerts", batch, offsets)
    assert not DerivedAlert.objects.exists()
    assert not Target.objects.exists()
    assert not StreamPosition.objects.exists()
    monkeypatch.undo()
    counts = ingest.store_batch("derived-alerts", batch, offsets)
    assert counts[ingest.Outcome.STORED] == 4
    assert StreamPosition.objects.get().offsets == {"mma.derived": {"0": 4}}


def test_retraction_marks_and_new_event_revives(event, auto_targets) -> None:
    """A retraction marks the target; the same candidate in another event, not retracted, is live again."""
    first, second = event.score(0.9, NIGHT)
    deliver(first, second, *event.retractions(first.id, second.id))
    target = Target.objects.get()
    assert target.extra_fields["alert status"] == "retracted"
    assert Event.objects.get(event_id=event.event_id).retracted_at is not None
    deliver(*SimulatedEvent(event_id="MS261122b").score(0.6, NIGHT + timedelta(days=2)))
    assert Target.objects.get().extra_fields["alert status"] == "live"
    assert Target.objects.get().extra_fields["events"] == "MS261122b"


def test_a_neutrino_notice_is_no_version_of_the_map(event) -> None:
    """A notice about neutrinos is stored with its event, whose newest version stays what it was."""
    deliver(event.announcement())
    created = event.time + timedelta(hours=2)
    ref = derived.VersionRef(f"{event.event_id}-IceCube-{created:%Y%m%dT%H%M%S}-0123456789", "IceCube", created)
    search = NeutrinoSearch("IceCube", f"{event.event_id}-1-Initial", 1, 0.02, tracks=(NeutrinoTrack(197.0, -23.0),))
    alert = derived.DerivedAlert(derived.DerivedKind.VERSION, event.event_id, version=ref, neutrinos=search)
    headers = {name: value.encode() for name, value in derived.headers_v2(alert, created).items()}
    deliver(Sent(derived.encode(alert), headers | {"_test": b"true"}, derived.message_id(alert)))
    assert Event.objects.get().version == event.version().partition_key
    assert DerivedAlert.objects.get(version=ref.partition_key).body["neutrinos"]["count"] == 1
    assert not RejectedMessage.objects.exists()


def test_retraction_of_an_unknown_event(event, auto_targets) -> None:
    """A retraction of what was never seen is stored, and what comes late becomes no target."""
    first, second = event.score(0.9, NIGHT)
    deliver(*event.retractions(first.id, second.id))
    deliver(first, second)
    assert not Target.objects.exists()
    assert not DerivedAlert.objects.filter(kind="candidate", retracted=False).exists()


def test_late_alert_of_a_retracted_event(event, auto_targets) -> None:
    """An alert that no message retracts by name is retracted with its event."""
    first, _ = event.score(0.9, NIGHT)
    deliver(*event.retractions(first.id))
    _, never_named = event.score(0.95, NIGHT + timedelta(hours=1))
    deliver(never_named)
    assert DerivedAlert.objects.get(message_id=never_named.id.hex).retracted
    assert not Target.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_stream_and_person_at_the_same_moment(event, auto_targets, observer) -> None:
    """Two messages stored and two people clicking at once, twenty times over, leave one target each time."""
    for n in range(20):
        each = SimulatedEvent(candidate=f"AT2026m{n:02d}")
        old, new = each.score(0.9, NIGHT)
        barrier = threading.Barrier(3)
        errors: list[BaseException] = []

        def run(action, *args, barrier=barrier, errors=errors) -> None:
            try:
                barrier.wait(timeout=120)
                action(*args)
            except Exception as error:  # noqa: BLE001 - reported below, in the test's own thread
                errors.append(error)
            finally:
                connection.close()

        def click(old=old) -> None:
            alert = DerivedAlert.objects.filter(message_id=old.id.hex).first()
            if alert is not None:
                targets.make(alert, observer)

        threads = [threading.Thread(target=run, args=a) for a in ((deliver, old), (deliver, new), (click,))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
        assert errors == []
        assert Target.objects.filter(name=each.candidate).count() == 1
        assert DerivedAlert.objects.filter(candidate=each.candidate, target__isnull=True).count() == 0
    assert Target.objects.count() == 20
