"""Survey packets a second and core, beside fastavro's full decode, one JSON line each: part of `make bench-surveys`.

`head` is position and time, `detection` what every packet costs in the reader (the detection and its facts, without the
light curve), `alert` what one costs that may be a candidate. The plain way decodes everything. Packets are real ones from ../shared/data/surveys, each copy of its own so that no cache holds them all.
"""

from __future__ import annotations

import io
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import fastavro

from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.adapters.surveys.schemas import Schemas

SURVEYS = Path(__file__).resolve().parents[2] / "shared" / "data" / "surveys"
#: Copies of a packet: 30 MB of ZTF's.
_COPIES = 400
_ROUNDS = 3
#: Packets a second and core until the decision, of which reading is the larger part.
GOALS = {"ztf": 2000, "lsst": 4000}


def rate(act: Callable[[bytes], object], packets: Sequence[bytes]) -> float:
    """Packets a second of CPU time, the best of some rounds."""
    best = 0.0
    for _ in range(_ROUNDS):
        began = time.process_time()
        for packet in packets:
            act(packet)
        best = max(best, len(packets) / (time.process_time() - began))
    return best


def schema_folder(name: str, number: int) -> Schemas:
    """Schemas with the one that a file carries, under a number."""
    schema = fastavro.reader(io.BytesIO((SURVEYS / name).read_bytes())).writer_schema
    found = Schemas()
    found._known[number] = json.loads(json.dumps(schema))
    return found


def main() -> None:
    """Print the figures."""
    if not SURVEYS.is_dir():
        print(json.dumps({"row": "survey packets", "reason": f"no packets: {SURVEYS} is not there"}))
        return
    schemas = schema_folder("lsst/fakeAlert_10_0.avro", 900)
    schema = fastavro.parse_schema(json.loads(json.dumps(schemas.by_id(900))))

    def plain_container(body: bytes) -> object:
        return list(fastavro.reader(io.BytesIO(body)))

    def plain_frame(body: bytes) -> object:
        return fastavro.schemaless_reader(io.BytesIO(body[5:]), schema, None)

    for survey, name, plain in (
        ("ztf", "ztf/2695378462115010012.avro", plain_container),
        ("lsst", "lsst/7912941781254298_confluent.avro", plain_frame),
    ):
        body = (SURVEYS / name).read_bytes()
        packets = [bytes(bytearray(body)) for _ in range(_COPIES)]
        known = Formats(schemas)
        full = rate(plain, packets)
        for what, act in (
            ("head", lambda packet, k=known: k.format_of(packet).head(packet)),
            ("detection", lambda packet, k=known: k.format_of(packet).detection(packet)),
            ("alert", lambda packet, k=known: k.format_of(packet).alert(packet)),
        ):
            ours = rate(act, packets)
            line = {
                "row": f"{survey} packet to {what}", "packet_kb": round(len(body) / 1000), "per_s": round(ours),
                "plain_per_s": round(full), "ratio": round(ours / full, 1),
            }  # fmt: skip
            if what == "head":
                line |= {
                    "goal": f"{GOALS[survey]} a second, 5 times the plain way",
                    "met": ours >= GOALS[survey] and ours >= 5 * full,
                }
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
