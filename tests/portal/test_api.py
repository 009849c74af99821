"""The API: what it answers, in every format, and what it refuses."""

from __future__ import annotations

import io
import json
import math
from datetime import UTC, datetime, timedelta

import astropy.units as u
import numpy as np
import pytest
from astropy.io import votable
from astropy.io.votable.ucd import check_ucd
from astropy.table import Table
from fastapi.testclient import TestClient

from mma_pipeline.adapters.archive.coincidences import PairState, pairs_of
from mma_pipeline.portal.app import create_app
from mma_pipeline.portal.context import Portal
from tests.alerts import body
from tests.defs.test_coincidences import fermi
from tests.gcn_notices import body as notice
from tests.homes import Home
from tests.portal.conftest import DEC, LIVE, RA, SIGMA

EVENT = "/api/v1/events/S240301a"
CROSS = f"/api/v1/events/{LIVE}/crossmatch"
CSV = {"content-type": "text/csv"}


def read(content: bytes, kind: str) -> Table:
    """A table as astropy reads it."""
    if kind == "votable":
        return Table.read(io.BytesIO(content), format="votable")
    return Table.read(content.decode().splitlines(), format="ascii.ecsv")


def test_event_versions_products(web: TestClient, filled: Home) -> None:
    """Event, versions and products say what the archive has, and each file's address leads to its bytes."""
    event = web.get(EVENT).json()
    assert (event["kind"], event["versions"], event["coincidences"]) == ("Update", 3, ["Fermi"])
    assert event["retracted_by"] is None
    versions = web.get(f"{EVENT}/versions").json()["versions"]
    assert [v["kind"] for v in versions] == ["Update-ExtCoinc", "Update", "Preliminary"]
    assert versions[1]["facts"]["far_hz"] == 1e-9
    assert web.get(f"/api/v1/versions/{versions[1]['version']}").json() == versions[1]
    products = web.get(f"{EVENT}/products").json()["products"]
    figures = {(p["product"], p["version"]): p["figures"] for p in products}
    assert event["area_90_deg2"] == figures["skymap_statistics", event["map_version"]]["area_90_deg2"]
    file = products[0]["files"][0]
    assert len(web.get(file["href"]).content) == file["size"]
    files = web.get(f"{EVENT}/files").json()["files"]
    ours = {key for key in filled.files() if "S240301a" in key and "MS240301a" not in key}
    assert {file["key"] for file in files} == ours


def test_pages_of_a_list(web: TestClient) -> None:
    """A list comes in pages of at most 500 that together hold each event once."""
    first = web.get("/api/v1/events?size=2").json()
    second = web.get("/api/v1/events?size=2&start=2").json()
    assert (first["total"], len(first["events"]), len(second["events"])) == (3, 2, 1)
    assert len({event["event"] for event in first["events"] + second["events"]}) == 3
    assert web.get("/api/v1/events?size=501").status_code == 422
    assert web.get("/api/v1/events?size=0").status_code == 422
    assert web.get("/api/v1/events?sise=1").status_code == 422


@pytest.mark.parametrize("kind", ["votable", "ecsv"])
def test_tables(web: TestClient, kind: str) -> None:
    """A list of events as VOTable and ECSV has the values of the JSON, by parameter and by header."""
    events = web.get("/api/v1/events").json()["events"]
    by_parameter = web.get(f"/api/v1/events?format={kind}")
    by_header = web.get("/api/v1/events", headers={"accept": by_parameter.headers["content-type"]})
    assert by_header.content == by_parameter.content
    table = read(by_parameter.content, kind)
    assert list(table["event"]) == [event["event"] for event in events]
    assert list(table["area_90_deg2"]) == [event["area_90_deg2"] for event in events]
    empty = read(web.get(f"/api/v1/events?text=S99&format={kind}").content, kind)
    assert len(empty) == 0


