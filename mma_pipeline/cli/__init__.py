"""`mma`, the command line. Each module is one command or group. Heavy imports happen when a command runs."""

from __future__ import annotations

from mma_pipeline.cli.app import app
from mma_pipeline.cli.archive import archive
from mma_pipeline.cli.backfill import backfill
from mma_pipeline.cli.catalog import catalog
from mma_pipeline.cli.circular import circular
from mma_pipeline.cli.crossmatch import crossmatch
from mma_pipeline.cli.demo import demo
from mma_pipeline.cli.doctor import doctor
from mma_pipeline.cli.forecast import forecast
from mma_pipeline.cli.health import alive, metrics
from mma_pipeline.cli.kilonova import kilonova
from mma_pipeline.cli.open_event import open_event
from mma_pipeline.cli.photometry import publish_photometry
from mma_pipeline.cli.pointings import pointings
from mma_pipeline.cli.publication import explain, publication
from mma_pipeline.cli.quarantine import quarantine
from mma_pipeline.cli.replay import replay
from mma_pipeline.cli.serve import serve
from mma_pipeline.cli.settings import settings
from mma_pipeline.cli.show import show
from mma_pipeline.cli.simulate import simulate
from mma_pipeline.cli.status import status
from mma_pipeline.cli.storage import storage
from mma_pipeline.cli.stream import stream
from mma_pipeline.cli.survey import survey
from mma_pipeline.cli.windows import windows
from mma_pipeline.cli.worker import worker

app.command()(demo)
app.command()(simulate)
app.command()(replay)
app.command()(status)
app.command()(show)
app.command("open")(open_event)
app.command()(serve)
app.add_typer(quarantine, name="quarantine")
app.command()(explain)
app.add_typer(stream, name="stream")
app.add_typer(survey, name="survey")
app.add_typer(publication, name="publication")
app.command()(doctor)
app.command()(settings)
app.add_typer(storage, name="storage")
app.command()(publish_photometry)
app.add_typer(pointings, name="pointings")
app.add_typer(kilonova, name="kilonova")
app.add_typer(archive, name="archive")
app.add_typer(catalog, name="catalog")
app.command()(crossmatch)
app.command()(forecast)
app.command()(windows)
app.command()(circular)
app.command()(backfill)
app.command()(worker)
app.command()(alive)
app.command()(metrics)

__all__ = ["app"]
