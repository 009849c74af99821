"""An external asset: the newest map of an event, which candidates and neutrinos are compared with.

Which version has it is known only when a run asks the archive (`adapters/archive/event_history.py`), so no partition
mapping can name it: docs/decisions/0006-partition-mappings.md. Nothing is stored under this name.
"""

import dagster as dg

from mma_pipeline.defs.product_asset import OWNERS
from mma_pipeline.defs.skymaps.skymap import skymap

newest_skymap = dg.AssetSpec(
    "newest_skymap",
    group_name="skymap",
    owners=OWNERS,
    deps=[dg.AssetDep(skymap.name, partition_mapping=dg.AllPartitionMapping())],
    description=(
        "The map of an event's newest version that has one, retractions heeded: what candidates and neutrinos are "
        "compared with. A run takes it from the archive, and names its version in the metadata of what it makes "
        "(`version`, `map_version`)."
    ),
)
