"""Notices of other observatories that nobody should send: refused ones with the reason, and those of which the rest is used."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Iterator
from typing import Any

from tests.alerts import fits_map
from tests.gcn_notices import body, record, svom, voevent


def raw(stream: str, **changes: Any) -> bytes:
    """A notice whose changes to None stay as null."""
    return json.dumps(record(stream) | changes).encode()


def refused() -> Iterator[tuple[str, str, bytes, str]]:
    """Name, stream, message, and a part of the reason: the trigger or the time is not to be found."""
    whole = body("fermi_gbm")
    dates = dict.fromkeys(("alert_datetime", "trigger_time"), "2026-03-01")
    future = body("dsa110_frb", alert_datetime=None, trigger_time="2098-12-31T00:00:00Z")
    doctype = "<?xml version='1.0' encoding='UTF-16'?><!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>"
    yield "empty", "fermi_gbm", b"", "empty"
    yield "cut short", "swift_bat_guano", body("swift_bat_guano")[:100], "not JSON"
    yield "not UTF-8", "chime_frb", b'{"id": "\xff\xfe", "trigger_time": 1', "not UTF-8"
    yield "a list", "km3net", b"[1, 2]", "list where an object"
    yield "an empty object", "maxi_gsc_unknown", b"{}", "empty object"
    yield "error of a broker", "icecube_tracks", b"Subscribed topic not available: unknown topic", "not JSON"
    yield "nested", "svom", b'{"a":' * 500 + b"1" + b"}" * 500, "nested"
    yield "XML in JSON's topic", "fermi_gbm", voevent(), "not JSON"
    yield "JSON in XML's topic", "fermi_gbm_classic", whole, "not XML"
    yield "entities", "fermi_gbm_classic", b"<!DOCTYPE a [<!ENTITY b 'c'>]>" + voevent(), "document type"
    yield "XML cut short", "fermi_gbm_classic", voevent()[:600], "not XML"
    yield "other XML", "fermi_gbm_classic", b"<html><body>Bad gateway</body></html>", "not a VOEvent"
    yield "other encoding", "fermi_gbm_classic", b"<?xml version='1.0' encoding='klingon'?><voe:VOEvent/>", "XML"
    yield "large XML", "fermi_gbm_classic", voevent() + b" " * 1_000_001, "1 MB"
    yield "trigger missing", "einstein_probe_wxt", body("einstein_probe_wxt", id=None), "id is missing"
    yield "trigger null", "dsa110_frb", raw("dsa110_frb", id=None), "id is missing"
    yield "trigger empty", "svom", body("svom", id=[]), "id is missing"
    yield "trigger an object", "fermi_gbm", body("fermi_gbm", id={"a": 1}), "id is missing"
    yield "trigger true", "maxi_gsc_unknown", body("maxi_gsc_unknown", id=True), "id is missing"
    yield "path for a trigger", "fermi_gbm", body("fermi_gbm", id=["../../etc/passwd"]), "names no trigger"
    yield "trigger of another", "chime_frb", body("chime_frb", id="sb26030101"), "names no trigger"
    yield "endless trigger", "fermi_gbm", body("fermi_gbm", id=["7" * 5000]), "names no trigger"
    yield "trigger with a line", "fermi_gbm", body("fermi_gbm", id=["794059200\n-Update"]), "names no trigger"
    unnamed = voevent(trigger="").replace(b"bn260301500", b"unnamed")
    yield "VOEvent without trigger", "fermi_gbm_classic", unnamed, "id is missing"
    yield "no time", "chime_frb", body("chime_frb", alert_datetime=None, trigger_time=None), "neither"
    yield (
        "times that are none",
        "svom",
        body("svom", alert_datetime="now", trigger_time="12 o'clock"),
        "not an ISO 8601",
    )
    yield (
        "made tomorrow",
        "chime_frb",
        body("chime_frb", alert_datetime="2099-01-01T00:00:00Z"),
        "more than a day after",
    )
    yield "without time, of the future", "dsa110_frb", future, "more than a day after"
    yield "SVOM cut short", "svom_voevent", svom()[:700], "not XML"
    yield "SVOM's JSON topic", "svom", svom(trigger="sb26030102"), "not JSON"
    yield "SVOM of another", "svom_voevent", svom(trigger="745121685"), "names no trigger"
    yield "SVOM without time", "svom_voevent", svom(created="soon", time="later"), "not an ISO 8601"
    yield "XML in UTF-16", "svom_voevent", svom().decode().replace("UTF-8", "UTF-16").encode("utf-16"), "not UTF-8"
    yield "entities in UTF-16", "fermi_gbm_classic", doctype.encode("utf-16"), "not UTF-8"
    yield "trigger in other digits", "fermi_gbm", body("fermi_gbm", id=["７９４０５９２００"]), "names no trigger"
    yield "trigger a fraction", "fermi_gbm", body("fermi_gbm", id=[794059200.5]), "id is missing"
    yield (
        "trigger with an end",
        "icecube_tracks",
        body("icecube_tracks", id=["141000_1\u0000"], event_name=None),
        "names no",
    )
    yield "thousands of triggers", "swift_bat_guano", body("swift_bat_guano", id=["x"] * 5000), "names no trigger"
    yield "a date for a time", "superk_sn", body("superk_sn", **dates), "a date without a time of day"
    yield "the year one", "km3net", body("km3net", **dict.fromkeys(dates, "0001-01-01T00:00:00Z")), "outside"
    yield (
        "time zone of 99 h",
        "chime_frb",
        body("chime_frb", **dict.fromkeys(dates, "2026-03-01T00:00:00+99:00")),
        "not an ISO",
    )
    yield (
        "numbers for times",
        "einstein_probe_wxt",
        body("einstein_probe_wxt", **dict.fromkeys(dates, 1772366400)),
        "number",
    )
    yield (
        "times of the future",
        "svom",
        body("svom", alert_datetime=None, trigger_time="9999-01-01T00:00:00Z"),
        "outside",
    )


def partly_used() -> Iterator[tuple[str, str, bytes, str]]:
    """Name, stream, message, and a part of what is named as wrong: the notice is a version without it."""
    nan = body("fermi_gbm").replace(b'"ra": 150.0', b'"ra": NaN')
    yield "NaN position", "fermi_gbm", nan, "ra is not a finite number"
    yield "half a position", "svom", body("svom", dec=None), "only one of ra and dec"
    yield "beyond the pole", "svom", body("svom", dec=-91), "not a declination"
    yield "text for a position", "svom", body("svom", ra="10h 20m"), "text where a number"
    yield "no error but zero", "svom", body("svom", ra_dec_error=0), "not an error in degrees"
    yield "negative error", "svom", body("svom", ra_dec_error=[-1, 2, 0]), "not an error in degrees"
    yield "too many axes", "svom", body("svom", ra_dec_error=[1, 2, 3, 4]), "4 values"
    yield "error of the sky", "svom", body("svom", ra_dec_error=119, containment_probability=0.5), "no localisation"
    yield "a needle", "svom", body("svom", ra_dec_error=[30, 0.001, 0]), "too narrow"
    yield "certain", "svom", body("svom", containment_probability=1), "no error follows"
    yield "percent", "svom", body("svom", containment_probability=90), "not a probability"
    yield (
        "two corners",
        "maxi_gsc_unknown",
        body("maxi_gsc_unknown", rectangular_error_corners=[[1, 2], [3, 4]]),
        "four corners",
    )
    bow = [[149.0, 19.0], [151.0, 21.0], [151.0, 19.0], [149.0, 21.0]]
    yield "corners crossed", "maxi_gsc_unknown", body("maxi_gsc_unknown", rectangular_error_corners=bow), "no rectangle"
    yield "not base64", "swift_bat_guano", body("swift_bat_guano", healpix_file="hhhh..."), "not base64"
    bomb = base64.b64encode(gzip.compress(b"\0" * 2_000_000)).decode()
    yield "not FITS", "swift_bat_guano", body("swift_bat_guano", healpix_file=bomb), "not FITS"
    yield "map a number", "swift_bat_guano", body("swift_bat_guano", healpix_file=5), "where base64 text"
    yield "rate below zero", "icecube_tracks", body("icecube_tracks", far=-1), "far is -1"
    yield "rate endless", "icecube_tracks", body("icecube_tracks", far=None).replace(b"{", b'{"far": 1e400, ', 1), "far"
    yield "class in words", "km3net", body("km3net", classification={"GRB": "likely"}), "classification.GRB"
    yield "classes a list", "km3net", body("km3net", classification=["GRB"]), "classification is a list"
    yield "unknown kind", "superk_sn", body("superk_sn", alert_type="upgrade"), "read as update"
    yield "unknown tense", "superk_sn", body("superk_sn", alert_tense="future"), "read as current"
    yield "other server", "fermi_gbm", body("fermi_gbm", healpix_url="http://10.0.0.1/a.fits"), "no map of this stream"
    yield "VOEvent's radius", "fermi_gbm_classic", voevent(radius="wide"), "ra_dec_error"
    yield "trigger after its notice", "km3net", body("km3net", trigger_time="2026-03-05T12:00:00Z"), "would be after"
    yield (
        "systematic in words",
        "fermi_gbm",
        body("fermi_gbm", systematic_included="true"),
        "systematic_included is a text",
    )
    yield "source a list", "dsa110_frb", body("dsa110_frb", known_source=["FRB"]), "known_source is a list"
    yield "kind a number", "fermi_gbm", body("fermi_gbm", subtype=112), "subtype is a number"
    yield (
        "error of 200 deg",
        "einstein_probe_wxt",
        body("einstein_probe_wxt", ra_dec_error=200),
        "not an error in degrees",
    )
    yield "error in an object", "icecube_tracks", body("icecube_tracks", ra_dec_error={"radius": 1}), "where a number"
    yield "error NaN", "chime_frb", raw("chime_frb", ra_dec_error=[float("nan"), 0.5, 0]), "not a finite number"
    yield "far off the circle", "superk_sn", body("superk_sn", ra=4000), "not a right ascension"
    yield "position true", "superk_sn", body("superk_sn", ra=True), "boolean where a number"
    yield "huge whole number", "chime_frb", raw("chime_frb", dm=10**400), "dm is"
    corners = [[10.0, -5.0], [10.0, -4.0], [11.0, -4.0], [11.0, -5.0]]
    box = body("maxi_gsc_unknown", rectangular_error_corners=corners)
    yield "box elsewhere", "maxi_gsc_unknown", box, "outside of the stated error"
    yield (
        "corners of NaN",
        "maxi_gsc_unknown",
        raw("maxi_gsc_unknown", rectangular_error_corners=[[float("nan")] * 2] * 4),
        "finite",
    )
    elsewhere = base64.b64encode(fits_map(330.0, -20.0, 2.0, layers=False)).decode()
    yield (
        "map elsewhere",
        "swift_bat_guano",
        body("swift_bat_guano", healpix_file=elsewhere),
        "outside of its 99.9 % region",
    )
    half = elsewhere[: len(elsewhere) // 8 * 4]
    yield "half a map", "swift_bat_guano", body("swift_bat_guano", healpix_file=half), "healpix_file"
    yield "SVOM's radius", "svom_voevent", svom(radius="-2"), "not an error in degrees"
    yield "SVOM's place", "svom_voevent", svom().replace(b"<C1>150.0</C1>", b"<C1>north</C1>"), "text where a number"
    yield "SVOM's pole", "svom_voevent", svom().replace(b"<C2>20.0</C2>", b"<C2>1e400</C2>"), "not a finite number"
    yield "lone surrogate", "km3net", body("km3net", alert_tense="x").replace(b'"x"', b'"\\ud800"'), "read as current"
