"""Recent nights of survey alerts: every row once, whatever is repeated, killed or compacted meanwhile."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Iterator

import healpy
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy import units
from astropy.coordinates import Latitude, Longitude
from mocpy import MOC

from mma_pipeline.adapters.errors import NotFoundError, PermanentError, TransientError
from mma_pipeline.adapters.store import Store
from mma_pipeline.adapters.surveys.kept_rows import KeptAlert
from mma_pipeline.adapters.surveys.nights import PREFIX, RecentNights
from mma_pipeline.notices.surveys import AlertHead, FluxPoint, PacketFacts, SolarSystemMatch
from tests.services.s3 import S3Server

NIGHT = 60083
SKY = np.array([0]), np.array([12 << 58])


def alerts(
    count: int, *, seed: int = 1, night: int = NIGHT, partition: int = 0, first: int = 0, width: float = 360.0
) -> list[KeptAlert]:
    """Alerts of both surveys in one night, anywhere on the sky or in a part of it around RA 30, Dec 0 (deg)."""
    draw = np.random.default_rng(seed)
    ra, dec = draw.uniform(0, 360, count), np.degrees(np.arcsin(draw.uniform(-1, 1, count)))
    if width < 360:
        ra, dec = draw.uniform(30 - width, 30 + width, count), draw.uniform(-width, width, count)
    index29 = healpy.ang2pix(1 << 29, ra, dec, nest=True, lonlat=True)
    made = []
    for n in range(count):
        mjd = night + float(draw.uniform(0, 0.999))
        survey = "ztf" if draw.random() < 0.7 else "lsst"
        flux, error = float(draw.normal(0, 3e4)), float(draw.uniform(100, 3000))
        facts = PacketFacts(
            real_bogus=None if draw.random() < 0.1 else float(draw.random()),
            star_score=float(draw.random()),
            star_distance_arcsec=float(draw.uniform(0, 30)),
            solar_system=SolarSystemMatch("2012 AB1", float(draw.uniform(0, 9))) if draw.random() < 0.2 else None,
            is_negative=flux < 0,
            first_mjd=None if draw.random() < 0.2 else mjd - float(draw.uniform(0, 900)),
        )
        head = AlertHead(survey, f"object{n % 40}", str(seed * 10**6 + n), float(ra[n]), float(dec[n]), mjd)
        point = FluxPoint(mjd, f"{survey}r", flux, error, None, "alert")
        made.append(KeptAlert(head, int(index29[n]), point, facts, f"{survey}.topic", partition, first + n))
    return made


@pytest.fixture
def store() -> Store:
    """An empty store."""
    return Store.open(f"memory://nights-{uuid.uuid4()}")


@pytest.fixture
def nights(store) -> RecentNights:
    """Nothing kept yet."""
    return RecentNights(store)


def ids(table) -> list[str]:
    """Names of the alerts of rows, sorted."""
    return sorted(table["alert_id"].to_pylist())


def test_a_row_says_what_the_packet_said(nights, store):
    """Every value comes back, what is unknown as null, positions and times to the last digit; any program can read the file."""
    known, unknown = alerts(2, seed=3)
    unknown = unknown._replace(point=None, facts=PacketFacts())
    (known_key, unknown_key) = sorted(
        nights.write([known._replace(topic="a"), unknown._replace(topic="b", partition=7, offset=99)])
    )
    rows = {row["alert_id"]: row for row in nights.read(*SKY, 0.0, 1e5).to_pylist()}
    row = rows[known.head.alert_id]
    for name in ("survey", "object_id", "alert_id", "ra", "dec", "mjd"):
        assert row[name] == getattr(known.head, name)
    assert row["flux_njy"] == pytest.approx(known.point.flux_njy, rel=1e-7)
    assert row["flux_error_njy"] == pytest.approx(known.point.flux_error_njy, rel=1e-7)
    assert row["band"] == known.point.band
    assert row["first_mjd"] == known.facts.first_mjd
    assert (row["topic"], row["partition"], row["offset"], row["index29"]) == ("a", 0, 0, known.index29)
    bare = rows[unknown.head.alert_id]
    assert (bare["topic"], bare["partition"], bare["offset"]) == ("b", 7, 99)
    assert {name for name, value in bare.items() if value is None} == {
        *("band", "flux_njy", "flux_error_njy", "limit_mag", "real_bogus", "star_score", "star_distance_arcsec"),
        *("solar_system_arcsec", "first_mjd", "redshift"),
    }
    assert bare["solar_system"] is False
    assert known_key != unknown_key
    read = pq.read_table(pa.BufferReader(store.get(known_key)))
    assert read["alert_id"].to_pylist() == [known.head.alert_id]
    assert "/60083/new/a-0-000000000000-000000000000-" in known_key


def test_the_same_messages_write_the_same_file(nights, store):
    """A repetition after a crash, in any order, finds its file there and writes nothing; rows are read once."""
    some = alerts(300)
    keys = nights.write(some)
    before = {entry.key: store.get(entry.key) for entry in store.ls(PREFIX)}
    assert nights.write(some[::-1]) == keys
    assert {entry.key: store.get(entry.key) for entry in store.ls(PREFIX)} == before
    assert nights.read(*SKY, 0, 1e5).num_rows == 300


def test_other_bounds_of_a_repetition_and_a_second_broker_add_nothing(nights):
    """Offsets that were cut elsewhere the second time, and the same alerts from another topic, leave every alert once."""
    some = alerts(400)
    nights.write(some[:250])
    nights.write(some[100:400])
    nights.write([alert._replace(topic="another.broker", offset=alert.offset + 10**6) for alert in some[50:90]])
    expected = sorted(alert.head.alert_id for alert in some)
    assert ids(nights.read(*SKY, 0, 1e5)) == expected
    nights.compact(NIGHT, whole=True)
    assert ids(nights.read(*SKY, 0, 1e5)) == expected
    assert sum(pq.ParquetFile(pa.BufferReader(b)).metadata.num_rows for b in _files(nights)) == 400


def _files(nights: RecentNights) -> Iterator[bytes]:
    store = nights._store
    return (store.get(entry.key) for entry in store.ls(PREFIX))


@pytest.mark.parametrize("first", [True, False])
def test_the_row_with_a_brightness_stays(nights, first):
    """Of two messages of an alert, the one that states a brightness is kept, whichever came first and however it is read."""
    (one,) = alerts(1)
    bare = one._replace(point=None, topic="a.pair", offset=one.offset - 1 if first else one.offset + 1)
    nights.write([bare])
    nights.write([one])
    for compacted in (False, True):
        if compacted:
            nights.compact(NIGHT, whole=True)
        assert nights.read(*SKY, 0, 1e5)["topic"].to_pylist() == [one.topic]
        assert nights.read(*SKY, 0, 1e5, ["topic"])["topic"].to_pylist() == [one.topic]


def test_ids_that_two_surveys_share_are_two_alerts(nights):
    """The same digits of another survey are another alert."""
    (one,) = alerts(1)
    other = one._replace(head=one.head._replace(survey="lsst" if one.head.survey == "ztf" else "ztf"), offset=1)
    nights.write([one, other])
    assert nights.read(*SKY, 0, 1e5).num_rows == 2


@pytest.mark.parametrize("compacted", [False, True])
def test_a_region_and_a_span_of_time_agree_with_mocpy(nights, compacted):
    """What is read is exactly what mocpy finds inside a region, between two moments, from nights that overlap them."""
    some = [
        alert
        for night, seed in ((NIGHT - 1, 1), (NIGHT, 2), (NIGHT + 1, 3))
        for alert in alerts(3000, seed=seed, night=night)
    ]
    nights.write(some)
    if compacted:
        for night in (NIGHT - 1, NIGHT, NIGHT + 1):
            nights.compact(night, whole=True)
    ra, dec = np.array([a.head.ra for a in some]), np.array([a.head.dec for a in some])
    mjd = np.array([a.head.mjd for a in some])
    first, last = NIGHT - 0.4, NIGHT + 0.7
    for place in ((10.0, 5.0, 3.0), (200.0, -60.0, 40.0), (0.0, 90.0, 70.0)):
        ra0, dec0, radius = (value * units.deg for value in place)
        moc = MOC.from_cone(ra0, dec0, radius=radius, max_depth=9)
        inside = (
            moc.contains_lonlat(Longitude(ra, unit="deg"), Latitude(dec, unit="deg")) & (mjd >= first) & (mjd <= last)
        )
        ranges = np.asarray(moc.to_depth29_ranges).astype(np.int64)
        found = nights.read(ranges[:, 0], ranges[:, 1], first, last, ["alert_id", "mjd"])
        assert ids(found) == sorted(a.head.alert_id for a, yes in zip(some, inside, strict=True) if yes)
        assert found.column_names == ["alert_id", "mjd"]


def test_only_the_files_of_the_regions_cells_are_read(nights, store, monkeypatch):
    """A small region fetches the files of its cells alone."""
    nights.write(alerts(3000))
    nights.compact(NIGHT, whole=True)
    fetched = []
    get = store.get
    monkeypatch.setattr(store, "get", lambda key: fetched.append(key) or get(key))
    centre = healpy.ang2pix(1 << 29, 200.0, 41.0, nest=True, lonlat=True)
    nights.read(np.array([centre]), np.array([centre + (1 << 30)]), 0, 1e5)
    assert [key.split("/")[-2] for key in fetched] == [f"{centre >> 56:02d}"]


def test_many_small_files_become_few(nights):
    """A reader that writes a few rows at a time leaves few files behind, and every row; once a night is over, one file a cell."""
    some = alerts(330)
    for at in range(0, 330, 5):
        nights.write(some[at : at + 5])
        nights.compact(NIGHT)
    (kept,) = nights.nights()
    assert kept.night == NIGHT
    assert kept.files < 3 * 16
    assert ids(nights.read(*SKY, 0, 1e5)) == sorted(alert.head.alert_id for alert in some)
    nights.compact(NIGHT, whole=True)
    (kept,) = nights.nights()
    assert (kept.files, kept.new) == (len({alert.index29 >> 56 for alert in some}), 0)
    assert ids(nights.read(*SKY, 0, 1e5)) == sorted(alert.head.alert_id for alert in some)
    assert nights.compact(NIGHT, whole=True) == 0


class KilledError(Exception):
    """Stands for the end of the process."""


def test_a_compaction_killed_at_any_moment_loses_and_doubles_nothing():
    """Ended at its first, second, … request to the store, and begun again, a compaction leaves every alert once."""
    some = alerts(102, width=20.0)
    expected = sorted(alert.head.alert_id for alert in some)
    for moment in itertools.count(1, 6):
        store = Store.open(f"memory://killed-{uuid.uuid4()}")
        nights = RecentNights(store)
        for at in range(0, 102, 6):
            nights.write(some[at : at + 6])
        requests = itertools.count(1)

        def counted(request, requests=requests, moment=moment):
            def run(*args, **options):
                if next(requests) == moment:
                    raise KilledError
                return request(*args, **options)

            return run

        with pytest.MonkeyPatch.context() as patch:
            for name in ("put", "get", "delete", "ls"):
                patch.setattr(store, name, counted(getattr(store, name)))
            try:
                nights.compact(NIGHT, whole=True)
                ended = True
            except KilledError:
                ended = False
        assert ids(nights.read(*SKY, 0, 1e5)) == expected
        nights.compact(NIGHT, whole=True)
        assert ids(nights.read(*SKY, 0, 1e5)) == expected
        assert nights.nights()[0].new == 0
        if ended:
            break
    assert moment > 40


def test_a_reader_sees_every_alert_while_another_compacts(nights, store, monkeypatch):
    """Files that vanish between the listing and the reading are found again where their rows went."""
    some = alerts(320)
    for at in range(0, 320, 20):
        nights.write(some[at : at + 20])
    get, calls = store.get, itertools.count()

    def compacted_meanwhile(key):
        if next(calls) == 3:
            monkeypatch.setattr(store, "get", get)
            RecentNights(store).compact(NIGHT, whole=True)
        return get(key)

    monkeypatch.setattr(store, "get", compacted_meanwhile)
    assert ids(nights.read(*SKY, 0, 1e5)) == sorted(alert.head.alert_id for alert in some)


def test_files_that_vanish_for_ever_are_an_error(nights, store, monkeypatch):
    """A reader does not look for ever, and does not pass rows over in silence."""
    nights.write(alerts(10))

    def gone(key):
        raise NotFoundError(key)

    monkeypatch.setattr(store, "get", gone)
    with pytest.raises(PermanentError, match="vanish"):
        nights.read(*SKY, 0, 1e5)


def test_old_nights_are_removed(nights):
    """Nights before the one named go, those from it on stay."""
    for night in range(NIGHT - 4, NIGHT + 1):
        nights.write(alerts(20, seed=night, night=night))
    nights.compact(NIGHT - 3, whole=True)
    assert nights.remove_before(NIGHT - 1) > 0
    assert [kept.night for kept in nights.nights()] == [NIGHT - 1, NIGHT]
    assert nights.remove_before(NIGHT - 1) == 0


def test_nothing_is_kept(nights):
    """Without nights there are no rows, with all their columns; nothing to compact, nothing to remove."""
    assert nights.read(*SKY, 0, 1e5).num_rows == 0
    assert nights.read(*SKY, 0, 1e5, ["ra"]).column_names == ["ra"]
    assert (nights.write([]), nights.nights(), nights.compact(NIGHT), nights.remove_before(NIGHT)) == ([], [], 0, 0)


def test_a_file_that_is_none_is_named(nights, store):
    """What is no Parquet of these rows is named in the error, by its key; other files beside the nights are passed over."""
    store.put(f"{PREFIX}/README.txt", b"hello")
    assert nights.nights() == []
    store.put(f"{PREFIX}/{NIGHT}/new/broken.parquet", b"PAR1 not at all")
    with pytest.raises(PermanentError, match=r"new/broken\.parquet"):
        nights.read(*SKY, 0, 1e5)


def test_a_store_that_does_not_answer_is_told(nights, store, monkeypatch):
    """The store's error reaches the caller, who must not commit: nothing is taken for written."""

    def refuse(*_, **__):
        raise TransientError("the store is away")

    monkeypatch.setattr(store, "put", refuse)
    with pytest.raises(TransientError, match="away"):
        nights.write(alerts(3))


@pytest.mark.service("s3")
def test_nights_on_s3(s3_server: S3Server):
    """Writing, compacting, reading and removing on an S3 server give what a folder gives."""
    nights = RecentNights(Store.open(f"s3://nights-{uuid.uuid4().hex}", environ=s3_server.environ, create=True))
    some, later = alerts(200), alerts(50, seed=2, night=NIGHT + 1)
    for start in range(0, 200, 20):
        nights.write(some[start : start + 20])
    nights.write(later)
    assert nights.compact(NIGHT, whole=True) >= 10
    nights.write(some[:20])  # a reader that came back
    expected = sorted(one.head.alert_id for one in some)
    assert ids(nights.read(*SKY, NIGHT, NIGHT + 0.9999)) == expected
    assert [kept.night for kept in nights.nights()] == [NIGHT, NIGHT + 1]
    assert nights.remove_before(NIGHT + 1) > 0
    assert ids(nights.read(*SKY, 0, 1e5)) == sorted(one.head.alert_id for one in later)
