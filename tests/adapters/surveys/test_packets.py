"""Every packet of ../shared/data/surveys beside a full decode of the same bytes by fastavro, with astropy's times and fluxes."""

from __future__ import annotations

import io
import json
import math

import fastavro
import pytest

from mma_pipeline.adapters.surveys.packets import Formats, alert_of, form_of_record
from mma_pipeline.adapters.surveys.schemas import Schemas
from mma_pipeline.notices.photometry.survey_points import measurements
from mma_pipeline.notices.surveys import SolarSystemMatch
from tests.adapters.surveys.oracle import (
    SHARED,
    SURVEYS,
    ZTF,
    decoded,
    figures,
    found,
    listed,
    lsst_points,
    mjd,
    needs_packets,
    njy,
    packet,
    schema_of,
    utc,
    ztf_points,
)

pytestmark = needs_packets


def read(body: bytes, **options):
    """Head and alert of a packet, which must agree; the format as well."""
    found_format = Formats().format_of(body, **options)
    head, alert = found_format.head(body), found_format.alert(body)
    assert alert.head == head
    return head, alert


@pytest.mark.parametrize("name", ZTF)
def test_ztf(name):
    """A ZTF packet's head, light curve with limits and forced fluxes, and facts are those of a full decode."""
    body = packet(f"ztf/{name}.avro")
    record = decoded(body)
    head, alert = read(body)
    candidate = record["candidate"]
    assert head[:5] == ("ztf", record["objectId"], name, candidate["ra"], candidate["dec"])
    assert head.mjd == pytest.approx(mjd(candidate["jd"]), abs=1e-9)
    assert found(alert) == ztf_points(record)
    facts = alert.facts
    assert facts.real_bogus == candidate.get("drb", candidate["rb"])
    assert facts.real_bogus_kind == ("drb" if "drb" in candidate else "rb")
    assert (facts.star_score, facts.star_distance_arcsec) == (candidate["sgscore1"], candidate["distpsnr1"])
    assert facts.is_negative == (candidate["isdiffpos"] == "f")
    assert facts.first_mjd == pytest.approx(mjd(candidate["jdstarthist"]), abs=1e-9)
    assert facts.solar_system is None  # ssdistnr is -999
    assert alert.broker == "ztf"
    assert alert.schema == f"ztf {record.get('schemavsn', '1.8')}"


def test_simulated_packet():
    """A packet whose publisher says that it is simulated brings simulated photometry."""
    original = packet(f"ztf/{ZTF[0]}.avro")
    for publisher, simulated in (("ZTF (simulated)", True), ("ZTF (www.ztf.caltech.edu)", False)):
        stream = io.BytesIO()
        fastavro.writer(
            stream, fastavro.parse_schema(schema_of(original)), [{**decoded(original), "publisher": publisher}]
        )
        alert = read(stream.getvalue())[1]
        assert measurements(alert).simulated is simulated


def test_lsst_from_the_registrys_frame(tmp_path):
    """A real Rubin packet behind Confluent's frame is read with the schema of its number from a folder, TAI turned to UTC."""
    body = packet("lsst/7912941781254298_confluent.avro")
    schema = schema_of(packet("lsst/fakeAlert_10_0.avro"))
    (tmp_path / "900.avsc").write_text(json.dumps(schema))
    record = fastavro.schemaless_reader(io.BytesIO(body[5:]), schema, None)
    known = Formats(Schemas(None, tmp_path)).format_of(body)
    head, alert = known.head(body), known.alert(body)
    source = record["diaSource"]
    assert head[:5] == ("lsst", str(source["diaObjectId"]), str(source["diaSourceId"]), source["ra"], source["dec"])
    assert head.mjd == pytest.approx(utc(source["midpointMjdTai"]), abs=1e-9)
    assert found(alert) == lsst_points(record)
    assert alert.facts.is_negative is True
    assert alert.facts.real_bogus == source["reliability"]
    assert alert.facts.solar_system is None
    assert alert.facts.first_mjd == head.mjd  # firstDiaSourceMjdTai is NaN
    assert not any(isinstance(v, float) and math.isnan(v) for v in alert.facts.details.values())


@pytest.mark.parametrize(("name", "version"), [("fakeAlert_10_0", "10.0"), ("fakeAlert_11_0", "11.0")])
def test_lsst_with_its_schema_inside(name, version):
    """Rubin's sample packets of both versions; the object is named only behind the leading fields, and is still found."""
    body = packet(f"lsst/{name}.avro")
    record = decoded(body)
    head, alert = read(body)
    assert head.object_id == str(record["diaObject"]["diaObjectId"])
    assert head.alert_id == str(record["diaSource"]["diaSourceId"])
    assert found(alert) == lsst_points(record)
    assert alert.facts.first_mjd == pytest.approx(utc(record["diaObject"]["firstDiaSourceMjdTai"]), abs=1e-9)
    assert alert.schema == f"lsst {version}"


