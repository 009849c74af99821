"""The archive: every message as received, the versions it brought, the products made from them."""

from .alerts import Archive, ProductRecord, Recorded, VersionRecord
from .database import open_engine, reading, writing

__all__ = ["Archive", "ProductRecord", "Recorded", "VersionRecord", "open_engine", "reading", "writing"]
