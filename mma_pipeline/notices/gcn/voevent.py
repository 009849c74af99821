"""Fermi GBM's classic VOEvents (XML) as records of GCN's core schema, so that one parser reads both.

Packet types 110 alert, 111 flight, 112 ground and 115 final position (GCN, "Fermi-GBM Notices"). The error radius is one
standard deviation, statistical only. The HEALPix map lies beside the light curve that the notice names.
"""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree as ET

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import UndecodableError
from mma_pipeline.notices.gcn.localisation import ONE_SIGMA
from mma_pipeline.notices.text import clean

_SUBTYPES = {"110": "INITIAL_ALERT", "111": "FLIGHT_POSITION", "112": "GROUND_POSITION", "115": "FINAL_POSITION"}
_LIGHT_CURVE = re.compile(r"(?P<folder>https?://\S+/)glg_lc_\w+_(?P<burst>bn\d{9})\.gif", re.ASCII)
#: Values of these parameters to keys of the core schema.
_NUMBERS = {"Burst_Signif": "rate_snr", "Data_Integ": "rate_duration"}
_MOST_BYTES = 1_000_000


def is_voevent(data: bytes) -> bool:
    """Whether bytes look like a VOEvent."""
    return b"VOEvent" in data[:2000] and data.lstrip().startswith(b"<")


def decode_voevent(data: bytes) -> dict[str, Any]:
    """The record of one VOEvent; raises NoticeError if it is none, or damaged."""
    root = _parsed(data)
    values = {name: str(p.get("value") or "") for p in root.iter("Param") if (name := p.get("name"))}
    burst = _LIGHT_CURVE.search(values.get("LightCurve_URL", ""))
    subtype = _SUBTYPES.get(values.get("Packet_Type", ""))
    record: dict[str, Any] = {
        "ivorn": root.get("ivorn"),
        "mission": "Fermi",
        "instrument": "GBM",
        "id": [name for name in (values.get("TrigID"), burst and burst["burst"]) if name],
        "alert_datetime": _text(root, "Who/Date"),
        "trigger_time": _text(root, ".//ISOTime"),
        "alert_type": "initial" if subtype == "INITIAL_ALERT" else "update",
        "alert_tense": "test" if _is_test(root, values) else "current",
        "subtype": subtype,
        "light_curve_url": values.get("LightCurve_URL"),
    }
    if root.find("Citations/EventIVORN[@cite='retraction']") is not None:
        record["alert_type"] = "retraction"
    for name, key in _NUMBERS.items():
        if name in values:
            record[key] = _number(values[name])
    if (duration := values.get("Long_short", "").upper()) in {"LONG", "SHORT"}:
        record["duration_class"] = duration
    radius = _number(_text(root, ".//Error2Radius"))
    # An alert of type 110 names the place of the spacecraft, not of a source.
    if subtype != "INITIAL_ALERT" and radius:
        place = {"ra": _number(_text(root, ".//C1")), "dec": _number(_text(root, ".//C2")), "ra_dec_error": radius}
        record |= place | {"containment_probability": ONE_SIGMA, "systematic_included": False}
        if burst is not None and subtype in {"GROUND_POSITION", "FINAL_POSITION"}:
            record["healpix_url"] = f"{burst['folder']}glg_healpix_all_{burst['burst']}.fit"
    cleaned: dict[str, Any] = clean({key: value for key, value in record.items() if value is not None})
    return cleaned


def _parsed(data: bytes) -> ET.Element:
    if len(data) > _MOST_BYTES:
        raise NoticeError("the VOEvent is larger than 1 MB")
    if not data.strip():
        raise NoticeError("the message is empty")
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


def _is_test(root: ET.Element, values: dict[str, str]) -> bool:
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
