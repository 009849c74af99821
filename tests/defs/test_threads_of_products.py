"""What a product is made with: one thread of linear algebra, whatever the machine has, and nothing left to load in a worker."""

from __future__ import annotations

import dataclasses
import subprocess
import sys

from threadpoolctl import threadpool_info, threadpool_limits

from mma_pipeline.defs.skymaps.skymap import skymap
from mma_pipeline.products.declaration import ProductFiles
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import materialize
from mma_pipeline.settings import current
from tests.alerts import body
from tests.homes import Home


def threads() -> set[int]:
    """Threads of each library of linear algebra that is loaded."""
    return {found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"}


def test_a_product_is_made_with_one_thread_of_linear_algebra(home: Home) -> None:
    """A second thread waits more than it computes, and takes the core of the run beside it; the process keeps its own number."""
    seen: list[set[int]] = []

    def counted(source: ProductInput) -> ProductFiles:
        seen.append(threads())
        return skymap.make(source)

    (record,) = home.receive(body())
    source = ProductInput(home.archive, home.store, record.partition_key, current())
    with threadpool_limits(2, user_api="blas"):
        materialize(dataclasses.replace(skymap, make=counted), source)
        assert threads() == {2}
    assert seen == [{1}]


def test_a_worker_has_read_tables_and_templates_before_it_forks() -> None:
    """The first alert of each process of the pool reads no table of the Earth's orientation and compiles no template."""
    script = """
from mma_pipeline.cli.worker import preload
preload()
from astropy.utils import iers
from mma_pipeline.defs.events.page import render
assert iers.IERS_Auto.iers_table is not None, "no table"
kept = render._environment().cache
assert {"event.html.j2", "event.md.j2", "live.js.j2"} <= {name for _, name in kept.keys()}, "no templates"
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
