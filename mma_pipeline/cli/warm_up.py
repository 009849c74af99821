"""What a process of the worker's pool does before its first run: it makes all products of a simulated alert, and forgets them.

The first alert of a process takes about 1 CPU s more than later ones, for fonts, tables and memory. In a burst each process but
one would pay that while alerts wait. It cannot be done before the fork: a child that inherits the threads of OpenMP hangs in them.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

#: Seconds that a process of the pool may take until it is ready. Celery's own 4 s would end one that warms up on a busy machine.
MOST_S = 120.0
_ORDER = 9


def warm_up_all_but_first(**_: Any) -> None:
    """What Celery calls in each new process of the pool. The first is ready at once, so that nothing waits after a restart.

    Celery logs what fails here, and the process then takes runs as it is.
    """
    from billiard.process import current_process

    if current_process().index > 0:
        warm_up()


def warm_up() -> None:
    """Make all products of a simulated alert in a folder of their own, which goes with them. Reads the settings, sends nothing."""
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.adapters.store import Store
    from mma_pipeline.defs.all_products import PRODUCTS
    from mma_pipeline.notices import lvk
    from mma_pipeline.products.ingest import ingest, parse_alert
    from mma_pipeline.products.inputs import ProductInput
    from mma_pipeline.products.materialize import materialize
    from mma_pipeline.science.simulation.alerts import simulate_event
    from mma_pipeline.settings import current

    now, settings = datetime.now(UTC), current()
    notice = simulate_event(f"MS{now:%y%m%d}a", time=now, seed=1, max_order=_ORDER)[1]
    (version,) = lvk.versions_of(notice)
    body = json.dumps(lvk.to_record(notice)).encode()
    with TemporaryDirectory(prefix="mma-warm-up-") as folder:
        archive = Archive(f"sqlite:///{folder}/archive.db", create=True)
        store = Store.open((Path(folder) / "store").as_uri())
        ingest(archive, StreamMessage("warm-up", "warm-up", 0, 0, body, None, (), None, now), parse_alert)
        source = ProductInput(archive, store, version.partition_key, settings)
        for product in PRODUCTS:
            if product.need.met(source.record) and product.unconfigured(settings) is None:
                materialize(product, source)