def test_ampel():
    """AMPEL's report: every point with its flux, times from TAI, forced ones told apart, host and scores as facts."""
    body = packet("ampel_report.avro")
    record = decoded(body)
    head, alert = read(body)
    assert head[:2] == ("lsst", str(record["object"]["id"]))
    assert head[3:5] == (record["object"]["ra"], record["object"]["dec"])
    expected = {
        (round(utc(row["time"] - 2400000.5), 7), row["band"], "forced" if row["source"] == "LSST_FP" else "previous",
         figures(row["flux"]), figures(row["fluxerr"]), None)
        for row in record["photometry"]
    }  # fmt: skip
    assert found(alert) == expected
    # The newest point is a detection here.
    assert head.mjd == pytest.approx(utc(max(row["time"] for row in record["photometry"]) - 2400000.5), abs=1e-9)
    (match,) = alert.facts.matches
    assert (match.redshift, match.distance_arcsec) == (record["host"][0]["redshift"], record["host"][0]["distance"])
    assert alert.facts.redshift is None  # of AMPEL's seventh group: no distance follows from it
    chances = record["classification"][0]["models"][0]["probabilities"]
    assert alert.facts.details["ParsnipRiseDecline/sn+2ulens+dwarfs/P(KN)"] == chances["P(KN)"]


def test_babamul():
    """Babamul's ZTF alert: fluxes in the unit that its own magnitudes tell, limits, forced ones and Rubin's points beside them."""
    body = packet("babamul_alert.avro")
    record = decoded(body)
    head, alert = read(body)
    candidate = record["candidate"]
    assert head[:5] == ("ztf", record["objectId"], str(record["candid"]), candidate["ra"], candidate["dec"])
    (trigger,) = [p for p in alert.points if p.origin == "alert"]
    assert trigger.flux_njy == pytest.approx(njy(candidate["magpsf"]), rel=1e-9)
    unit = njy(candidate["magpsf"]) / candidate["psfFlux"]
    before = [row for row in record["prv_candidates"] if row["jd"] != candidate["jd"]]
    ours = sorted(
        (p.mjd, p.band, p.flux_njy) for p in alert.points if p.origin == "previous" and p.band.startswith("ztf")
    )
    theirs = sorted((mjd(row["jd"]), f"ztf{row['band']}", row["psfFlux"] * unit) for row in before)
    assert [o[1] for o in ours] == [t[1] for t in theirs]
    assert [o[0] for o in ours] == pytest.approx([t[0] for t in theirs], abs=1e-9)
    # To 1e-6 mag: the packet's fluxes have single precision.
    assert [o[2] for o in ours] == pytest.approx([t[2] for t in theirs], rel=9e-7)
    counts = {o: sum(p.origin == o and p.band.startswith("ztf") for p in alert.points) for o in ("forced", "limit")}
    assert counts == {"forced": len(record["fp_hists"]), "limit": len(record["prv_nondetections"])}
    (other,) = [p for p in alert.points if p.band == "lsstz"]
    matched = record["survey_matches"]["lsst"]
    assert other.flux_njy == matched["prv_candidates"][0]["psfFlux"]
    assert alert.facts.matches[0].name == matched["objectId"]
    assert alert.facts.details["stationary"] is True


def test_boom():
    """BOOM's filter alert: flux in Jy by its zero point, the position, and the filter's annotations."""
    body = (SHARED / "notices" / "kafka_alert_rubin.json").read_bytes()
    record = json.loads(body)
    head, alert = read(body)
    row = record["photometry"][0]
    assert head[:5] == ("lsst", str(record["objectId"]), str(record["candid"]), record["ra"], record["dec"])
    (point,) = alert.points
    assert (point.band, point.origin) == (row["band"], "alert")
    assert point.flux_njy == pytest.approx(row["flux"] * 1e9, rel=1e-9)  # 8.9 is the AB magnitude of 1 Jy
    assert point.flux_error_njy == pytest.approx(row["flux_err"] * 1e9, rel=1e-9)


def test_boom_notice():
    """`gcn.notices.boom.alert`: all telescopes' magnitudes and limits, scores, and the event that it was matched to."""
    body = (SHARED / "notices" / "gcn-schema" / "notices" / "boom" / "alert.example.json").read_bytes()
    record = json.loads(body)["data"]
    head, alert = read(body)
    target = record["targets"][0]
    assert head[:2] == ("ztf", target["event_name"])
    assert len(alert.points) == len(record["photometry"])
    for row in record["photometry"]:
        flux = None if "mag" not in row else figures(njy(row["mag"]))
        limit = row["limiting_mag"]
        assert any((p.band, figures(p.flux_njy), p.limit_mag) == (row["filter"], flux, limit) for p in alert.points)
    assert alert.facts.matches[0].name == target["gcn_crossmatch"][0]["ref_ID"]


