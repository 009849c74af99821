"""One object is one candidate, whatever its names and whoever reports it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, permutations
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic import command

from mma_pipeline.adapters.archive import Archive, writing
from mma_pipeline.adapters.archive.identities import identify
from mma_pipeline.adapters.archive.migrate import _config, migrate
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.quarantine import Choice, quarantined
from mma_pipeline.adapters.archive.surveys import Beat, Kept, Outcome, SurveyArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.photometry.files import Defaults, read_photometry
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.measurement import Candidate, Measurement, PhotometryNotice
from mma_pipeline.notices.photometry.same_object import Nearness
from tests.homes import new_archive

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data" / "photometry"
RA, DEC, MJD = 197.450374, -23.381495, 57983.0
ARCSEC = 1 / 3600
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """The address of an empty database."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").create_database()
    return f"sqlite:///{tmp_path / 'a.db'}"


@pytest.fixture
def photometry(tmp_path):
    """An empty archive."""
    return PhotometryArchive(new_archive(f"sqlite:///{tmp_path / 'a.db'}"))


_numbers = count()


def sent(stream="photometry"):
    """The next message of a stream."""
    number = next(_numbers)
    return StreamMessage(stream, "t", 0, number, b"%d" % number, None, (), None, NOW)


def told(photometry, name, ra, dec, mjd=MJD, *, simulated=False):
    """Record one measurement of an object."""
    one = Measurement(Candidate(name, ra, dec), mjd, "r", 18.0, 0.1)
    return photometry.record(sent(), PhotometryNotice((one,), "ours", simulated=simulated))


@pytest.mark.skipif(not SHARED.is_dir(), reason="the public photometry of ../shared is not here")
@pytest.mark.parametrize("order", list(permutations(range(4)))[::5])
def test_at2017gfo_under_four_names_is_one_candidate(photometry, order):
    """Real photometry under four names, one of them 0.07 arcsec away: each point once, and every name finds all."""
    held = read_photometry(SHARED / "AT2017gfo_DECam_griz.csv", defaults=Defaults(ra=RA, dec=DEC)).measurements
    names = ("AT2017gfo", "AT 2017gfo", "at2017gfo", "SSS17a")
    for number in order:
        here = Candidate(names[number], RA, DEC + (0.07 * ARCSEC if number == 3 else 0.0))
        # Each tells three quarters of the points.
        some = tuple(replace(m, candidate=here) for k, m in enumerate(held) if k % 4 != number)
        photometry.record(sent(), PhotometryNotice(some, "ours"))
    (one,) = photometry.candidates()
    assert one.candidate.name == names[order[0]]
    assert set(one.aliases) == set(names) - {one.candidate.name}
    for name in (*names, "SN 2017gfo", "2017GFO", "sss17A"):
        found = photometry.measurements(name)
        assert sorted((m.measurement.mjd, m.measurement.band) for m in found) == sorted((m.mjd, m.band) for m in held)
        assert photometry.candidate(name) == one
    for slug in ("AT2017gfo", "at2017gfo", "SSS17a"):
        assert photometry.by_slug(slug) == one


@pytest.mark.parametrize(("apart", "number"), [(0.07, 1), (1.99, 1), (2.01, 2), (9.0, 2)])
@pytest.mark.parametrize("place", [(0.0, 0.0), (359.9999, 45.0), (120.0, 89.9999), (10.0, 90.0), (77.0, -89.99999)])
def test_two_arcsec_is_one_object(photometry, place, apart, number):
    """Objects of different names within the radius are one, beyond it two: also over RA 0, at the poles, and in any direction."""
    from astropy import units as u
    from astropy.coordinates import SkyCoord

    for k, angle in enumerate((0, 90, 200, 300)):
        ra = (place[0] + 20 * k) % 360 if abs(place[1]) < 80 else place[0]
        dec = place[1] if abs(place[1]) < 80 else place[1] - 0.01 * k * (1 if place[1] > 0 else -1)
        there = SkyCoord(ra * u.deg, dec * u.deg).directional_offset_by(angle * u.deg, apart * u.arcsec)
        told(photometry, f"A{k}", ra, dec)
        told(photometry, f"B{k}", there.ra.deg % 360, there.dec.deg, MJD + 1)
        assert len(photometry.candidates()) == number * (k + 1)


def test_radius_is_a_setting(tmp_path):
    """A wider radius takes what a narrower one leaves apart, and a wider one for names what a narrower refuses."""
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    wide, narrow = PhotometryArchive(archive, Nearness(5.0, 60.0)), PhotometryArchive(archive)
    told(narrow, "A", RA, DEC)
    told(narrow, "B", RA, DEC + 4 * ARCSEC, MJD + 3)
    assert len(narrow.candidates()) == 2
    with pytest.raises(NoticeError, match="B is known at RA"):
        told(narrow, "B", RA, DEC + 40 * ARCSEC, MJD + 1)
    told(wide, "B", RA, DEC + 40 * ARCSEC, MJD + 1)
    told(wide, "C", RA, DEC + 2 * ARCSEC, MJD + 2)
    assert [len(photometry.measurements("A")) for photometry in (wide, narrow)] == [4, 4]


