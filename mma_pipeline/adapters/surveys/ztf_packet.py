"""Writes packets as ZTF sends them: Avro object containers, each with its schema inside, for load tests.

Field names and types are those of ZTF's public alert schema 4.02 (ZwickyTransientFacility/ztf-avro-alert). Not here:
reading packets, of which this module knows nothing.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from mma_pipeline.adapters.surveys.avro import of_long

VERSION = "4.02"
PUBLISHER = "ZTF (simulated)"
#: Between the blocks of a container: any 16 bytes do. The same ones make the same packet twice the same bytes.
_SYNC = b"mma simulated    "[:16]

#: Fields of a detection by type: d double, f float, i int, l long, s string, ? may be absent.
_CANDIDATE = """
jd:d fid:i pid:l diffmaglim:f? pdiffimfilename:s? programpi:s? programid:i candid:l isdiffpos:s tblid:l? nid:i? rcid:i?
field:i? xpos:f? ypos:f? ra:d dec:d magpsf:f sigmapsf:f chipsf:f? magap:f? sigmagap:f? distnr:f? magnr:f? sigmagnr:f?
chinr:f? sharpnr:f? sky:f? magdiff:f? fwhm:f? classtar:f? mindtoedge:f? magfromlim:f? seeratio:f? aimage:f? bimage:f?
aimagerat:f? bimagerat:f? elong:f? nneg:i? nbad:i? rb:f? ssdistnr:f? ssmagnr:f? ssnamenr:s? sumrat:f? magapbig:f?
sigmagapbig:f? ranr:d decnr:d sgmag1:f? srmag1:f? simag1:f? szmag1:f? sgscore1:f? distpsnr1:f? ndethist:i ncovhist:i
jdstarthist:d? jdendhist:d? scorr:d? tooflag:i? objectidps1:l? objectidps2:l? sgmag2:f? srmag2:f? simag2:f? szmag2:f?
sgscore2:f? distpsnr2:f? objectidps3:l? sgmag3:f? srmag3:f? simag3:f? szmag3:f? sgscore3:f? distpsnr3:f? nmtchps:i
rfid:l jdstartref:d jdendref:d nframesref:i rbversion:s? dsnrms:f? ssnrms:f? dsdiff:f? magzpsci:f? magzpsciunc:f?
magzpscirms:f? nmatches:i? clrcoeff:f? clrcounc:f? zpclrcov:f? zpmed:f? clrmed:f? clrrms:f? neargaia:f?
neargaiabright:f? maggaia:f? maggaiabright:f? exptime:f? drb:f? drbversion:s?
"""
_PREVIOUS = """
jd:d fid:i pid:l diffmaglim:f? pdiffimfilename:s? programpi:s? programid:i candid:l? isdiffpos:s? tblid:l? nid:i? rcid:i?
field:i? xpos:f? ypos:f? ra:d? dec:d? magpsf:f? sigmapsf:f? chipsf:f? magap:f? sigmagap:f? distnr:f? magnr:f? sigmagnr:f?
chinr:f? sharpnr:f? sky:f? magdiff:f? fwhm:f? classtar:f? mindtoedge:f? magfromlim:f? seeratio:f? aimage:f? bimage:f?
aimagerat:f? bimagerat:f? elong:f? nneg:i? nbad:i? rb:f? ssdistnr:f? ssmagnr:f? ssnamenr:s? sumrat:f? magapbig:f?
sigmagapbig:f? ranr:d? decnr:d? scorr:d? magzpsci:f? magzpsciunc:f? magzpscirms:f? clrcoeff:f? clrcounc:f? rbversion:s?
"""
_FORCED = """
field:i? rcid:i? fid:i pid:l rfid:l sciinpseeing:f? scibckgnd:f? scisigpix:f? magzpsci:f? magzpsciunc:f? magzpscirms:f?
clrcoeff:f? clrcounc:f? exptime:f? adpctdif1:f? adpctdif2:f? diffmaglim:f? programid:i jd:d forcediffimflux:f?
forcediffimfluxunc:f? procstatus:s? distnr:f? ranr:d decnr:d magnr:f? sigmagnr:f? chinr:f? sharpnr:f?
"""
_TYPES = {"d": "double", "f": "float", "i": "int", "l": "long", "s": "string"}
_CUTOUTS = ("cutoutScience", "cutoutTemplate", "cutoutDifference")


def encode_packet(record: Mapping[str, Any]) -> bytes:
    """One packet; fields that the record leaves out are null.

    Args:
        record: objectId, candid, candidate, prv_candidates, fp_hists by ZTF's names, and the bytes of the three
            cutouts, each a gzipped FITS image there.
    """
    import fastavro

    schema, header = _prepared()
    body = io.BytesIO()
    fastavro.schemaless_writer(body, schema, {"schemavsn": VERSION, "publisher": PUBLISHER, **record})
    data = body.getvalue()
    return b"".join((header, of_long(1), of_long(len(data)), data, _SYNC))


def cutouts(stamp: bytes) -> dict[str, Any]:
    """The three cutouts of a packet, all of the same bytes."""
    return {name: {"fileName": f"{name}.fits.gz", "stampData": stamp} for name in _CUTOUTS}


def _fields(text: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for word in text.split():
        name, kind = word.split(":")
        plain = _TYPES[kind[0]]
        # A default of null wants null first in the union (Avro 1.11, Unions).
        optional = {"name": name, "type": ["null", plain], "default": None}
        found.append(optional if kind.endswith("?") else {"name": name, "type": plain})
    return found


def _record(name: str, text: str) -> dict[str, Any]:
    return {"type": "record", "name": f"ztf.alert.{name}", "fields": _fields(text)}


@lru_cache(maxsize=1)
def _prepared() -> tuple[Any, bytes]:
    """The parsed schema, and what every container of it begins with (Avro 1.11, Object Container Files)."""
    import fastavro

    cutout = {
        "type": "record",
        "name": "ztf.alert.cutout",
        "fields": [{"name": "fileName", "type": "string"}, {"name": "stampData", "type": "bytes"}],
    }
    kinds: list[Any] = [["null", cutout], *(["null", "ztf.alert.cutout"] for _ in _CUTOUTS[1:])]
    schema = {
        "type": "record",
        "name": "ztf.alert",
        "version": VERSION,
        "fields": [
            *({"name": name, "type": "string"} for name in ("schemavsn", "publisher", "objectId")),
            {"name": "candid", "type": "long"},
            {"name": "candidate", "type": _record("candidate", _CANDIDATE)},
            *(
                {"name": name, "type": ["null", {"type": "array", "items": _record(item, text)}], "default": None}
                for name, item, text in (
                    ("prv_candidates", "prv_candidate", _PREVIOUS),
                    ("fp_hists", "fp_hist", _FORCED),
                )
            ),
            *({"name": name, "type": kind, "default": None} for name, kind in zip(_CUTOUTS, kinds, strict=True)),
        ],
    }
    text = json.dumps(schema, separators=(",", ":")).encode()
    entries = {b"avro.codec": b"null", b"avro.schema": text}
    meta = b"".join(of_long(len(key)) + key + of_long(len(value)) + value for key, value in entries.items())
    header = b"Obj\x01" + of_long(len(entries)) + meta + b"\x00" + _SYNC
    return fastavro.parse_schema(schema), header
