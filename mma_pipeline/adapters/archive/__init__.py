"""The archive: every message as received, the versions it brought, the products made from them."""

from mma_pipeline.adapters.archive.alerts import Archive, ProductRecord, Recorded, VersionRecord
from mma_pipeline.adapters.archive.database import open_engine, reading, writing

__all__ = ["Archive", "ProductRecord", "Recorded", "VersionRecord", "open_engine", "reading", "writing"]
