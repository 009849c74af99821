"""An archive as the previous release left it: schema 0004 with a real event, its products, publications and photometry.

Rows are written by the columns that the database itself declares then, never by today's code.
"""

from __future__ import annotations

import hashlib
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from alembic import command

from mma_pipeline.adapters.archive.database import open_engine
from mma_pipeline.adapters.archive.migrate import _config

REVISION = "0004"
EVENT = "S240301b"
RECEIVED = datetime(2024, 3, 1, 12, 0, 1)  # noqa: DTZ001 - as the database holds it, in UTC
CREATED = datetime(2024, 3, 1, 12)  # noqa: DTZ001
KEYS = [f"{EVENT}-Initial-20240301T120000-2222222222", f"{EVENT}-Preliminary-20240301T120000-1111111111"]
FACTS = {"time": "2024-03-01T11:59:30+00:00", "skymap_sha256": "0" * 64}
BODIES = [b'{"superevent_id": "S240301b"}', b'{"superevent_id": "S240301b", ', b"photometry"]


def make(url: str) -> sa.Engine:
    """Fill an empty database; returns its engine."""
    engine = open_engine(url)
    with engine.begin() as connection:
        command.upgrade(_config(connection), REVISION)
        tables = sa.MetaData()
        tables.reflect(connection)
        for name, rows in _rows().items():
            connection.execute(sa.insert(tables.tables[name]), rows)
    return engine


def _rows() -> dict[str, list[dict[str, Any]]]:
    digests = [hashlib.sha256(data).hexdigest() for data in BODIES]
    versions = [
        {
            "partition_key": key,
            "event_id": EVENT,
            "label": key.split("-")[1],
            "number": 0,
            "created": CREATED,
            "role": "observation",
            "message_id": 1,
            "facts": FACTS,
        }
        for key in KEYS
    ]
    products = [
        {
            "partition_key": key,
            "name": name,
            "asset": "skymap",
            "store_key": f"mma/{EVENT}/{key}/{name}",
            "sha256": digests[0],
            "size": 12,
            "content_type": "application/fits",
            "code_version": "1",
            "address": digests[1],
            "figures": {"area_90_deg2": 31.5},
            "written": RECEIVED,
        }
        for key in KEYS
        for name in ("flat_skymap", "skymap")
    ]
    publications = [
        {
            "destination": "site",
            "kind": "alert",
            "dedupe_key": f"alert:{key}",
            "event_id": EVENT,
            "partition_key": key,
            "payload": {"alert": {}, "number": 0},
            "provisional": False,
            "state": state,
            "attempts": attempts,
            "next_attempt": RECEIVED,
            "created": RECEIVED,
            "finished": RECEIVED if state == "done" else None,
            "progress": {},
            "answer": {"reference": "gw_alert 7"} if state == "done" else {},
        }
        for key, state, attempts in zip(KEYS, ("pending", "done"), (0, 1), strict=True)
    ]
    decisions = [
        {
            "destination": "site",
            "partition_key": key,
            "event_id": EVENT,
            "accepted": True,
            "reasons": [],
            "decided": RECEIVED,
        }
        for key in KEYS
    ]
    messages = [
        {
            "stream": "gcn-gwalert",
            "topic": "igwn.gwalert",
            "partition": 0,
            "offset": offset,
            "headers": [],
            "sha256": digest,
            "received": RECEIVED,
            "event_id": EVENT if reason is None else None,
            "quarantine_reason": reason,
        }
        for offset, (digest, reason) in enumerate(zip(digests, (None, "not JSON", None), strict=True))
    ]
    candidate = {"name": "AT2024abc", "slug": "AT2024abc", "ra": 150.0, "dec": 20.0, "simulated": False}
    measurement = {"candidate": "AT2024abc", "mjd": 60370.25, "band": "r", "magnitude": 18.5, "error": 0.1}
    return {
        "body": [{"sha256": digest, "data": data} for digest, data in zip(digests, BODIES, strict=True)],
        "message": messages,
        "version": versions,
        "product": products,
        "publication": publications,
        "publication_decision": decisions,
        "candidate": [candidate],
        "measurement": [{**measurement, "upper_limit": False, "message_id": 3}],
        "candidate_score": [
            {
                "partition_key": f"{EVENT}-AT2024abc-60370",
                "event_id": EVENT,
                "candidate": "AT2024abc",
                "night": 60370,
                "result": {"candidate": "AT2024abc", "p_phot": 0.5, "posterior": None, "sufficient": True},
            }
        ],
    }


def contents(engine: sa.Engine) -> dict[str, Any]:
    """Every table with its columns and rows, as text."""
    tables = sa.MetaData()
    with engine.connect() as connection:
        tables.reflect(connection)
        return {
            name: (sorted(table.columns.keys()), sorted(map(str, connection.execute(sa.select(table)).all())))
            for name, table in tables.tables.items()
        }
