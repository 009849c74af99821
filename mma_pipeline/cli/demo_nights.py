"""The second half of `mma demo`: photometry of a simulated counterpart, night by night, until its alert is published.

Nights are sent one after the other, each when the one before has its score, as a campaign would bring them.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.live import Live
from rich.table import Table

from mma_pipeline.cli.app import console

if TYPE_CHECKING:
    from mma_pipeline.adapters.archive import Archive
    from mma_pipeline.adapters.kafka.producer import ConfirmedProducer
    from mma_pipeline.notices.model import LvkNotice
    from mma_pipeline.notices.photometry.measurement import Measurement

TOPIC = "mma.photometry"
ALERTS_TOPIC = "mma.alerts"
NIGHTS = 4
DESTINATION = "alerts"
#: Derived alerts of everything go to the embedded Kafka; nothing leaves the machine.
_PUBLICATION = """\
[destinations.{name}]
kind = "hopskotch"
url = "kafka://{bootstrap}/{topic}"
formats = ["v1", "v2"]
anonymous = true
settle_s = 1
rule = {{ roles = ["observation", "test"] }}
"""


@dataclass
class Night:
    """One night of the counterpart, and its score and alert once they exist."""

    key: str
    """Partition key."""
    body: bytes
    measurements: int
    at: datetime | None = None
    score: dict[str, Any] | None = None
    scored: float | None = None
    """Seconds from writing until the score was there."""
    published: float | None = None
    """Seconds until the derived alert was on its topic."""

    @property
    def complete(self) -> bool:
        """Whether it is scored and published. Nothing is published if the data are insufficient."""
        return self.score is not None and (self.published is not None or not self.score["sufficient"])


def publication_settings(home: Path, bootstrap: str, *others: str) -> Path:
    """Write the demo's destinations, and others in TOML, to a file in `home` and return it."""
    path = home / "publication.toml"
    own = _PUBLICATION.format(name=DESTINATION, bootstrap=bootstrap, topic=ALERTS_TOPIC)
    path.write_text("\n".join((own, *others)), encoding="utf-8")
    return path


def nights_of(notices: Sequence[LvkNotice], event_id: str, seed: int) -> list[Night]:
    """Photometry of a kilonova that is consistent with the event's notices, one message a night, labelled simulated."""
    from mma_pipeline.notices.photometry.candidate_key import CandidateNight, slug_of
    from mma_pipeline.notices.photometry.message import encode
    from mma_pipeline.science.kilonova.counterpart import counterpart_of

    name = f"{event_id}-kn"

    def night(day: int, rows: Sequence[Measurement]) -> Night:
        key = CandidateNight(event_id, slug_of(name), day).partition_key
        return Night(key, encode(rows, event_id=event_id, simulated=True), len(rows))

    rows = counterpart_of(notices, name=name, seed=seed, nights=NIGHTS)
    return [night(day, list(taken)) for day, taken in groupby(rows, key=lambda row: int(row.mjd))]


def follow_nights(archive: Archive, producer: ConfirmedProducer, nights: Sequence[Night], patience_s: float) -> bool:
    """Send the nights and show their scores; True if each was scored, and published where the data suffice."""
    from mma_pipeline.adapters.archive.photometry import PhotometryArchive

    photometry, waiting = PhotometryArchive(archive), list(nights)
    changed, last_seen = time.monotonic(), -1
    with Live(console=console) as live:
        while True:
            sent = [night for night in nights if night.at is not None]
            if waiting and all(night.score is not None for night in sent):
                night = waiting.pop(0)
                _, _, night.at = producer.send(TOPIC, night.body)
                sent.append(night)
            for night in sent:
                _update(archive, photometry, night)
            live.update(_table(sent))
            seen = sum((night.score is not None) + night.complete for night in sent) + len(sent)
            if seen != last_seen:
                changed, last_seen = time.monotonic(), seen
            if not waiting and all(night.complete for night in nights):
                return True
            if time.monotonic() - changed > patience_s:
                return False
            time.sleep(0.25)


def _update(archive: Archive, photometry: Any, night: Night) -> None:
    """Update the score and the publication time of a night."""
    if night.at is None or night.complete:
        return
    if night.score is None:
        found = photometry.score(night.key)
        if found is None:
            return
        night.score, night.scored = found, (datetime.now(UTC) - night.at).total_seconds()
    finished = _published_at(archive, night.score)
    if finished is not None:
        night.published = max(0.0, (finished - night.at).total_seconds())


def _published_at(archive: Archive, score: dict[str, Any]) -> datetime | None:
    """When the alert of a score was delivered; None if it was not."""
    from mma_pipeline.adapters.archive import outbox, reading
    from mma_pipeline.adapters.archive.publications import State

    with reading(archive.engine) as connection:
        sent = outbox.publications(
            connection, event_id=score["event_id"], destination=DESTINATION, kinds=("v2",), state=State.DONE
        )
    for item in sent:
        candidate = item.payload["alert"].get("candidate") or {}
        if candidate.get("name") == score["candidate"] and candidate.get("time_obs") == score["time_obs_mjd"]:
            return item.finished
    return None


def _table(nights: Sequence[Night]) -> Table:
    table = Table(title="photometry of a simulated counterpart: probability of a kilonova, seconds since the message")
    table.add_column("night", no_wrap=True)
    for column in ("measurements", "P (light curve)", "posterior", "scored", "alert published"):
        table.add_column(column, justify="right")
    for night in nights:
        score = night.score or {}
        probability = f"{score['p_phot']:.3f}" if score else ""
        if score and not score["sufficient"]:
            probability = f"not yet ({probability})"
        posterior = score.get("posterior")
        table.add_row(
            night.key,
            str(night.measurements),
            probability,
            "" if posterior is None else f"{posterior:.4f}",
            "" if night.scored is None else f"{night.scored:.1f}",
            "none"
            if score and not score["sufficient"]
            else ""
            if night.published is None
            else f"{night.published:.1f}",
        )
    return table
