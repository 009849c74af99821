"""`mma worker`: runs the resident worker, a stock dagster-celery worker with the code loaded.

The broker comes from the instance's run launcher, so that only dagster.yaml names it.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from mma_pipeline.cli.app import Exit, fail
from mma_pipeline.settings import current

#: Modules that products and publication need, loaded once before the worker forks and so shared by its processes; with all of `SCIENCE`.
PRELOAD = (
    *("mma_pipeline.definitions", "astropy.io.fits", "healpy", "numpy", "scipy.stats", "scipy.spatial", "mocpy"),
    *("PIL.Image", "igwn_gwalert_schema", "jsonschema", "matplotlib.figure", "matplotlib.backends.backend_agg"),
    *("httpx", "hop.io"),
)
SCIENCE = "mma_pipeline.science"
#: Runs after which a process of the pool is replaced, which bounds memory leaks.
RUNS_PER_PROCESS = 200


def worker(
    processes: Annotated[int, typer.Option(help="Number of simultaneous runs.", min=1)] = 3,
    queue: Annotated[str, typer.Option(help="Queue to serve.")] = "dagster",
    loglevel: Annotated[str, typer.Option(help="Celery's log level.")] = "warning",
) -> None:
    """Run alerts in processes that have the code loaded already.

    Needs a `run_launcher` for resident workers in DAGSTER_HOME's dagster.yaml; dagster_home/warm has one.
    """
    import os

    import dagster as dg
    from celery.signals import worker_process_init
    from dagster_celery.launcher import CeleryRunLauncher
    from dagster_celery.tasks import create_execute_job_task, create_resume_job_task

    from mma_pipeline.adapters.task_queue import is_experimental
    from mma_pipeline.cli.warm_up import MOST_S, warm_up_all_but_first

    with dg.DagsterInstance.get() as instance:
        launcher = instance.run_launcher
        if not isinstance(launcher, CeleryRunLauncher):
            raise fail(
                f"{current().home}/dagster.yaml starts runs with {type(launcher).__name__}: "
                "a worker needs mma_pipeline.instance.launcher.WarmRunLauncher there (see dagster_home/warm)",
                Exit.USAGE,
            )
        app = launcher.celery
        create_execute_job_task(app)
        create_resume_job_task(app)
        preload()
        worker_process_init.connect(warm_up_all_but_first, weak=False)
        app.conf.worker_proc_alive_timeout = MOST_S
        # A name of its own, by which it is asked whether it still has a run. Files for a name that is gone would pile up where
        # the queue is a folder, which has one worker only.
        name = "mma" if is_experimental(launcher.broker) else f"mma-{os.getpid()}"
        app.worker_main(
            [
                "worker",
                f"--queues={queue}",
                f"--concurrency={processes}",
                f"--loglevel={loglevel}",
                f"--max-tasks-per-child={RUNS_PER_PROCESS}",
                f"--hostname={name}@%h",
                # Workers need nothing of each other.
                "--without-gossip",
                "--without-mingle",
                "--without-heartbeat",
            ]
        )


def preload() -> None:
    """Load what every process of the pool would otherwise load for its first run, and let no collection look at it again."""
    import gc
    import importlib
    import importlib.util
    import pkgutil

    from mma_pipeline.adapters.earth_orientation import orientation_at
    from mma_pipeline.defs.events.page.render import compile_templates

    science = importlib.import_module(SCIENCE)
    for module in (*PRELOAD, *(found.name for found in pkgutil.walk_packages(science.__path__, f"{SCIENCE}."))):
        if importlib.util.find_spec(module) is not None:
            importlib.import_module(module)
    importlib.import_module("mma_pipeline.definitions").defs.resolve_all_job_defs()
    # Read and compiled once, not by each process while its first alert waits.
    orientation_at(datetime.now(UTC))
    compile_templates()
    # A full collection over the loaded code takes half a second in the middle of a run, and writes to every shared page.
    gc.collect()
    gc.freeze()
