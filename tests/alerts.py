"""Alerts for tests: the real ones in ../shared, and small ones built by hand, without the code under test."""

from __future__ import annotations

import base64
import io
import json
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import fastavro
import numpy as np
import pytest

from tests.science.maps import gaussian_map, table_bytes

SHARED = Path(__file__).resolve().parents[1].parent / "shared"
REAL_FOLDER = SHARED / "data" / "gw_alerts"
BAD_FOLDER = SHARED / "data" / "gw_alerts_bad"
needs_real_alerts = pytest.mark.skipif(
    not REAL_FOLDER.is_dir(), reason=f"no real alerts: {REAL_FOLDER} is not there (see CONTRIBUTING.md)"
)


def real_paths(pattern: str = "*") -> list[Path]:
    """Real alert files, sorted by name; none where ../shared is missing."""
    return sorted(path for path in REAL_FOLDER.glob(pattern) if path.suffix in {".json", ".avro"})


@cache
def fits_map(ra: float = 150.0, dec: float = 20.0, sigma: float = 2.0, *, order: int = 6, layers: bool = True) -> bytes:
    """A small multi-order FITS map: a Fisher distribution of width sigma (deg), with distance layers or without."""
    uniq, density = gaussian_map(ra, dec, sigma, order=order, coarse=2)
    return map_of_columns(uniq, density, layers=layers)


def map_of_columns(uniq: np.ndarray, density: np.ndarray, *, layers: bool = True, **cards: object) -> bytes:
    """FITS bytes of a multi-order map from UNIQ and PROBDENSITY (sr⁻¹), both of shape (N,)."""
    columns = {"UNIQ": uniq, "PROBDENSITY": density}
    if layers:
        mean, width = np.full(len(uniq), 100.0), np.full(len(uniq), 20.0)
        # With mean >> width the integral of r² N(r) is mean² + width².
        columns |= {"DISTMU": mean, "DISTSIGMA": width, "DISTNORM": np.full(len(uniq), 1 / (100.0**2 + 20.0**2))}
    header = {
        "PIXTYPE": "HEALPIX",
        "ORDERING": "NUNIQ",
        "COORDSYS": "C",
        "INDXSCHM": "EXPLICIT",
        "DATE-OBS": "2024-03-01T11:59:00.500000",
    }
    return table_bytes(columns, **(header | cards))


def base64_of(data: bytes) -> str:
    """Base64 text, as maps are carried in JSON."""
    return base64.b64encode(data).decode()


def alert(
    superevent: str = "MS240301a",
    kind: str = "PRELIMINARY",
    *,
    created: str = "2024-03-01T12:00:00Z",
    skymap: bytes | None = None,
    external: bytes | None = None,
    **event: Any,
) -> dict[str, Any]:
    """An igwn.gwalert message as a JSON object; `event` overrides fields of its event, `external` adds a combined map."""
    record: dict[str, Any] = {
        "alert_type": kind,
        "time_created": created,
        "superevent_id": superevent,
        "urls": {"gracedb": f"https://example.org/superevents/{superevent}/view/"},
        "event": None,
        "external_coinc": None,
    }
    if kind != "RETRACTION":
        record["event"] = {
            "time": "2024-03-01T11:59:00.500Z",
            "far": 1e-9,
            "significant": True,
            "instruments": ["H1", "L1"],
            "group": "CBC",
            "pipeline": "gstlal",
            "search": "AllSky",
            "classification": {"BNS": 0.9, "NSBH": 0.05, "BBH": 0.0, "Terrestrial": 0.05},
            "properties": {"HasNS": 1.0, "HasRemnant": 0.9, "HasMassGap": 0.0},
            "duration": None,
            "central_frequency": None,
            "skymap": base64_of(fits_map() if skymap is None else skymap),
        } | event
    if external is not None:
        record["external_coinc"] = {
            "gcn_notice_id": 524666471,
            "ivorn": "ivo://nasa.gsfc.gcn/Fermi#GBM_Fin_Pos2017-08-17T12:41:06.47_524666471_0-389",
            "observatory": "Fermi",
            "search": "GRB",
            "time_difference": 2.02,
            "time_coincidence_far": 2.1e-14,
            "time_sky_position_coincidence_far": None,
            "combined_skymap": base64_of(external),
        }
    return record


def body(superevent: str = "MS240301a", kind: str = "PRELIMINARY", **options: Any) -> bytes:
    """The same as JSON bytes."""
    return json.dumps(alert(superevent, kind, **options)).encode()


def avro(record: dict[str, Any]) -> bytes:
    """An Avro container file of an alert by the schema that igwn-gwalert-schema publishes, as SCiMMA carries it."""
    from importlib.resources import files

    # The published files refer to one another by name; named parts come first.
    root = files("igwn_gwalert_schema")
    texts = [
        json.loads(path.read_text())
        for path in sorted(root.iterdir(), key=lambda path: path.name)
        if path.name.endswith(".avsc")
    ]
    named: dict[str, Any] = {}
    left = list(texts)
    while left:
        for text in list(left):
            try:
                parsed = fastavro.parse_schema(text, named_schemas=named)
            except fastavro.schema.UnknownType:
                continue
            left.remove(text)
            if text["name"].endswith("Alert"):
                top = parsed
    binary = json.loads(json.dumps(record))
    for holder, key in (("event", "skymap"), ("external_coinc", "combined_skymap")):
        inner = binary.get(holder)
        if inner and inner.get(key) is not None:
            inner[key] = base64.b64decode(inner[key])
    buffer = io.BytesIO()
    fastavro.writer(buffer, top, [binary])
    return buffer.getvalue()


def utc(text: str) -> datetime:
    """An ISO 8601 time as a UTC datetime."""
    return datetime.fromisoformat(text).astimezone(UTC)
