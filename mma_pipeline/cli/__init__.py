"""`mma`, the command line. Each module is one command or group; what is heavy is imported when a command runs."""

from __future__ import annotations

from .app import app
from .archive import archive
from .backfill import backfill
from .catalog import catalog
from .crossmatch import crossmatch
from .demo import demo
from .doctor import doctor
from .health import alive, metrics
from .kilonova import kilonova
from .photometry import publish_photometry
from .publication import explain, publication
from .quarantine import quarantine
from .replay import replay
from .simulate import simulate
from .status import show, status
from .storage import storage
from .worker import worker

app.command()(demo)
app.command()(simulate)
app.command()(replay)
app.command()(status)
app.command()(show)
app.add_typer(quarantine, name="quarantine")
app.command()(explain)
app.add_typer(publication, name="publication")
app.command()(doctor)
app.add_typer(storage, name="storage")
app.command()(publish_photometry)
app.add_typer(kilonova, name="kilonova")
app.add_typer(archive, name="archive")
app.add_typer(catalog, name="catalog")
app.command()(crossmatch)
app.command()(backfill)
app.command()(worker)
app.command()(alive)
app.command()(metrics)

__all__ = ["app"]
