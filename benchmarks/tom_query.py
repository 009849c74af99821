"""The TOM under a load of 10,000 derived alerts: seconds and memory of a query, beside the way the predecessor did it.

Run by `make bench-tom`. One JSON line per figure. The predecessor's TOM read the whole topic again for every query
and looked through it in Python; `topic_reread` does the same with the same messages on a local broker.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

ALERTS = 10_000
START = datetime(2026, 1, 1, tzinfo=UTC)
QUERY = {
    "data_service": "MMA",
    "min_kilonova_probability": "0.8",
    "since": "2026-01-02 00:00",
    "only_significant": "on",
    "max_credible_level": "0.9",
    "ra": "120",
    "dec": "10",
    "radius": "40",
}


def messages():
    """Alternating v1 and v2 messages of 5,000 candidates in 50 events, all over the sky."""
    import random

    from mma_pipeline.tom.demo.event import SimulatedEvent

    rng = random.Random(8)
    for n in range(ALERTS // 2):
        event = SimulatedEvent(
            event_id=f"S2601{1 + n % 28:02d}{'abc'[n % 3]}",
            candidate=f"AT2026{n:05d}",
            ra=rng.uniform(0, 360),
            dec=rng.uniform(-60, 60),
            significant=n % 2 == 0,
        )
        yield from event.score(round(rng.random(), 4), START + timedelta(minutes=2 * n), magnitude=20.0)


def fill() -> dict[str, float]:
    """Load the table as the stream does."""
    from django.core.management import call_command

    from mma_pipeline.adapters.kafka.message import StreamMessage
    from mma_pipeline.tom import ingest

    call_command("migrate", verbosity=0)
    batch = [
        StreamMessage("bench", "t", 0, n, m.body, None, tuple(m.headers.items()), None, START)
        for n, m in enumerate(messages())
    ]
    began = time.perf_counter()
    for first in range(0, len(batch), 200):
        ingest.store_batch("bench", batch[first : first + 200], {"t": {0: first + 200}})
    return {"seconds": time.perf_counter() - began}


def query() -> dict[str, float]:
    """The query as a browser sends it: form, rows, result page; the second of two, and the process's peak memory."""
    from django.contrib.auth.models import User
    from django.core.cache import cache
    from django.test import Client
    from django.urls import reverse

    from mma_pipeline.tom.forms import AlertQueryForm
    from mma_pipeline.tom.query import Criteria, select

    form = AlertQueryForm(QUERY)
    if not form.is_valid():
        raise RuntimeError(form.errors.as_text())
    list(select(Criteria.from_form(form.cleaned_data)))
    began = time.perf_counter()
    found = len(list(select(Criteria.from_form(form.cleaned_data))))
    select_seconds = time.perf_counter() - began

    user, _ = User.objects.get_or_create(username="bench")
    client = Client(headers={"host": "localhost"})
    client.force_login(user)
    for _ in range(2):
        cache.clear()
        began = time.perf_counter()
        answer = client.post(reverse("dataservices:create"), QUERY, follow=True)
        seconds = time.perf_counter() - began
    rows = answer.content.decode().count('value="mma-')
    if not rows or rows != min(found, 100):
        raise RuntimeError(f"the query gave no rows (status {answer.status_code})")
    return {
        "seconds": seconds,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "rows": rows,
        "select": select_seconds,
    }


def reread() -> dict[str, float]:
    """The whole topic read again and filtered in Python, as the predecessor did on each query."""
    from confluent_kafka import Consumer, Producer, TopicPartition

    from mma_pipeline.tom.demo.kafka import EmbeddedKafka

    with EmbeddedKafka() as kafka:
        producer = Producer({"bootstrap.servers": kafka.bootstrap})
        for n, sent in enumerate(messages()):
            # In turn, because the embedded broker keeps only 5 MB of a partition.
            producer.produce("bench", sent.body, headers=list(sent.headers.items()), partition=n % 4)
        producer.flush(60)
        began = time.perf_counter()
        consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": "bench"})
        consumer.assign([TopicPartition("bench", p, 0) for p in range(4)])
        found = seen = 0
        while seen < ALERTS and (message := consumer.poll(30.0)) is not None:
            if message.error():
                raise RuntimeError(message.error().str())
            seen += 1
            alert = json.loads(message.value())
            score = alert["candidate"].get("kilonova_probability") if "kind" in alert else alert["kn_score"]
            found += score >= 0.8
        seconds = time.perf_counter() - began
        consumer.close()
    if seen < ALERTS:
        raise RuntimeError(f"the broker gave {seen} of {ALERTS} messages")
    return {"seconds": seconds, "messages": seen}


def main() -> None:
    """Run each figure in a process of its own, so that peaks do not mix."""
    if len(sys.argv) > 1:
        import django

        django.setup()
        print(json.dumps(globals()[sys.argv[1]]()))
        return
    with tempfile.TemporaryDirectory(prefix="mma-tom-bench-") as folder:
        env = os.environ | {
            "DJANGO_SETTINGS_MODULE": "mma_pipeline.tom.project.settings",
            "DJANGO_SECRET_KEY": "bench",
            "TOM_DATA_DIR": folder,
            "TOM_CACHE_DIR": str(Path(folder) / "cache"),
            "TOM_AUTO_TARGETS": "false",
            "LOG_LEVEL": "ERROR",
        }
        results = {}
        for name in ("fill", "query", "reread"):
            line = [sys.executable, __file__, name]
            done = subprocess.run(line, env=env, check=True, stdout=subprocess.PIPE, text=True)
            results[name] = json.loads(done.stdout.splitlines()[-1])
    asked, before = results["query"], results["reread"]
    for figure in (
        {"figure": "tom_ingest", "alerts": ALERTS, "alerts_per_s": round(ALERTS / results["fill"]["seconds"])},
        {
            "figure": "tom_query_rows",
            "alerts": ALERTS,
            "rows": asked["rows"],
            "seconds": round(asked["select"], 4),
            "topic_reread_seconds": round(before["seconds"], 3),
            "ratio": round(before["seconds"] / asked["select"], 1),
        },
        {
            "figure": "tom_query_page",
            "alerts": ALERTS,
            "rows": asked["rows"],
            "seconds": round(asked["seconds"], 3),
            "peak_mb": round(asked["peak_mb"]),
        },
    ):
        print(json.dumps(figure))


if __name__ == "__main__":
    main()