@pytest.mark.parametrize(
    "path", ["events", "pairs?test=true", "events/S240301a/candidates", "regions/objects", "crossmatch"]
)
def test_votables_are_described(web: TestClient, path: str) -> None:
    """Every FIELD of a VOTable has a UCD of IVOA's vocabulary, and each number with a unit in its name has that unit."""
    if path == "crossmatch":
        answer = web.post(f"{CROSS}?format=votable", content=b"ra,dec,distance\n150,20,100\n", headers=CSV)
    elif path == "regions/objects":
        answer = web.post(f"/api/v1/{path}?format=votable", content=b"3/5", headers={"content-type": "text/plain"})
    else:
        answer = web.get(f"/api/v1/{path}{'&' if '?' in path else '?'}format=votable")
    fields = {f.name: f for f in votable.parse(io.BytesIO(answer.content), verify="exception").get_first_table().fields}
    assert all(check_ucd(field.ucd, check_controlled_vocabulary=True) for field in fields.values())
    units = {"ra": "deg", "dec": "deg", "ra_deg": "deg", "dec_deg": "deg", "far_hz": "Hz", "distance_mpc": "Mpc", "offset_deg": "deg",
        "area_90_deg2": "deg2", "searched_vol_mpc3": "Mpc3", "difference_s": "s", "probdensity_per_sr": "sr-1"}  # fmt: skip
    for name in fields.keys() & units.keys():
        assert fields[name].unit == u.Unit(units[name]), name
    assert fields.keys() & units.keys()


def test_pairs(web: TestClient, filled: Home) -> None:
    """A pair is what the archive has of it, from either event and in the list of all, in every format."""
    (kept,) = pairs_of(filled.archive, "MS240301a")
    assert kept.state is PairState.CLAIMED
    (pair,) = web.get("/api/v1/pairs?test=true&state=claimed").json()["pairs"]
    assert (pair["gw_event"], pair["other_event"], pair["test"]) == ("MS240301a", "TFermi_731246338", True)
    assert pair["figures"]["far_hz"] == kept.figures["far_hz"]
    assert pair["figures"]["difference_s"] == pytest.approx(-1.7)
    for event in (pair["gw_event"], pair["other_event"]):
        assert web.get(f"/api/v1/events/{event}/pairs").json() == {"total": 1, "start": 0, "pairs": [pair]}
    for kind in ("votable", "ecsv"):
        table = read(web.get(f"/api/v1/pairs?test=true&format={kind}").content, kind)
        assert list(table["far_hz"]) == [kept.figures["far_hz"]]
        assert list(table["other_event"]) == ["TFermi_731246338"]
    for none in ("", "?test=true&state=chance", "?test=true&before=2024-03-01", "?test=true&start=1"):
        assert web.get(f"/api/v1/pairs{none}").json()["pairs"] == []
    assert web.get("/api/v1/pairs?state=sure").status_code == 422
    assert web.get("/api/v1/events/Fermi_731246338/pairs").status_code == 404
    events = web.get("/api/v1/events?test=true&coincidence=true").json()["events"]
    assert {e["event"]: e["partners"] for e in events} == {
        "MS240301a": ["TFermi_731246338"],
        "TFermi_731246338": ["MS240301a"],
    }


@pytest.mark.parametrize("sent", ["json", "csv", "ecsv", "votable"])
@pytest.mark.parametrize("kind", ["json", "votable", "ecsv"])
def test_crossmatch(web: TestClient, sent: str, kind: str) -> None:
    """A position at distance r from the centre of a Gaussian of width s has credible level 1 - exp(-r²/2s²)."""
    offset = np.array([0.5, 1.5, 3.0, 5.0])
    table = Table({"name": ["a", "b", "c", "d"], "ra": np.full(4, RA), "dec": DEC + offset, "distance": [100.0] * 4})
    if sent == "json":
        rows = [{k: v.item() if hasattr(v, "item") else str(v) for k, v in dict(row).items()} for row in table]
        body, type_ = json.dumps({"positions": rows}).encode(), "application/json"
    else:
        buffer = io.BytesIO() if sent == "votable" else io.StringIO()
        names = {"csv": "ascii.csv", "ecsv": "ascii.ecsv", "votable": "votable"}
        table.write(buffer, format=names[sent])
        value = buffer.getvalue()
        body = value if isinstance(value, bytes) else value.encode()
        type_ = {"csv": "text/csv", "ecsv": "text/x.ecsv", "votable": "application/x-votable+xml"}[sent]
    answer = web.post(f"{CROSS}?format={kind}", content=body, headers={"content-type": type_})
    assert answer.status_code == 200, answer.text
    levels = 1 - np.exp(-(offset**2) / (2 * SIGMA**2))
    if kind == "json":
        found = answer.json()["positions"]
        values = [row["searched_prob"] for row in found]
        assert [row["name"] for row in found] == ["a", "b", "c", "d"]
        assert all(0 < row["searched_prob_vol"] < 1 for row in found)
    else:
        back = read(answer.content, kind)
        values = list(back["searched_prob"])
        assert list(back["name"]) == ["a", "b", "c", "d"]
    assert values == pytest.approx(levels, abs=0.08), "pixels are 0.9 deg wide"