def as_bare_avro(rows, name):
    """Rows of a table as Fink puts them on Kafka: bare Avro, and the schema that is the message's key."""
    schema = {"type": "record", "name": name, "fields": []}
    for column in rows[0]:
        kinds = [row[column] for row in rows]
        schema["fields"].append(
            {"name": column, "type": ["null", avro_type([k for k in kinds if k is not None], column)]}
        )
    bodies = []
    for row in rows:
        stream = io.BytesIO()
        fastavro.schemaless_writer(stream, fastavro.parse_schema(json.loads(json.dumps(schema))), row)
        bodies.append(stream.getvalue())
    return bodies, json.dumps(schema).encode()


def avro_type(values, name):
    """The Avro type of a column's values."""
    values = [v for v in values if v is not None]
    if values and isinstance(values[0], dict):
        keys = list(dict.fromkeys(key for v in values for key in v))
        fields = [{"name": k, "type": ["null", avro_type([v.get(k) for v in values], f"{name}_{k}")]} for k in keys]
        return {"type": "record", "name": f"r_{name}", "fields": fields}
    if values and isinstance(values[0], list):
        return {"type": "array", "items": ["null", avro_type([i for v in values for i in v], f"{name}_item")]}
    kinds = {bool: "boolean", int: "long", float: "double", str: "string", bytes: "bytes"}
    return next((kinds[type(v)] for v in values if type(v) in kinds), "string")


def parquet(name, drop=()):
    """Rows of a Parquet file as pandas' engine reads them, without stamps and what Avro cannot hold."""
    import pyarrow.parquet as pq

    table = pq.read_table(SURVEYS / name)
    keep = [n for n in table.schema.names if not n.startswith(("cutout", "timestamp", "broker")) and n not in drop]
    return table.select([*keep]).to_pylist()


def test_fink_ztf():
    """67 real ZTF alerts as Fink sends them: every point, and what Fink adds, as in its Parquet file."""
    rows = parquet("ztf/fink_regular_2.parquet", drop=("mangrove",))
    bodies, key = as_bare_avro(rows, "fink_ztf")
    known = Formats()
    assert len(rows) == 67
    for row, body in zip(rows, bodies, strict=True):
        found_format = known.format_of(body, key=key)
        alert = found_format.alert(body)
        assert found_format.head(body) == alert.head
        assert found_format.broker == "fink"
        assert alert.head[1:5] == (row["objectId"], str(row["candid"]), row["candidate"]["ra"], row["candidate"]["dec"])
        assert found(alert) == ztf_points(row)
        names = {m.catalog: m.name for m in alert.facts.matches}
        sentinels = ("Unknown", "Fail", "nan", "", None)
        assert names.get("SIMBAD type") == (None if row["cdsxmatch"] in sentinels else row["cdsxmatch"])
        assert alert.facts.details["roid"] == row["roid"]
        if row["candidate"]["ssdistnr"] is not None and row["candidate"]["ssdistnr"] >= 0:
            assert alert.facts.solar_system.distance_arcsec == row["candidate"]["ssdistnr"]
        elif row["roid"] != 3:
            assert alert.facts.solar_system is None
        assert alert_of(row, form_of_record(row)).points == alert.points
        assert not measurements(alert).simulated


def test_fink_lsst():
    """27 real Rubin alerts as Fink sends them: points, solar-system objects and cross-matches as in its Parquet file."""
    rows = parquet("lsst/rubin_10_0_27_alerts.parquet", drop=("lc_features", "mpc_orbits"))
    bodies, key = as_bare_avro(rows, "fink_lsst")
    known = Formats()
    moving = 0
    for row, body in zip(rows, bodies, strict=True):
        alert = known.format_of(body, key=key).alert(body)
        source = row["diaSource"]
        assert known.format_of(body, key=key).head(body) == alert.head
        assert alert.head[2:5] == (str(source["diaSourceId"]), source["ra"], source["dec"])
        assert found(alert) == lsst_points(row)
        assert alert.facts.is_negative == source["isNegative"]
        if source["ssObjectId"]:
            moving += 1
            assert alert.head.object_id == f"sso{source['ssObjectId']}"
            said = row["ssSource"] or {}
            assert alert.facts.solar_system.name == (said.get("designation") or f"sso{source['ssObjectId']}")
        else:
            assert alert.head.object_id == str(row["diaObject"]["diaObjectId"])
            assert alert.facts.solar_system == (SolarSystemMatch(None, None) if row["pred"]["is_sso"] else None)
    assert len(rows) == 27
    assert moving == 3
    assert sum(len(listed(row["prvDiaSources"])) for row in rows) == 2


def test_fink_pairs():
    """18 pairs of a ZTF alert and a burst: position, time and the burst; they have no light curve."""
    rows = parquet("ztf/fink_grb.parquet")
    bodies, key = as_bare_avro(rows, "fink_grb")
    assert len(rows) == 18
    for row, body in zip(rows, bodies, strict=True):
        known = Formats().format_of(body, key=key)
        alert = known.alert(body)
        assert alert.head[:5] == ("ztf", row["objectId"], str(row["candid"]), row["ztf_ra"], row["ztf_dec"])
        assert known.head(body).mjd == pytest.approx(mjd(row["jd"]), abs=1e-9)
        assert alert.facts.matches[0].name == row["triggerId"]
        assert alert.points == ()
