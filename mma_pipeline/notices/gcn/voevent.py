"""VOEvents (XML) of Fermi GBM and of SVOM as records of GCN's core schema, so that one parser reads both forms.

Fermi GBM: packet types 110 alert, 111 flight, 112 ground and 115 final position (GCN, "Fermi-GBM Notices"). The error radius
is one standard deviation, statistical only. The HEALPix map lies beside the light curve that the notice names.

SVOM: packet types 201 to 203 triggers, 204 and 205 a better position, 209 and 210 MXT, 211 VT, 219 retraction (SVOM French
Science Center, "Notices and circulars"). The error radius holds 90 %, and is -1 where there is none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from xml.etree import ElementTree as ET

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import UndecodableError
from mma_pipeline.notices.gcn.localisation import ONE_SIGMA
from mma_pipeline.notices.text import clean

_GBM_SUBTYPES = {"110": "INITIAL_ALERT", "111": "FLIGHT_POSITION", "112": "GROUND_POSITION", "115": "FINAL_POSITION"}
_LIGHT_CURVE = re.compile(r"(?P<folder>https?://\S+/)glg_lc_\w+_(?P<burst>bn\d{9})\.gif", re.ASCII)
#: Values of these parameters to keys of the core schema.
_GBM_NUMBERS = {"Burst_Signif": "rate_snr", "Data_Integ": "rate_duration"}
_SVOM_NUMBERS = {"SNR": "snr", "Timescale": "rate_duration"}
_SVOM_TRIGGERS = frozenset(("201", "202", "203"))
#: Of these the time is that of the burst; later telescopes state when they looked.
_SVOM_BURST_TIME = _SVOM_TRIGGERS | {"204", "205"}
_SVOM_CONTAINMENT = 0.9
_MOST_BYTES = 1_000_000


def is_voevent(data: bytes) -> bool:
    """Whether bytes look like a VOEvent."""
    return b"VOEvent" in data[:2000] and data.lstrip().startswith(b"<")


def ivorn_of(data: bytes) -> dict[str, Any]:
    """The identifier of one VOEvent as a record, which tells its sender; raises NoticeError if it is none, or damaged."""
    return {"ivorn": _parsed(data).get("ivorn")}


def decode_gbm(data: bytes) -> dict[str, Any]:
    """The record of one VOEvent of Fermi GBM; raises NoticeError if it is none, or damaged."""
    root = _parsed(data)
    values = _values(root)
    burst = _LIGHT_CURVE.search(values.get("LightCurve_URL", ""))
    subtype = _GBM_SUBTYPES.get(values.get("Packet_Type", ""))
    record = {
        **_head(root, values),
        "mission": "Fermi",
        "instrument": "GBM",
        "id": [name for name in (values.get("TrigID"), burst and burst["burst"]) if name],
        "trigger_time": _text(root, ".//ISOTime"),
        "alert_type": _kind(root, initial=subtype == "INITIAL_ALERT"),
        "subtype": subtype,
        "light_curve_url": values.get("LightCurve_URL"),
        **_numbers(values, _GBM_NUMBERS),
    }
    if (duration := values.get("Long_short", "").upper()) in {"LONG", "SHORT"}:
        record["duration_class"] = duration
    radius = _number(_text(root, ".//Error2Radius"))
    # An alert of type 110 names the place of the spacecraft, not of a source.
    if subtype != "INITIAL_ALERT" and radius:
        record |= _place(root) | {"containment_probability": ONE_SIGMA, "systematic_included": False}
        record["ra_dec_error"] = radius
        if burst is not None and subtype in {"GROUND_POSITION", "FINAL_POSITION"}:
            record["healpix_url"] = f"{burst['folder']}glg_healpix_all_{burst['burst']}.fit"
    return _cleaned(record)


def decode_svom(data: bytes) -> dict[str, Any]:
    """The record of one VOEvent of SVOM; raises NoticeError if it is none, or damaged."""
    root = _parsed(data)
    values = _values(root)
    packet = values.get("Packet_Type", "")
    found = _text(root, ".//ISOTime") if packet in _SVOM_BURST_TIME else None
    record = {
        **_head(root, values),
        "mission": "SVOM",
        "instrument": values.get("Instrument"),
        "pipeline": values.get("Instrument"),
        "id": values.get("Burst_Id"),
        "trigger_time": found or values.get("Alert_Seq_T0"),
        "alert_type": _kind(root, initial=packet in _SVOM_TRIGGERS),
        "slew_status": values.get("Slew_Status"),
        "known_source": values.get("Source_Name"),
        **_numbers(values, _SVOM_NUMBERS),
        **_place(root),
    }
    radius = _number(_text(root, ".//Error2Radius"))
    if radius != -1:
        record |= {"ra_dec_error": radius, "containment_probability": _SVOM_CONTAINMENT}
    return _cleaned(record)


def _head(root: ET.Element, values: Mapping[str, str]) -> dict[str, Any]:
    """What every VOEvent has."""
    return {
        "ivorn": root.get("ivorn"),
        "alert_datetime": _text(root, "Who/Date"),
        "alert_tense": "test" if _is_test(root, values) else "current",
    }


def _kind(root: ET.Element, *, initial: bool) -> str:
    if root.find("Citations/EventIVORN[@cite='retraction']") is not None:
        return "retraction"
    return "initial" if initial else "update"


def _place(root: ET.Element) -> dict[str, Any]:
    return {"ra": _number(_text(root, ".//C1")), "dec": _number(_text(root, ".//C2"))}


def _values(root: ET.Element) -> dict[str, str]:
    """The parameters of all groups by name."""
    return {name: str(p.get("value") or "") for p in root.iter("Param") if (name := p.get("name"))}


def _numbers(values: Mapping[str, str], keys: Mapping[str, str]) -> dict[str, Any]:
    return {key: _number(values[name]) for name, key in keys.items() if name in values}


def _cleaned(record: Mapping[str, Any]) -> dict[str, Any]:
    cleaned: dict[str, Any] = clean({key: value for key, value in record.items() if value is not None})
    return cleaned


def _parsed(data: bytes) -> ET.Element:
    if len(data) > _MOST_BYTES:
        raise NoticeError("the VOEvent is larger than 1 MB")
    if not data.strip():
        raise NoticeError("the message is empty")
    if b"\0" in data:
        raise UndecodableError("the message's XML is not UTF-8 text")
    # No VOEvent has a document type; one that does would only define entities.
    if b"<!DOCTYPE" in data or b"<!ENTITY" in data:
        raise NoticeError("the VOEvent has a document type, which no notice has")
    try:
        root = ET.fromstring(data)  # noqa: S314 - entities are refused above, and the size is bounded
    except ET.ParseError as error:
        raise NoticeError(f"the message is not XML: {error}") from error
    except (LookupError, ValueError) as error:
        raise UndecodableError("the message's XML is of an encoding that is not known") from error
    if not root.tag.endswith("VOEvent"):
        raise NoticeError(f"the message is XML of {root.tag[:40]!r}, not a VOEvent")
    return root


def _is_test(root: ET.Element, values: Mapping[str, str]) -> bool:
    return root.get("role") == "test" or values.get("Test_Submission") == "true"


def _text(root: ET.Element, path: str) -> str | None:
    found = root.find(path)
    return None if found is None or found.text is None else found.text.strip()


def _number(text: str | None) -> float | str | None:
    """The number that a text holds; the text itself if it holds none, which the parser then names."""
    if text is None:
        return None
    try:
        return float(text)
    except ValueError:
        return text
