"""Independent readings of packets: fastavro decodes everything, astropy turns times, numpy and astropy turn fluxes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import astropy.units as u
import fastavro
import numpy as np
import pytest
from astropy.time import Time

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"
SURVEYS = SHARED / "surveys"
needs_packets = pytest.mark.skipif(not SURVEYS.is_dir(), reason=f"no real packets: {SURVEYS} is not there")

ZTF = ("2695378462115010012", "541385122515015008", "739260766315010006")
FID = {1: "ztfg", 2: "ztfr", 3: "ztfi"}


def packet(name: str) -> bytes:
    """A file of the folder."""
    return (SURVEYS / name).read_bytes()


def decoded(data: bytes) -> dict[str, Any]:
    """Everything in a container file."""
    (record,) = fastavro.reader(io.BytesIO(data))
    return record


def schema_of(data: bytes) -> dict[str, Any]:
    """The schema that a container file carries, as JSON would give it."""
    found = json.loads(json.dumps(fastavro.reader(io.BytesIO(data)).writer_schema))
    return {key: value for key, value in found.items() if not key.startswith("__")}


def njy(magnitude: float) -> float:
    """Flux of an AB magnitude by astropy."""
    return (np.float64(magnitude) * u.ABmag).to_value(u.nJy)


def utc(mjd_tai: float) -> float:
    """MJD in UTC of one in TAI by astropy."""
    return Time(mjd_tai, format="mjd", scale="tai").utc.mjd


def mjd(jd: float) -> float:
    """MJD of a JD by astropy."""
    return Time(jd, format="jd", scale="utc").mjd


def ztf_points(record: dict[str, Any]) -> set[tuple]:
    """Time, band, origin, flux, error and limit of every point of a ZTF packet, rounded to what both ways must share."""
    points = set()
    rows = [(record["candidate"], "alert"), *((row, "previous") for row in record["prv_candidates"] or [])]
    for row, origin in rows:
        if row["magpsf"] is None:
            points.add((round(mjd(row["jd"]), 7), FID[row["fid"]], "limit", None, None, round(row["diffmaglim"], 6)))
            continue
        flux = njy(row["magpsf"]) * (1 if row["isdiffpos"] in ("t", "1", True) else -1)
        error = abs(flux) * row["sigmapsf"] * np.log(10) / 2.5
        points.add(
            (
                round(mjd(row["jd"]), 7),
                FID[row["fid"]],
                origin,
                figures(flux),
                figures(error),
                round(row["diffmaglim"], 6),
            )
        )
    for row in record.get("fp_hists") or []:
        if row["forcediffimfluxunc"] is None or row["forcediffimfluxunc"] <= 0:
            continue
        unit = njy(row["magzpsci"])
        flux, error = row["forcediffimflux"] * unit, row["forcediffimfluxunc"] * unit
        points.add(
            (
                round(mjd(row["jd"]), 7),
                FID[row["fid"]],
                "forced",
                figures(flux),
                figures(error),
                round(row["diffmaglim"], 6),
            )
        )
    return points


def lsst_points(record: dict[str, Any]) -> set[tuple]:
    """The same of a Rubin packet, which has no limits."""
    rows = [(record["diaSource"], "alert")]
    rows += [(row, "previous") for row in listed(record["prvDiaSources"])]
    rows += [(row, "forced") for row in listed(record["prvDiaForcedSources"])]
    return {
        (round(utc(row["midpointMjdTai"]), 7), "lsst" + row["band"], origin, figures(row["psfFlux"]), figures(row["psfFluxErr"]), None)
        for row, origin in rows
    }  # fmt: skip


def listed(rows: Any) -> list[Any]:
    """A list of rows as Avro, JSON or pandas have it."""
    return [] if rows is None else list(rows)


def found(alert: Any) -> set[tuple]:
    """The points of an alert as read by us, in the same form."""
    return {
        (
            round(p.mjd, 7), p.band, p.origin, figures(p.flux_njy), figures(p.flux_error_njy),
            None if p.limit_mag is None else round(p.limit_mag, 6),
        )
        for p in alert.points
    }  # fmt: skip


def figures(value: float | None) -> str | None:
    """Eight significant figures: 1e-8 of a flux is 1e-8 mag."""
    return None if value is None else f"{value:.7e}"