@pytest.mark.parametrize("sent", ["ecsv", "votable"])
def test_units_of_a_table(web: TestClient, sent: str) -> None:
    """A table in radians, hours and kpc gives what the same table in degrees and Mpc gives; other units are refused by name."""
    plain = Table({"ra": [RA], "dec": [DEC + SIGMA], "distance": [90.0]})
    stated = Table(
        {"ra": [RA / 15], "dec": [np.radians(DEC + SIGMA)], "distance": [90e3]},
        units={"ra": "hourangle", "dec": "rad", "distance": "kpc"},
    )
    wrong = Table({"ra": [1.0], "dec": [2.0]}, units={"ra": "deg", "dec": "kpc"})
    type_ = {"ecsv": "text/x.ecsv", "votable": "application/xml"}[sent]
    answers = []
    for table in (plain, stated, wrong):
        buffer = io.BytesIO() if sent == "votable" else io.StringIO()
        table.write(buffer, format={"ecsv": "ascii.ecsv", "votable": "votable"}[sent])
        value = buffer.getvalue()
        body = value if isinstance(value, bytes) else value.encode()
        answers.append(web.post(CROSS, content=body, headers={"content-type": type_}))
    first, second = (answer.json()["positions"][0] for answer in answers[:2])
    assert second["ra_deg"] == pytest.approx(RA)
    assert second["distance_mpc"] == pytest.approx(90.0)
    assert second["searched_prob_vol"] == pytest.approx(first["searched_prob_vol"], rel=1e-9)
    assert answers[2].status_code == 422
    assert "column dec is in kpc" in answers[2].json()["detail"]


def test_a_retraction_is_told(web: TestClient) -> None:
    """What is computed of a retracted event says so, in JSON and in the tables' metadata; of a live event it says that it is not."""
    path = "/api/v1/events/S240229b/crossmatch"
    found = web.post(path, content=b"ra,dec\n1,2\n", headers=CSV).json()
    assert found["retracted_by"] == web.get("/api/v1/events/S240229b").json()["retracted_by"] is not None
    for kind in ("votable", "ecsv"):
        answer = web.post(f"{path}?format={kind}", content=b"ra,dec\n1,2\n", headers=CSV)
        table = read(answer.content, kind)
        assert found["retracted_by"] in (table.meta["description"] if kind == "votable" else table.meta["retracted_by"])
    assert web.get("/api/v1/events/S240229b/coverage").json()["retracted_by"] == found["retracted_by"]
    assert web.post(CROSS, content=b"ra,dec\n1,2\n", headers=CSV).json()["retracted_by"] is None


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (b"", CSV, 422),
        (b"ra,dec\n1,91\n", CSV, 422),
        (b"ra,dec\n400,1\n", CSV, 422),
        (b"ra,dec\nnan,1\n", CSV, 422),
        (b"ra\n1\n", CSV, 422),
        (b"\xff\xfe", CSV, 422),
        (b"{}", {}, 422),
        (b'{"positions": []}', {}, 422),
        (b'{"positions": [{"ra": 1, "dec": 2, "distance": -5}]}', {}, 422),
        (b"[" * 5000, {}, 422),
        (b"x", {"content-type": "application/x-python-pickle"}, 415),
        (b"<VOTABLE><RESOURCE><TABLE><DATA><FITS><STREAM href='file:///etc/passwd'/></FITS></DATA></TABLE></RESOURCE></VOTABLE>", {"content-type": "application/x-votable+xml"}, 422),
        (b"<VOTABLE><RESOURCE><TABLE><FIELD name='ra' datatype='double'/><DATA><BINARY><v:Stream encoding='>' \n href='file:///etc/passwd'/></BINARY></DATA></TABLE></RESOURCE></VOTABLE>", {"content-type": "text/xml"}, 422),
        (b"<!DOCTYPE x [<!ENTITY a 'b'>]><VOTABLE>&a;</VOTABLE>", {"content-type": "text/xml"}, 422),
        (b"<?xml version='1.0' encoding='cp037'?>" + "<VOTABLE/>".encode("cp037"), {"content-type": "text/xml"}, 422),
        (b"ra,dec\n" + b"1,2\n" * 20_001, CSV, 422),
        (b"x" * (9 << 20), CSV, 413),
    ],
)  # fmt: skip
def test_tables_that_cannot_be_used(web: TestClient, body: bytes, headers: dict[str, str], status: int) -> None:
    """What is no table of positions is refused with its reason; nothing outside of it is ever read."""
    answer = web.post(CROSS, content=body, headers=headers)
    assert answer.status_code == status, answer.text
    assert "root:" not in answer.text