def test_what_is_one_does_not_depend_on_the_order(photometry):
    """A chain of names 1.5 arcsec apart and a spelling of the last 8 arcsec away: one candidate in every order."""
    for number, order in enumerate(permutations((0.0, 1.5, 3.0, 11.0))):
        letter = chr(ord("a") + number)
        names = {0.0: f"A{number}", 1.5: f"B{number}", 3.0: f"SN 2026{letter}", 11.0: f"AT2026{letter}"}
        for k, place in enumerate(order):
            told(photometry, names[place], RA, DEC + number + place * ARCSEC, MJD + k)
        one = photometry.candidate(names[1.5])
        assert one.candidate.name == names[order[0]]
        assert {one.candidate.name, *one.aliases} == set(names.values())
        assert len(photometry.measurements(names[1.5])) == len(names)
    assert len(photometry.candidates()) == number + 1


def test_one_bad_object_of_a_message_leaves_the_others(photometry, caplog):
    """Of a message of two objects, one of which is known elsewhere, the other is archived, and the log says why."""
    told(photometry, "AT2026ab", 10.0, 20.0)
    rows = tuple(
        Measurement(Candidate(n, 50.0, 20.0 + k), MJD, "r", 18.0, 0.1) for k, n in enumerate(("at2026ab", "C"))
    )
    found = photometry.record(sent(), PhotometryNotice(rows, "hermes"))
    assert [m.measurement.candidate.name for m in found] == ["C"]
    assert "at2026ab is known at RA 10.000000, Dec 20.000000 deg (as AT2026ab), not at RA 50.000000" in caplog.text


def test_simulated_objects_stay_apart(photometry):
    """A simulated object at a real one's place, or under a spelling of its name, is another candidate."""
    told(photometry, "AT2026ab", RA, DEC)
    told(photometry, "SIM-1", RA, DEC, simulated=True)
    told(photometry, "at 2026ab", RA, DEC, simulated=True)
    assert {c.candidate.name: c.simulated for c in photometry.candidates()} == {"AT2026ab": False, "SIM-1": True}
    assert photometry.candidate("SN2026ab").candidate.name == "AT2026ab"


def kept(name, ra, dec, mjd, band, night=57983):
    """A survey's alert of one object."""
    one = Measurement(Candidate(name, ra, dec), mjd, band, 20.0, 0.1, origin="alert")
    return Kept(sent("survey"), PhotometryNotice((one,), "ztf"), (("S230518h", night),))


def record(surveys, *some):
    """Record alerts; returns what the counters say then."""
    outcomes = [Outcome(("t", 0), one.message.offset, inside=True, kept=True) for one in some]
    surveys.record("survey", some, [], outcomes, Beat("here", NOW))
    return surveys.partitions()[0]


def test_an_object_of_two_surveys_is_one_candidate(tmp_path):
    """ZTF's and Rubin's object within 2 arcsec: one candidate with both names, one row of the event's night."""
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    surveys, photometry = SurveyArchive(archive), PhotometryArchive(archive)
    both = [
        kept("ZTF23aaaaaaa", 0.00001, DEC, MJD + 0.1, "ztfr"),
        kept("170028503411", 359.99998, DEC, MJD + 0.2, "lsstr"),
    ]
    record(surveys, *both)
    record(surveys, *both)
    assert [c.aliases for c in photometry.candidates()] == [("170028503411",)]
    for name in ("170028503411", "ztf23aaaaaaa"):
        assert [m.measurement.band for m in photometry.measurements(name)] == ["ztfr", "lsstr"]
        (row,) = surveys.candidates(name=name)
        assert row.candidate == "ZTF23aaaaaaa"


def test_a_survey_object_known_elsewhere_is_quarantined_and_counted(tmp_path):
    """One alert of a batch under a name that is known elsewhere goes to the quarantine; the rest is recorded."""
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    surveys = SurveyArchive(archive)
    record(surveys, kept("ZTF23aaaaaaa", RA, DEC, MJD, "ztfr"))
    counts = record(surveys, kept("ZTF23aaaaaaa", RA + 1, DEC, MJD, "ztfr"), kept("B", RA, DEC + 1, MJD, "ztfr"))
    assert (counts.seen, counts.kept, counts.quarantined) == (3, 2, 1)
    (entry,) = quarantined(archive, Choice())
    assert "198.450374" in entry.reason
    assert "197.450374" in entry.reason
    assert [c.candidate for c in surveys.candidates()] == ["B", "ZTF23aaaaaaa"]


