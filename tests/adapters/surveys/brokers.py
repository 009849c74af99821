"""One object as several brokers send it: written by their own arithmetic, never by the code under test."""

from __future__ import annotations

import io
import json
from typing import Any

import fastavro
import numpy as np

from tests.adapters.surveys.oracle import FID

f32 = np.float32
_POINT = {
    "name": "BandedPoint", "type": "record",
    "fields": [
        {"name": "jd", "type": "double"}, {"name": "psfFlux", "type": ["null", "double"]},
        {"name": "psfFluxErr", "type": "double"}, {"name": "band", "type": "string"},
    ],
}  # fmt: skip


def _boom_flux(magnitude: float, error: float) -> tuple[np.float32, np.float32]:
    """BOOM's mag2flux with zero point 23.9, and its factor of 1e9, in single precision (boom-astro/boom, lightcurves.rs)."""
    flux = f32(10.0) ** (f32(-0.4) * (f32(magnitude) - f32(23.9)))
    return flux * f32(1e9), f32(error) / f32(1.0857362047581294) * flux * f32(1e9)


def babamul_of_ztf(record: dict[str, Any]) -> bytes:
    """Babamul's alert of a ZTF packet, as BOOM would make it."""
    candidate = record["candidate"]
    lists: dict[str, list[dict[str, Any]]] = {"prv_candidates": [], "prv_nondetections": [], "fp_hists": []}
    for row in [*(record["prv_candidates"] or []), candidate]:
        band = FID[row["fid"]][-1]
        if row["magpsf"] is None:
            error = f32(10.0) ** ((f32(row["diffmaglim"]) - f32(23.9)) / f32(-2.5)) / f32(5.0) * f32(1e9)
            lists["prv_nondetections"].append(
                {"jd": row["jd"], "psfFlux": None, "psfFluxErr": float(error), "band": band}
            )
            continue
        flux, error = _boom_flux(row["magpsf"], row["sigmapsf"])
        sign = 1 if row["isdiffpos"] in ("t", "1") else -1
        lists["prv_candidates"].append(
            {"jd": row["jd"], "psfFlux": float(sign * flux), "psfFluxErr": float(error), "band": band}
        )
    for row in record.get("fp_hists") or []:
        scale = 10.0 ** ((float(f32(23.9)) - row["magzpsci"]) / 2.5) * 1e9
        flux, error = f32(row["forcediffimflux"] * scale), f32(row["forcediffimfluxunc"] * scale)
        lists["fp_hists"].append(
            {"jd": row["jd"], "psfFlux": float(flux), "psfFluxErr": float(error), "band": FID[row["fid"]][-1]}
        )
    keys = ("jd", "fid", "candid", "ra", "dec", "magpsf", "sigmapsf", "diffmaglim", "rb", "drb", "sgscore1", "distpsnr1", "ssdistnr",
            "jdstarthist")  # fmt: skip
    sent = {key: candidate[key] for key in keys}
    sent |= {"isdiffpos": candidate["isdiffpos"] == "t", "psfFlux": lists["prv_candidates"][-1]["psfFlux"]}
    kinds = {"fid": "int", "candid": "long", "isdiffpos": "boolean"}
    fields = [{"name": key, "type": kinds.get(key, "double")} for key in sent]
    schema = {
        "name": "BabamulZtfAlert", "type": "record",
        "fields": [
            {"name": "candid", "type": "long"}, {"name": "objectId", "type": "string"},
            {"name": "candidate", "type": {"name": "Candidate", "type": "record", "fields": fields}},
            {"name": "prv_candidates", "type": {"type": "array", "items": _POINT}},
            {"name": "prv_nondetections", "type": {"type": "array", "items": "BandedPoint"}},
            {"name": "fp_hists", "type": {"type": "array", "items": "BandedPoint"}},
        ],
    }  # fmt: skip
    return container(schema, {"candid": record["candid"], "objectId": record["objectId"], "candidate": sent, **lists})


def boom_of_ztf(record: dict[str, Any]) -> bytes:
    """The alert of one of BOOM's filters for a ZTF packet: fluxes in uJy beside their zero point, JD."""
    packet = next(fastavro.reader(io.BytesIO(babamul_of_ztf(record))))
    origins = {"prv_candidates": "Alert", "prv_nondetections": "Alert", "fp_hists": "ForcedPhot"}
    rows = [
        {
            "jd": row["jd"], "flux": None if row["psfFlux"] is None else row["psfFlux"] * 1e-9,
            "flux_err": row["psfFluxErr"] * 1e-9, "band": f"ztf{row['band']}", "zero_point": 23.9, "origin": origin,
            "programid": 1, "survey": "ZTF", "ra": None, "dec": None,
        }
        for key, origin in origins.items() for row in packet[key]
    ]  # fmt: skip
    candidate = record["candidate"]
    head = {key: candidate[key] for key in ("jd", "ra", "dec")}
    body = {"candid": record["candid"], "objectId": record["objectId"], **head, "filters": [], "classifications": [],
            "photometry": rows, "survey": "ZTF"}  # fmt: skip
    return json.dumps(body).encode()


