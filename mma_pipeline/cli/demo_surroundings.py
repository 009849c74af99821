"""What surrounds the demo's event: an invented galaxy catalog, orbital elements, and a receiver of webhooks on this machine."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from mma_pipeline.cli.demo_server import LocalServer

if TYPE_CHECKING:
    from mma_pipeline.notices.model import LvkNotice

#: Variable that holds the receiver's address, and what the destination is called.
ADDRESS, DESTINATION = "DEMO_WEBHOOK_URL", "people"
#: The receiver as a destination: it is told of mocks, too.
PUBLICATION = f"""\
[destinations.{DESTINATION}]
kind = "webhook"
url_env = "{ADDRESS}"
per_minute = 600
rule = {{ roles = ["observation", "test"] }}
"""
#: A demonstration asks nobody outside this machine, and uses nothing that the user's environment names: what switches it off.
ALONE = {
    "MMA_GRACEDB_CHECK": "false",
    "MMA_NOTICES_MAP_HOURS": "0",
    "MMA_HOP_STREAMS": "false",
    **dict.fromkeys(
        (
            *(
                "HOP_USERNAME",
                "HOP_PASSWORD",
                "MMA_PHOTOMETRY_TOPICS",
                "MMA_SURVEY_TOPICS",
                "MMA_POINTINGS_URL",
                "DRY_RUN",
            ),
            *("MMA_POINTINGS_TOM_URL", "MMA_POINTINGS_TOM_TOKEN", "PATH_TO_GALAXY_CATALOG_CONFIG", "MMA_FT2_SOURCE"),
        ),
        "",
    ),
}
#: Folder of the galaxy index and file of the elements, in the demo's home.
CATALOG, ELEMENTS = "galaxies", "simulated_fermi.tle"
#: Galaxies drawn from the map, and anywhere.
_NEAR, _ELSEWHERE = 400, 4000
#: Bytes of a message; a longer one is cut.
_MOST = 1 << 20


def galaxy_catalog(home: Path, notices: Sequence[LvkNotice], seed: int) -> Path:
    """Make the index of an invented catalog around the last map of an event; returns its folder."""
    from mma_pipeline.adapters.catalogs.index import build_index
    from mma_pipeline.science.simulation.galaxies import COLUMNS, simulate_galaxies
    from mma_pipeline.science.skymaps.model import decode_skymap

    maps = [n.event.skymap for n in notices if n.event is not None and n.event.skymap is not None]
    rows = simulate_galaxies(decode_skymap(maps[-1]), seed=seed, near=_NEAR, elsewhere=_ELSEWHERE)
    source, folder = home / "simulated_galaxies.csv", home / CATALOG
    with source.open("w", encoding="utf-8", newline="") as handle:
        csv.writer(handle).writerows([COLUMNS, *rows])
    build_index(source, folder, label="simulated galaxies")
    return folder


def orbital_elements(home: Path, time: datetime, seed: int) -> Path:
    """Write invented elements of Fermi of a time (UTC); returns the file."""
    from mma_pipeline.science.simulation.orbits import simulate_elements

    path = home / ELEMENTS
    path.write_text(simulate_elements(time, seed=seed), encoding="ascii")
    return path


@dataclass
class WebhookReceiver(LocalServer):
    """Where the demo's notifications of people arrive: as a context manager it listens on a free port of this machine."""

    texts: list[str] = field(default_factory=list)
    """What each message said, in order of arrival."""

    def __enter__(self) -> Self:
        # Every command imports this module: what only a server needs waits.
        from http.server import BaseHTTPRequestHandler

        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(min(int(self.headers.get("Content-Length", 0)), _MOST))
                receiver.take(body)
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """The table says what came."""

        self.url = f"{self.listen(Handler)}/messages"
        return self

    def take(self, body: bytes) -> None:
        """Keep the text of a message."""
        try:
            text = json.loads(body)["text"]
        except (ValueError, KeyError, TypeError):
            text = f"{len(body)} bytes that are no message"
        self.texts.append(str(text))