def test_crossmatch_needs_a_map(web: TestClient) -> None:
    """An event that is not archived is not found."""
    assert web.post("/api/v1/events/S190425z/crossmatch", content=b"ra,dec\n1,2\n", headers=CSV).status_code == 404


def test_body_without_a_length(web: TestClient) -> None:
    """A body that does not say how large it is ends at the limit."""
    pieces = (b"x" * (1 << 20) for _ in range(10))
    assert web.post(CROSS, content=pieces, headers=CSV).status_code == 413


def test_live_events_at_a_position(web: TestClient) -> None:
    """A position is in the live event within the level of its Gaussian, and in no event far away or long ago."""
    ask = "/api/v1/regions/events"
    near = web.get(ask, params={"ra": RA, "dec": DEC + 2.0, "level": 0.9}).json()["events"]
    assert [place["event"] for place in near] == [LIVE]
    assert near[0]["credible_level"] == pytest.approx(1 - math.exp(-0.5), abs=0.05)
    assert web.get(ask, params={"ra": RA, "dec": DEC + 2.0, "level": 0.2}).json()["events"] == []
    assert web.get(ask, params={"ra": RA + 180, "dec": -DEC}).json()["events"] == []
    for wrong in ({"ra": 400, "dec": 0}, {"ra": "nan", "dec": 0}, {"ra": 0, "dec": "inf"}, {"ra": 0}):
        assert web.get(ask, params=wrong).status_code == 422


def test_events_of_every_messenger_at_a_position(home: Home) -> None:
    """At the place of a neutrino and of a burst both are live, with the superevent there; far away nothing is."""
    now = datetime.now(UTC) - timedelta(hours=1)
    told = f"{now:%Y-%m-%dT%H:%M:%SZ}"
    when = {"alert_datetime": told, "trigger_time": told}
    alerts = (
        body(LIVE, created=told, time=told),
        notice("icecube_tracks", **when),
        notice("einstein_probe_wxt", **when),
    )
    wanted = {home.receive(alert)[0].version.event_id for alert in alerts}
    assert len(wanted) == 3
    app = create_app(Portal(home.archive, home.store), hosts=["testserver"])
    with TestClient(app) as web:
        near = web.get("/api/v1/regions/events", params={"ra": RA, "dec": DEC}).json()["events"]
        far = web.get("/api/v1/regions/events", params={"ra": RA + 180, "dec": -DEC}).json()["events"]
    assert {place["event"] for place in near} == wanted
    assert far == []


