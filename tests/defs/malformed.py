"""Messages that nobody should send: those that are put aside, and those of which the sound part is used."""

from __future__ import annotations

import gzip
import io
import json
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
from astropy.io import fits

from tests.alerts import alert, avro, map_of_columns

BASE = np.arange(12) + 4
UNIFORM = np.full(12, 1 / (4 * np.pi))


def tiny_map(uniq: np.ndarray = BASE, density: np.ndarray = UNIFORM, **cards: object) -> bytes:
    """A valid map of the fewest rows: the twelve base pixels, uniform."""
    if uniq is BASE and density is UNIFORM and not cards:
        return _uniform_map()
    return map_of_columns(uniq, density, layers=False, **cards)


@cache
def _uniform_map() -> bytes:
    return map_of_columns(BASE, UNIFORM, layers=False)


def good(superevent: str) -> bytes:
    """A small alert with nothing wrong."""
    return json.dumps(alert(superevent, skymap=tiny_map())).encode()


def with_event(**event: Any) -> bytes:
    """An alert with fields of its event changed."""
    return json.dumps(alert("S240302zz", skymap=tiny_map()) | _event(**event)).encode()


def _event(**event: Any) -> dict[str, Any]:
    return {"event": alert(skymap=tiny_map())["event"] | event}


def with_top(**top: Any) -> bytes:
    """An alert with top-level fields changed."""
    return json.dumps(alert("S240302zz", skymap=tiny_map()) | top).encode()


def without(key: str) -> bytes:
    """An alert without a top-level field."""
    record = alert("S240302zz", skymap=tiny_map())
    del record[key]
    return json.dumps(record).encode()


def with_map(data: bytes) -> bytes:
    """An alert with other bytes in place of its map."""
    return json.dumps(alert("S240302zz", skymap=data)).encode()


def deep_map(order: int) -> bytes:
    """A valid map whose first base pixel is split down to `order`, all probability in the last pixel split."""
    uniq = [np.arange(1, 12) + 4]
    for level in range(1, order + 1):
        uniq.append(np.arange(0 if level == order else 1, 4) + 4 * 4**level)
    rows = np.concatenate(uniq)
    density = np.zeros(len(rows))
    density[np.flatnonzero(rows == 4 * 4**order)[0]] = 1 / (np.pi / 3 / 4.0**order)
    return map_of_columns(rows, density, layers=False)


def bomb(size: int) -> bytes:
    """A gzip stream of less than a megabyte that begins like FITS and holds `size` bytes."""
    begin, zeros, times = tiny_map()[:2880], bytes(10_000_000), size // 10_000_000
    packer = zlib.compressobj(wbits=31)
    head = packer.compress(begin) + packer.flush(zlib.Z_FULL_FLUSH)
    # Nothing refers back across a full flush: what was packed once may be repeated.
    packed = packer.compress(zeros) + packer.flush(zlib.Z_FULL_FLUSH)
    check = zlib.crc32(begin)
    for _ in range(times):
        check = zlib.crc32(zeros, check)
    last_block = b"\x03\x00"
    return head + packed * times + last_block + struct.pack("<II", check, len(begin) + len(zeros) * times)


def picture() -> bytes:
    """A FITS file that holds a picture and no table."""
    buffer = io.BytesIO()
    fits.PrimaryHDU(np.zeros((4, 4))).writeto(buffer)
    return buffer.getvalue()


def renamed(data: bytes, old: bytes, new: bytes) -> bytes:
    """FITS bytes with a header text replaced by one of the same length."""
    assert len(old) == len(new)
    assert old in data
    return data.replace(old, new)


