"""The archive: every message as received, its versions, their products, and publications.

All tables (`schema`) and all SQL are in this package.
"""

from mma_pipeline.adapters.archive.alerts import Archive, ProductRecord, Recorded, VersionRecord
from mma_pipeline.adapters.archive.database import Connection, Engine, open_engine, reading, writing

__all__ = [
    "Archive",
    "Connection",
    "Engine",
    "ProductRecord",
    "Recorded",
    "VersionRecord",
    "open_engine",
    "reading",
    "writing",
]