def fink_of(record: dict[str, Any], schema: dict[str, Any]) -> tuple[bytes, bytes]:
    """The packet with a column of Fink's, bare, and the key that holds its schema."""
    extended = {**schema, "fields": [*schema["fields"], {"name": "fink_broker_version", "type": "string"}]}
    stream = io.BytesIO()
    fastavro.schemaless_writer(
        stream, fastavro.parse_schema(json.loads(json.dumps(extended))), {**record, "fink_broker_version": "4.1"}
    )
    return stream.getvalue(), json.dumps(extended).encode()


def rubin_of_ampel(report: dict[str, Any]) -> dict[str, Any]:
    """A Rubin packet with the points of one of AMPEL's reports: times in TAI, the newest as the detection."""
    rows = sorted(report["photometry"], key=lambda row: row["time"])
    about = report["object"]

    def source(row: dict[str, Any], key: str) -> dict[str, Any]:
        mjd = row["time"] - 2400000.5
        return {
            key: row["id"], "diaObjectId": about["id"], "midpointMjdTai": mjd, "ra": about["ra"], "dec": about["dec"],
            "psfFlux": row["flux"], "psfFluxErr": row["fluxerr"], "band": row["band"][-1], "timeWithdrawnMjdTai": None,
        }  # fmt: skip

    return {
        "diaSource": source(rows[-1], "diaSourceId"),
        "prvDiaSources": [source(row, "diaSourceId") for row in rows[:-1] if row["source"] == "LSST_DP"],
        "prvDiaForcedSources": [source(row, "diaForcedSourceId") for row in rows[:-1] if row["source"] == "LSST_FP"],
        "diaObject": {"diaObjectId": about["id"]},
    }


def lasair_of(record: dict[str, Any]) -> bytes:
    """A message of a Lasair filter with the light curve that it calls lite."""
    keys = ("psfFlux", "psfFluxErr", "midpointMjdTai", "band")
    sources = [record["diaSource"], *record["prvDiaSources"]]
    body = {
        "diaObjectId": record["diaSource"]["diaObjectId"], "ra": record["diaSource"]["ra"], "decl": record["diaSource"]["dec"],
        "UTC": "2026-06-12 08:00:00", "classification": "SN",
        "alert": {
            "diaSourcesList": [{**{k: s[k] for k in keys}, "reliability": 0.9} for s in sources],
            "diaForcedSourcesList": [{k: s[k] for k in keys} for s in record["prvDiaForcedSources"]],
        },
    }  # fmt: skip
    return json.dumps(body).encode()


def babamul_of_rubin(record: dict[str, Any]) -> bytes:
    """Babamul's alert of a Rubin packet: JD in UTC beside the packet's own fields, fluxes in nJy and single precision."""

    def point(row: dict[str, Any]) -> dict[str, Any]:
        return {
            "jd": jd(row),
            "psfFlux": float(f32(row["psfFlux"])),
            "psfFluxErr": float(f32(row["psfFluxErr"])),
            "band": row["band"],
        }

    def jd(row: dict[str, Any]) -> float:
        from astropy.time import Time

        return float(Time(row["midpointMjdTai"], format="mjd", scale="tai").utc.jd)

    source = record["diaSource"]
    keys = ("diaSourceId", "diaObjectId", "midpointMjdTai", "ra", "dec", "psfFlux", "psfFluxErr", "band")
    sent = {**{k: source[k] for k in keys}, "jd": jd(source), "reliability": 0.9}
    kinds = {"diaSourceId": "long", "diaObjectId": "long", "band": "string"}
    fields = [{"name": key, "type": kinds.get(key, "double")} for key in sent]
    schema = {
        "name": "BabamulLsstAlert", "type": "record",
        "fields": [
            {"name": "candid", "type": "long"}, {"name": "objectId", "type": "string"},
            {"name": "candidate", "type": {"name": "LsstCandidate", "type": "record", "fields": fields}},
            {"name": "prv_candidates", "type": {"type": "array", "items": _POINT}},
            {"name": "fp_hists", "type": {"type": "array", "items": "BandedPoint"}},
        ],
    }  # fmt: skip
    body = {
        "candid": source["diaSourceId"], "objectId": str(source["diaObjectId"]), "candidate": sent,
        "prv_candidates": [point(row) for row in [*record["prvDiaSources"], source]],
        "fp_hists": [point(row) for row in record["prvDiaForcedSources"]],
    }  # fmt: skip
    return container(schema, body)


def container(schema: dict[str, Any], record: dict[str, Any]) -> bytes:
    """A container file of one record."""
    stream = io.BytesIO()
    fastavro.writer(stream, fastavro.parse_schema(json.loads(json.dumps(schema))), [record])
    return stream.getvalue()
