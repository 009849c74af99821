"""The same object from several brokers is one light curve, equal to 1e-6 mag, in any order of arrival."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import count, permutations

import pytest

from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.photometry.messages import read_photometry_message
from mma_pipeline.adapters.surveys.packets import Formats, alert_of, form_of_record
from mma_pipeline.notices.photometry.survey_points import measurements, one_per_exposure
from tests.adapters.surveys.brokers import (
    babamul_of_rubin,
    babamul_of_ztf,
    boom_of_ztf,
    fink_of,
    lasair_of,
    rubin_of_ampel,
)
from tests.adapters.surveys.oracle import ZTF, decoded, needs_packets, packet, schema_of
from tests.homes import new_archive

pytestmark = needs_packets


def ztf_ways(name):
    """The same ZTF alert by four ways."""
    body = packet(f"ztf/{name}.avro")
    record = decoded(body)
    fink, key = fink_of(record, schema_of(body))
    known = Formats()
    ways = {"ztf": known.format_of(body).alert(body), "fink": known.format_of(fink, key=key).alert(fink)}
    if "drb" in record["candidate"]:
        for way, sent in (("babamul", babamul_of_ztf(record)), ("boom", boom_of_ztf(record))):
            ways[way] = known.format_of(sent).alert(sent)
    return ways


def lsst_ways():
    """The same Rubin object by four ways."""
    report = packet("ampel_report.avro")
    record = rubin_of_ampel(decoded(report))
    known = Formats()
    ways = {"rubin": alert_of(record, form_of_record(record)), "ampel": known.format_of(report).alert(report)}
    for way, body in (("lasair", lasair_of(record)), ("babamul", babamul_of_rubin(record))):
        ways[way] = known.format_of(body).alert(body)
    return ways


def light_curve(alert):
    """Measurements of an alert, one per exposure, by time and band."""
    notice = measurements(alert)
    assert notice.skipped == ()
    return sorted(one_per_exposure(notice.measurements, lambda m: m), key=lambda m: (round(m.mjd, 4), m.band))


@pytest.mark.parametrize("ways", [*ZTF, "lsst"])
def test_one_light_curve(ways):
    """Every way gives the same exposures, kinds and magnitudes to 1e-6 mag, and fluxes to 1e-6 of themselves."""
    alerts = lsst_ways() if ways == "lsst" else ztf_ways(ways)
    first, *others = (light_curve(alert) for alert in alerts.values())
    assert len(first) > 10
    assert len({alert.head[:2] for alert in alerts.values()}) == 1
    for other in others:
        assert [(m.band, m.upper_limit) for m in other] == [(m.band, m.upper_limit) for m in first]
        assert [m.mjd for m in other] == pytest.approx([m.mjd for m in first], abs=1e-8)
        assert [m.magnitude for m in other] == pytest.approx([m.magnitude for m in first], abs=1e-6)
        for ours, theirs in zip(first, other, strict=True):
            assert (ours.error is None) == (theirs.error is None)
            assert (ours.flux_njy is None) == (theirs.flux_njy is None)
            if ours.flux_njy is not None:
                assert theirs.flux_njy == pytest.approx(ours.flux_njy, rel=1e-6)
                assert theirs.flux_error_njy == pytest.approx(ours.flux_error_njy, rel=1e-6)
            if ours.error is not None:
                assert theirs.error == pytest.approx(ours.error, rel=2e-6)


def message(number, body=b"x"):
    """A message of the stream of photometry."""
    when = datetime(2026, 6, 1, tzinfo=UTC)
    return StreamMessage("photometry", "t", 0, number, body + bytes([number]), None, (), None, when)


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request, tmp_path):
    """Gives the address of an empty database whenever it is asked."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres").create_database
    numbers = count()
    return lambda: f"sqlite:///{tmp_path / f'{next(numbers)}.db'}"


def test_archive_keeps_one_light_curve(urls):
    """Whatever order brokers' messages come in, the archive gives the light curve of one of them; repetition adds nothing."""
    alerts = ztf_ways(ZTF[0])
    expected = light_curve(alerts["ztf"])
    for order in list(permutations(alerts))[::7]:
        archive = new_archive(urls())
        photometry = PhotometryArchive(archive)
        brought = [photometry.record(message(i), measurements(alerts[way])) for i, way in enumerate(order)]
        assert [len(some) for some in brought[1:]] == [0, 0, 0]
        assert photometry.record(message(0), measurements(alerts[order[0]])) == brought[0]
        kept = [found.measurement for found in photometry.measurements(alerts["ztf"].head.object_id)]
        kept.sort(key=lambda m: (round(m.mjd, 4), m.band))
        assert [(m.band, m.upper_limit) for m in kept] == [(m.band, m.upper_limit) for m in expected]
        assert [m.magnitude for m in kept] == pytest.approx([m.magnitude for m in expected], abs=1e-6)
        archive.engine.dispose()


def test_negative_and_forced_fluxes_are_data(tmp_path):
    """A source below its reference keeps its negative flux, error and origin in the archive, beside the limit they give."""
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    photometry = PhotometryArchive(archive)
    alert = ztf_ways(ZTF[0])["ztf"]
    photometry.record(message(1), measurements(alert))
    kept = {m.measurement.mjd: m.measurement for m in photometry.measurements(alert.head.object_id)}
    trigger = kept[alert.head.mjd]
    assert trigger.flux_njy < 0
    assert trigger.flux_error_njy > 0
    assert (trigger.upper_limit, trigger.origin) == (True, "alert")
    assert {m.origin for m in kept.values()} == {
        "alert",
        "previous",
        "forced",
    }  # forced fluxes say more than the limits
    point = next(p for p in alert.points if p.origin == "alert")
    assert (trigger.flux_njy, trigger.flux_error_njy) == (point.flux_njy, point.flux_error_njy)


def test_ampel_report_on_the_stream_of_photometry(tmp_path):
    """AMPEL's report, as Hopskotch carries it, is archived with the whole light curve of its object."""
    body = packet("ampel_report.avro")
    record = decoded(body)
    notice = read_photometry_message(body, {"_format": b"avro"})
    archive = new_archive(f"sqlite:///{tmp_path / 'a.db'}")
    PhotometryArchive(archive).record(message(1, body), notice)
    name = str(record["object"]["id"])
    found = PhotometryArchive(archive).measurements(name)
    assert len(found) == len(record["photometry"])
    by_time = sorted(record["photometry"], key=lambda row: row["time"])
    assert [m.measurement.flux_njy for m in found] == [row["flux"] for row in by_time]