def older(engine, objects):
    """An archive of before there were aliases, with these objects, each with two measurements, a score and a survey's night."""
    with engine.begin() as connection:
        command.downgrade(_config(connection), "0009")
        tables = sa.MetaData()
        tables.reflect(connection)
        t = tables.tables
        connection.execute(sa.insert(t["body"]).values(sha256="0" * 64, data=b""))
        message = {"stream": "s", "topic": "t", "partition": 0, "sha256": "0" * 64, "headers": [], "received": NOW}
        for number, (name, slug, ra, dec) in enumerate(objects, start=1):
            row = message | {"id": number, "offset": number, "received": NOW.replace(tzinfo=None)}
            connection.execute(sa.insert(t["message"]).values(row))
            redshift = 0.0098 if number == len(objects) else None
            head = {"name": name, "slug": slug, "ra": ra, "dec": dec, "redshift": redshift, "simulated": False}
            connection.execute(sa.insert(t["candidate"]).values(head))
            for mjd in (MJD, MJD + number):  # the first is the same for all
                point = {"candidate": name, "mjd": mjd, "band": "r", "magnitude": 18.0, "error": 0.1}
                connection.execute(sa.insert(t["measurement"]).values(**point, upper_limit=False, message_id=number))
            night = {"event_id": "S230518h", "candidate": name, "night": 57983 + number // 3}
            result = {"candidate": name, "p_phot": 0.1 * number, "sufficient": True, "status": "scored"}
            key = f"S230518h-{slug}-MJD{night['night']}"
            connection.execute(sa.insert(t["candidate_score"]).values(**night, partition_key=key, result=result))
            connection.execute(
                sa.insert(t["survey_candidate"]).values(**night, message_id=number, scored=f"{number}:v")
            )


def test_candidates_of_an_older_archive_are_merged_with_their_next_measurement(url):
    """Four candidates of before that are one stay until one is measured again; then all of theirs is one's, by any name or key."""
    archive = new_archive(url)
    names = {"SSS17a": "SSS17a", "AT 2017gfo": "AT_2017gfo~0b1c2d", "AT2017gfo": "AT2017gfo", "at2017gfo": "at2017gfo"}
    places = [(n, s, RA, DEC + (0.07 * ARCSEC if n == "SSS17a" else 0)) for n, s in names.items()]
    older(archive.engine, [*places, ("far", "far", RA, DEC + 1)])
    migrate(archive.engine)
    archive = Archive(url)
    photometry, surveys = PhotometryArchive(archive), SurveyArchive(archive)
    assert len(photometry.candidates()) == 5
    assert len(photometry.measurements("AT 2017gfo")) == 2
    with archive.engine.begin() as connection:
        if connection.dialect.name == "postgresql":  # rows were given their numbers
            connection.execute(sa.text("SELECT setval('message_id_seq', 100)"))
    brought = told(photometry, "AT2017gfo", RA, DEC, MJD + 9)
    assert [m.measurement.mjd - MJD for m in brought] == [0, 1, 2, 3, 4, 9]  # all nights deserve a new score
    assert [c.candidate.name for c in photometry.candidates()] == ["SSS17a", "far"]
    one = photometry.candidate("at2017gfo")
    assert one.aliases == ("AT 2017gfo", "AT2017gfo", "at2017gfo")
    for name, slug in names.items():
        assert [m.measurement.mjd - MJD for m in photometry.measurements(name)] == [0, 1, 2, 3, 4, 9]
        assert photometry.by_slug(slug) == one
    # Of the first night, that SSS17a and AT 2017gfo had, the first's score stays; of the second one of the others'.
    for slug in names.values():
        found = photometry.scores_at([f"S230518h-{slug}-MJD{57983 + k}" for k in (0, 1)])
        assert [(r["candidate"], round(r["p_phot"], 1)) for r in found.values()] == [("SSS17a", 0.1), ("SSS17a", 0.3)]
    (_, listed) = photometry.latest_scores("S230518h")
    assert {"AT 2017gfo", "AT2017gfo", "at2017gfo"} == set(listed.get("aliases", ()))
    nights = [(r.candidate, r.night, r.message_id, r.scored) for r in surveys.candidates(name="AT2017gfo")]
    assert nights == [("SSS17a", 57983, 2, None), ("SSS17a", 57984, 4, None)]
    assert photometry.candidate("far").candidate.redshift == 0.0098
    photometry.record_score("S230518h-AT2017gfo-MJD57984", "S230518h", "AT2017gfo", 57984, {"candidate": "SSS17a"})
    assert photometry.score("S230518h-SSS17a-MJD57984") == {"candidate": "SSS17a"}


def test_statements_do_not_grow_with_the_objects_of_a_batch(tmp_path):
    """Three thousand known and new objects of a batch cost a few statements for each five hundred, not some for each."""
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    statements = []
    sa.event.listen(archive.engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    numbers = []
    for size, offset in ((1500, 0.0), (3000, 0.3 * ARCSEC)):
        found = [Candidate(f"{size}-{k}", 0.1 * k, -60 + 0.03 * k + offset) for k in range(size)]
        statements.clear()
        with writing(archive.engine) as connection:
            names = identify(connection, found, Nearness()).names
        numbers.append(len(statements))
        assert sum(name.startswith("1500-") for name in names.values()) == 1500
    assert max(numbers) < 60