def test_objects_in_a_region(web: TestClient, filled: Home) -> None:
    """A MOC in, the candidates in it out: as mocpy has it, in JSON and ASCII."""
    import astropy.units as u
    import sqlalchemy as sa
    from astropy.coordinates import Latitude, Longitude
    from mocpy import MOC

    from mma_pipeline.adapters.archive import schema, writing

    rng = np.random.default_rng(5)
    names = [f"AT2024{i:04d}" for i in range(200)]
    ra, dec = rng.uniform(0, 360, 200), np.degrees(np.arcsin(rng.uniform(-1, 1, 200)))
    rows = [
        {"name": n, "slug": n, "ra": float(x), "dec": float(y), "simulated": i == 0}
        for i, (n, x, y) in enumerate(zip(names, ra, dec, strict=True))
    ]
    with writing(filled.archive.engine) as connection:
        connection.execute(sa.insert(schema.candidate), rows)
    try:
        place = Longitude(120 * u.deg), Latitude(10 * u.deg)
        moc = MOC.from_cone(*place, radius=60 * u.deg, max_depth=7)
        inside = moc.contains_lonlat(ra * u.deg, dec * u.deg)
        wanted = [name for name, holds in zip(names[1:], inside[1:], strict=True) if holds]
        assert 20 < len(wanted) < 100
        fits = io.BytesIO()
        moc.serialize("fits").writeto(fits)
        for text, type_ in (
            (moc.to_string("json"), "text/plain"),
            (moc.to_string("ascii"), "text/plain; charset=utf-8"),
            (moc.to_string("json"), "application/json"),
            (fits.getvalue(), "application/fits"),
        ):
            answer = web.post("/api/v1/regions/objects?size=500", content=text, headers={"content-type": type_})
            assert [entry["name"] for entry in answer.json()["objects"]] == wanted
            assert answer.json()["area_deg2"] == pytest.approx(moc.sky_fraction * 41252.96125, rel=1e-6)
    finally:
        with writing(filled.archive.engine) as connection:
            connection.execute(sa.delete(schema.candidate).where(schema.candidate.c.name.in_(names)))
    for wrong in ("nonsense", '{"3": ["a"]}', "3/769", "40/1", "[1]", '{"3": 5}', "7"):
        answer = web.post("/api/v1/regions/objects", content=wrong, headers={"content-type": "text/plain"})
        assert answer.status_code == 422, wrong


@pytest.mark.parametrize(
    ("content", "type_", "status"),
    [
        (b"\x89PNG", "image/png", 415),
        (b"6/1", "application/json", 422),
        (b"[1]", "application/json", 422),
        (b"6/1", "application/fits", 422),
        (b"SIMPLE  =                    T", "application/fits", 422),
        (b"\x1f\x8b", "application/fits", 422),
        (b"\xff", "text/plain", 422),
        (b" ", "text/plain", 422),
    ],
)
def test_a_region_is_what_its_type_says(web: TestClient, content: bytes, type_: str, status: int) -> None:
    """A region is read as the content type says, and what is of another kind is refused."""
    answer = web.post("/api/v1/regions/objects", content=content, headers={"content-type": type_})
    assert answer.status_code == status, answer.text


@pytest.mark.parametrize("path", ["/api/v1/regions/objects", CROSS])
def test_parameters_that_are_none(web: TestClient, path: str) -> None:
    """A parameter that an operation does not have is refused with those that it has, whatever the method."""
    body, kind = (b"6/1", "text/plain") if path.endswith("objects") else (b"ra,dec\n1,2\n", "text/csv")
    assert web.post(path, content=body, headers={"content-type": kind}).status_code == 200
    answer = web.post(f"{path}?formt=ecsv", content=body, headers={"content-type": kind})
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["loc"] == ["query", "formt"]
    assert "format" in answer.json()["detail"][0]["msg"]
    for asked in (
        f"{EVENT}?x=1",
        f"{EVENT}/coverage?x=1",
        "/api/v1/quarantine?x=1",
        "/api/v1/regions/events?ra=1&dec=2&x=1",
    ):
        assert web.get(asked).status_code == 422
    assert web.get(f"{EVENT}/coverage?size=1").status_code == 200


def test_what_an_id_is(web: TestClient) -> None:
    """What is no id of an event is refused in words."""
    answer = web.get("/api/v1/events/foo")
    assert answer.status_code == 422
    assert answer.json()["detail"][0]["msg"] == "'foo' is not the id of an event, such as S230518h or Fermi_745121685"