def cases() -> Iterator[tuple[str, bytes, str]]:
    """Messages that do not say what they are of: name, bytes, and what the reason in quarantine must say (a pattern)."""
    whole = good("S240302zz")
    yield "truncated JSON", whole[: len(whole) // 2], "not JSON"
    yield "UTF-16", whole.decode().encode("utf-16"), "not UTF-8"
    yield "empty body", b"", "empty"
    yield "white space", b" \n\t ", "empty"
    yield "null", b"null", "JSON null where an object"
    yield "number", b"17", "JSON number where an object"
    yield "text", b'"alert"', "JSON text where an object"
    yield "list", b"[" + whole + b"]", "JSON list where an object"
    yield "error text of a broker", b"Broker: Unknown topic or partition", "not JSON"
    yield "HTML error page", b"<html><body>502 Bad Gateway</body></html>", "not JSON"
    yield "nested without end", b"[" * 100_000, "nested"
    yield "nested deeply in an unknown key", with_top(extra=json.loads("[" * 200 + "]" * 200)), "nested"
    yield "two objects", whole + whole, "not JSON"
    yield "NUL bytes", b"\x00" * 1000, "not JSON"
    yield "id of ten thousand digits", b'{"superevent_id": ' + b"9" * 10_000 + b"}", "superevent_id is inf"
    yield "id missing", without("superevent_id"), "superevent_id is None"
    yield "id null", with_top(superevent_id=None), "superevent_id is None"
    yield "id a number", with_top(superevent_id=230518), "superevent_id is 230518"
    yield "id a list", with_top(superevent_id=["S230518h"]), "superevent_id"
    yield "id a path", with_top(superevent_id="../../x"), "superevent_id is '../../x'"
    yield "id an absolute path", with_top(superevent_id="/etc/passwd"), "superevent_id"
    yield "id with a path behind", with_top(superevent_id="S230518h/../../x"), "superevent_id"
    yield "id with NUL", with_top(superevent_id="S230518h\x00"), "superevent_id"
    yield "id with a line feed", with_top(superevent_id="S230518h\n"), "superevent_id"
    yield "id with a lone surrogate", with_top(superevent_id="S230518\ud800"), "superevent_id"
    yield "id of a megabyte", with_top(superevent_id="S230518" + "h" * 1_000_000), "superevent_id"
    yield "id of other digits", with_top(superevent_id="S２３０５１８h"), "superevent_id"
    yield "creation time missing", without("time_created"), "time_created is missing"
    yield "creation time a number", with_top(time_created=1709294400), "time_created is a number"
    yield "creation time in words", with_top(time_created="yesterday"), "'yesterday', not an ISO 8601 time"
    yield "creation time a bare date", with_top(time_created="2024-03-01"), "a date without a time of day"
    yield "creation time of 1970", with_top(time_created="1970-01-01T00:00:00Z"), "outside the years 2000"
    container = avro(alert("S240302zz", skymap=tiny_map()))
    yield "Avro cut short", container[: len(container) - 3000], "not a readable Avro file"
    yield "Avro header only", container[:40], "not a readable Avro file"
    yield "Avro damaged", container[:200] + b"\xff" * 40 + container[240:], "not a readable Avro file"
    yield "Avro of two alerts", _two(container), "does not hold exactly one alert"


def degraded() -> Iterator[tuple[str, bytes, str]]:
    """Alerts with a part that is wrong: name, bytes, and what the line that names the part must say (a pattern)."""
    whole = good("S240302zz")
    yield "bad UTF-8", whole.replace(b"gstlal", b"gst\xff\xfelal"), "^the message is not UTF-8 text"
    yield "alert type unknown", with_top(alert_type="FINAL"), "^alert_type is 'FINAL', .*: read as UPDATE$"
    yield "alert type a list", with_top(alert_type=["UPDATE"]), "^alert_type is a list, .*: read as UPDATE$"
    yield "alert type missing", without("alert_type"), "^alert_type is a null, .*: read as UPDATE$"
    yield "alert type of the past", with_top(alert_type="RETRACTED", event=None), ": read as RETRACTION$"
    yield "no event", with_top(event=None), "^event is missing$"
    yield "event a list", with_top(event=[1, 2]), "^event is a list where an object"
    yield "event a text", with_top(event="merger"), "^event is a text where an object"
    yield "urls a list", with_top(urls=["https://example.org"]), "^urls is a list where an object"
    yield "a url an object", with_top(urls={"gracedb": {}}), "^urls.gracedb is a object where text"
    yield "coincidence a list", with_top(external_coinc=[1]), "^external_coinc is a list where an object"
    yield "far NaN", with_event(far=float("nan")), "^event.far is not a finite number"
    yield "far infinite", with_event(far=float("inf")), "^event.far is not a finite number"
    yield "far 1e400", with_event(far=17.5).replace(b"17.5", b"1e400"), "^event.far is not a finite number"
    yield "far a huge integer", with_event(far=10**400), "^event.far is not a finite number"
    yield "far below zero", with_event(far=-1e-9), "^event.far is -1e-09, which is below zero"
    yield "far text", with_event(far="1e-9"), "^event.far is a text where a number"
    yield "far a boolean", with_event(far=True), "^event.far is a boolean where a number"
    yield "far null", with_event(far=None), "^event.far is missing$"
    yield "event time missing", with_event(time=None), "^event.time is missing"
    yield "event time of 1980", with_event(time="1980-01-06T00:00:00Z"), "^event.time is .* outside the years 2000"
    yield "event time a bare date", with_event(time="2024-03-01"), "^event.time is .* without a time of day"
    yield "instruments a text", with_event(instruments="H1"), "^event.instruments is a text where a list"
    yield "an instrument null", with_event(instruments=["H1", None]), "^event.instruments holds a null"
    yield "significant a text", with_event(significant="yes"), "^event.significant is 'yes'"
    yield "significant a number", with_event(significant=1), "^event.significant is 1, not true or false"
    yield "classification a list", with_event(classification=[0.5]), "^event.classification is a list where an object"
    yield "probability a text", with_event(classification={"BNS": "0.9"}), "^event.classification.BNS is a text"
    yield "probability above one", with_event(classification={"BNS": 1.7}), "^event.classification.BNS is 1.7, not"
    yield "probability below zero", with_event(properties={"HasNS": -0.2}), "^event.properties.HasNS is -0.2, not"
    yield "control characters in a name", with_event(properties={"\x00\ud800\x1b[31m": "x"}), "^event.properties"
    yield "lone surrogate", with_event(pipeline="gst\ud800lal"), "^event.pipeline holds characters that are not text"
    yield "group a list", with_event(group=["CBC"]), "^event.group is a list where text"
    yield "chirp mass without edges", with_event(mchirp_source={"probabilities": [1]}), "^event.mchirp_source.bin_edges"
    yield (
        "chirp mass with null",
        with_event(mchirp_source={"bin_edges": [0.1, 1, 5], "probabilities": [None, 1]}),
        "^event.mchirp_source.probabilities is a null",
    )
    yield "coincidence without notice id", combined(tiny_map(), gcn_notice_id=None), "gcn_notice_id is missing$"
    yield "coincidence FAR below zero", combined(tiny_map(), time_coincidence_far=-1), "time_coincidence_far is -1"
    yield "combined map not base64", combined(b"", combined_skymap="prose!"), "^external_coinc.combined_skymap is not"


def degraded_maps() -> Iterator[tuple[str, bytes, str]]:
    """Alerts whose map cannot be used: name, bytes, and what the line that names it must say (a pattern)."""
    yield "map not base64", with_event(skymap="This is not a map!"), "is not base64"
    yield "map an object", with_event(skymap={"fits": "…"}), "is a object where base64"
    yield "map with non-ASCII text", with_event(skymap="Kårte"), "is not base64"
    yield "map an error page", with_map(b"<html>404 Not Found</html>"), "not FITS"
    yield "map truncated", with_map(tiny_map()[:5760]), "truncated"
    yield "map cut within the header", with_map(tiny_map()[:4000]), "truncated|no binary table"
    yield "map a picture", with_map(picture()), "no binary table"
    yield "map gzip truncated", with_map(gzip.compress(tiny_map())[:-40]), "truncated|damaged"
    yield "map gzip damaged", with_map(gzip.compress(tiny_map())[:60] + b"\xff" * 60), "damaged"
    yield "map a gzip bomb", with_map(bomb(600_000_000)), "larger than 500 MB"
    yield "map gzipped without end", with_map(layers(6)), "gzipped more than 4 times"
    yield "map without PROBDENSITY", with_map(renamed(tiny_map(), b"PROBDENSITY", b"SOMEDENSITY")), "no PROBDENSITY"
    yield "map with NaN", with_map(tiny_map(density=_changed(np.nan))), "1 of 12 rows has no finite PROBDENSITY"
    yield "map all NaN", with_map(tiny_map(density=UNIFORM * np.nan)), "12 of 12 rows have no finite PROBDENSITY"
    yield "map with infinity", with_map(tiny_map(density=_changed(np.inf))), "infinite"
    yield "map negative", with_map(tiny_map(density=_changed(-0.01))), "negative"
    yield "map of zeros", with_map(tiny_map(density=np.zeros(12))), "zero"
    yield "map not normalised", with_map(tiny_map(density=UNIFORM * 3)), "does not sum to one"
    yield "map with a pixel twice", with_map(tiny_map(np.append(BASE, 4), np.append(UNIFORM, 0.0))), "overlap"
    yield "map with overlapping pixels", with_map(tiny_map(np.append(BASE, 16), np.append(UNIFORM, 0.0))), "overlap"
    yield "map with pixels missing", with_map(tiny_map(BASE[:9], UNIFORM[:9])), "does not sum to one"
    yield "map with UNIQ below 4", with_map(tiny_map(BASE - 1)), "UNIQ"
    yield "map with UNIQ beyond order 29", with_map(tiny_map(BASE + 2**62)), "UNIQ"
    yield "map without rows", with_map(tiny_map(BASE[:0], UNIFORM[:0])), "no rows"
    yield "map in galactic coordinates", with_map(tiny_map(COORDSYS="G")), "equatorial"


def layers(number: int) -> bytes:
    """A valid map gzipped so many times."""
    data = tiny_map()
    for _ in range(number):
        data = gzip.compress(data, mtime=0)
    return data


def _changed(value: float) -> np.ndarray:
    density = UNIFORM.copy()
    density[5] = value
    return density


def combined(data: bytes, **changes: object) -> bytes:
    """An Update with a coincidence and its combined map, fields of the coincidence changed."""
    record = alert("S240302zz", "UPDATE", skymap=tiny_map(), external=data)
    record["external_coinc"] |= changes
    return json.dumps(record).encode()


def _two(container: bytes) -> bytes:
    """A container that holds its only block twice."""
    sync = container[-16:]
    header, _, block = container.partition(sync)
    return header + sync + block + block


def strange() -> Iterator[tuple[str, bytes]]:
    """Alerts that look odd and are good: each must be processed like any other."""
    yield "without DATE-OBS", with_map(renamed(tiny_map(), b"DATE-OBS", b"DATE-XXX"))
    yield "order 14", with_map(deep_map(14))
    yield "gzipped map", with_map(gzip.compress(tiny_map(), mtime=0))
    yield "no map", json.dumps(alert("S240302zz") | _event(skymap=None)).encode()
    yield "empty map", json.dumps(alert("S240302zz") | _event(skymap="")).encode()
    yield "map gzipped twice", with_map(layers(2))
    yield "map in RADEC", with_map(tiny_map(COORDSYS="RADEC"))
    yield "unknown keys", with_top(sent_by={"a": [1, {"b": None}]})
    yield "text with markup and control characters", with_event(pipeline="[/bold]\x1b[31m<script>\x00", group="x" * 500)
    yield "far 0", with_event(far=0)
    yield "smallest far", with_event(far=5e-324)
    yield "huge notice id", combined(tiny_map(), gcn_notice_id=2**80)
