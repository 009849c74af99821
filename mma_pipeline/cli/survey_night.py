"""What `mma simulate --survey-night` does: a night of packets into a tar file, as ZTF keeps its nights, or onto Kafka."""

from __future__ import annotations

import hashlib
import io
import tarfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mma_pipeline.science.skymaps.model import SkyMap

#: Bytes of one image of a packet: three of them make ZTF's packets of some 70 kB.
_STAMP = 18_000


@dataclass(frozen=True, slots=True)
class Region:
    """Whose kilonova is hidden in the night."""

    event: str
    merger_mjd: float
    """MJD in days (UTC)."""
    skymap: SkyMap
    distance_mpc: float | None
    """None: as the map says."""


@dataclass(frozen=True, slots=True)
class Packet:
    """One packet and what a broker needs to know of it."""

    object_id: str
    candid: int
    body: bytes


def hidden_name(region: Region, seed: int) -> str:
    """The survey's name of the hidden kilonova: that of no other object of the night, nor of another event's."""
    year = int((region.merger_mjd - 51544) / 365.25) % 100
    digest = hashlib.sha256(f"{region.event} {region.merger_mjd:.6f} {seed}".encode()).digest()
    letters = "".join(chr(97 + byte % 26) for byte in digest[:3])
    return f"ZTF{year:02d}zzzz{letters}"


def packets(region: Region, *, nights_after: int, alerts: int, seed: int, images: bool) -> Iterator[Packet]:
    """The packets of a night, so many nights after the merger's, by time."""
    import numpy as np

    from mma_pipeline.adapters.surveys.ztf_packet import cutouts, encode_packet
    from mma_pipeline.science.kilonova.counterpart import draw_kilonova
    from mma_pipeline.science.simulation.survey_night import SurveyNight, night_of_alerts

    rng = np.random.default_rng(seed)
    kilonova = draw_kilonova(region.skymap, rng, region.distance_mpc)
    pictures = cutouts(rng.bytes(_STAMP)) if images else {}
    night = SurveyNight(region.merger_mjd, int(region.merger_mjd) + nights_after, alerts, seed)
    for record in night_of_alerts(night, kilonova, hidden_name(region, seed)):
        yield Packet(record["objectId"], record["candid"], encode_packet({**record, **pictures}))


def to_file(found: Iterator[Packet], path: Path) -> dict[str, Any]:
    """Write packets into a tar file, one member each, atomically; the same packets give the same bytes."""
    partial = path.with_name(path.name + ".partial")
    count = 0
    with tarfile.open(partial, "w") as out:
        for packet in found:
            member = tarfile.TarInfo(f"{packet.candid}.avro")
            member.size = len(packet.body)
            out.addfile(member, io.BytesIO(packet.body))
            count += 1
    partial.replace(path)
    return {"alerts": count, "file": str(path), "bytes": path.stat().st_size}


def to_kafka(found: Iterator[Packet], bootstrap: str, topic: str, per_second: float) -> dict[str, Any]:
    """Send packets at a rate (0: as fast as the broker takes them), keyed by object; raises TransientError."""
    from mma_pipeline.adapters.kafka.producer import ConfirmedProducer

    count, started = 0, time.monotonic()
    with ConfirmedProducer({"bootstrap.servers": bootstrap, "linger.ms": 20}) as producer:
        for packet in found:
            if per_second:
                time.sleep(max(0.0, started + count / per_second - time.monotonic()))
            producer.hand_over(topic, packet.body, key=packet.object_id)
            count += 1
        producer.confirm()
    seconds = time.monotonic() - started
    return {"alerts": count, "topic": topic, "seconds": round(seconds, 3), "per_second": round(count / seconds, 1)}