@pytest.mark.parametrize("spelled", ["s240301a", "S240301A"])
def test_ids_in_any_case(web: TestClient, filled: Home, spelled: str) -> None:
    """Every path below an event answers for its id in upper and lower case as for the id itself, and so does a version's key."""
    for below in ("", "/versions", "/products", "/files", "/candidates", "/pairs", "/coverage"):
        answer = web.get(f"/api/v1/events/{spelled}{below}")
        assert answer.status_code == 200, below
        assert answer.json() == web.get(f"/api/v1/events/S240301a{below}").json()
    matched = web.post(f"/api/v1/events/{spelled}/crossmatch", content=b"ra,dec\n150,20\n", headers=CSV).json()
    assert matched["event"] == "S240301a"
    assert web.get("/api/v1/events/tfermi_731246338").json()["event"] == "TFermi_731246338"
    assert web.get("/api/v1/events/s999999z").status_code == 404
    key = filled.archive.versions("S240301a")[0].partition_key
    for written in (key, key.lower()):
        assert web.get(f"/api/v1/versions/{written}").json()["version"] == key
    assert web.get("/api/v1/versions/S240229b").status_code == 404, "an event is no version"


@pytest.mark.parametrize("event", ["MS260301ab", "TS260301c", "GW260301A", "TFermi_731246338"])
def test_every_path_takes_an_id_in_any_case(home: Home, event: str) -> None:
    """Every path of the API with an event in it answers for mock, test, confirmed and trigger ids in lower and upper case alike."""
    home.receive(fermi() if event.startswith("TFermi") else body(event))
    with TestClient(create_app(Portal(home.archive, home.store), hosts=["testserver"])) as web:
        paths = web.get("/api/v1/openapi.json").json()["paths"]
        found = [(path, method) for path, methods in paths.items() for method in methods if "{event}" in path]
        assert len(found) > 6
        for path, method in found:
            content = {"content": b"ra,dec\n150,20\n", "headers": CSV} if method == "post" else {}
            wanted, *others = (
                web.request(method, path.replace("{event}", spelled), **content)
                for spelled in (event, event.lower(), event.upper())
            )
            assert wanted.status_code == 200, path
            assert all((other.status_code, other.json()) == (200, wanted.json()) for other in others), path


def test_classes_in_any_case(web: TestClient) -> None:
    """Classes, properties and kinds are found in upper and lower case."""
    for name in ("source_class=BNS", "kind=Update"):
        found = web.get(f"/api/v1/events?{name}").json()["total"]
        assert (
            web.get(f"/api/v1/events?{name.replace('BNS', 'bns').replace('=Update', '=update')}").json()["total"]
            == found
        )
        assert found > 0


def test_csv_of_a_spreadsheet(web: TestClient) -> None:
    """A byte order mark, as Excel writes one, does no harm."""
    found = web.post(CROSS, content="\ufeffra,dec\n150,20\n".encode(), headers=CSV).json()["positions"]
    assert found[0]["ra_deg"] == 150


def test_quarantine(web: TestClient) -> None:
    """The API lists what waits in quarantine, with the reason as it was written."""
    (entry,) = web.get("/api/v1/quarantine").json()["messages"]
    assert entry["reason"].startswith("<script>")
    assert entry["coordinates"] == "igwn.gwalert/0/900"
    assert web.get("/api/v1/quarantine").headers["content-type"] == "application/json"


def test_few_statements(web: TestClient, filled: Home) -> None:
    """A list costs the same few statements however many events there are; the pages of an event do not grow either."""
    import sqlalchemy as sa

    count = 0

    def counted(*_: object) -> None:
        nonlocal count
        count += 1

    web.get("/")
    sa.event.listen(filled.archive.engine, "before_cursor_execute", counted)
    try:
        for path, most in (("/", 2), ("/api/v1/events?retracted=true", 2), ("/events/S240301a/files", 6)):
            count = 0
            assert web.get(path).status_code == 200
            assert count <= most, path
    finally:
        sa.event.remove(filled.archive.engine, "before_cursor_execute", counted)
