"""Object stores: one interface over a local folder, memory and the clouds, with the same layout everywhere."""

from mma_pipeline.adapters.store.keys import check_key
from mma_pipeline.adapters.store.model import Digest, StoredObject
from mma_pipeline.adapters.store.store import Store

__all__ = ["Digest", "Store", "StoredObject", "check_key"]
