"""How long a death holds a run up: seconds from the kill to the start of the run that replaces it, by lane and by what died.

    python -m benchmarks.deaths [--lane warm|laptop] [--rounds 3]

Real processes, Kafka and, in the warm lane, PostgreSQL and Redis (tests.delivery.stack), with the project's own settings. A
supervisor starts again what died after a second. A power cut counts from the moment at which everything is started again.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import dagster as dg

from tests.alerts import body
from tests.defs.malformed import tiny_map
from tests.delivery.stack import Stack
from tests.services.kafka import KafkaBroker
from tests.services.postgres import PostgresServer

TOPIC = "igwn.gwalert"
_T = TypeVar("_T")
Status = dg.DagsterRunStatus


class Held(NamedTuple):
    """How long a death held a run up, seconds."""

    noticed: float
    """Until the dead run had failed."""
    begun: float
    """Until the run that replaces it had begun."""


class Deaths:
    """Kills one thing after the other in a running deployment."""

    def __init__(self, stack: Stack, kafka: KafkaBroker, instance: dg.DagsterInstance) -> None:
        """Nothing is killed yet."""
        self.stack, self.kafka, self.instance = stack, kafka, instance
        self._number = 0

    def kinds(self) -> dict[str, Callable[[], Held]]:
        """What may die here, and what measures it."""
        here = self.stack
        found: dict[str, Callable[[], Held]] = {"process of a run": lambda: self.after(Status.STARTED, self._kill_run)}
        if here.warm:
            found["worker with its pool"] = lambda: self.after(Status.STARTED, lambda _: here.kill_whole("worker"))
            found["queue and worker, run handed over"] = self.lost_queue
        else:
            found["code server with its runs"] = lambda: self.after(
                Status.STARTED, lambda _: here.kill_whole("code-server")
            )
            found["code server, run handed over"] = lambda: self.after(
                Status.STARTING, lambda _: here.kill_whole("code-server")
            )
        found["power cut"] = lambda: self.after(Status.STARTED, self._cut)
        return found

    def after(self, status: dg.DagsterRunStatus, kill: Callable[[str], object]) -> Held:
        """Send an alert, kill when its run has a status; how long until that is noticed, and another run of it begins."""
        while (found := self._once(status, kill)) is None:
            pass  # the run was faster
        return found

    def _once(self, status: dg.DagsterRunStatus, kill: Callable[[str], object]) -> Held | None:
        event = self._send()
        run_id = self._wait(lambda: self._of(event, status), event)
        killed = time.time()
        began = kill(run_id)
        since = began if isinstance(began, float) else killed
        return self._held(event, run_id, since)

    def _held(self, event: str, run_id: str, since: float) -> Held | None:
        def ended() -> dg.RunRecord | None:
            (record,) = self.instance.get_run_records(dg.RunsFilter(run_ids=[run_id]))
            return record if record.dagster_run.is_finished and record.end_time else None

        record = self._wait(ended, event)
        if record.dagster_run.status is Status.SUCCESS:
            # Who hands runs over may do so again without failing the run: it began once, after the death, or before it.
            began = record.start_time or since
            return Held(began - since, began - since) if began > since else None
        replaced = self._wait(lambda: self._begun(event, run_id), event)
        return Held((record.end_time or since) - since, replaced - since)

    def lost_queue(self) -> Held:
        """A run waits in the queue, because its worker is gone; the queue is lost; both come back."""
        self.stack.kill_whole("worker")
        event = self._send()
        run_id = self._wait(lambda: self._of(event, Status.STARTING), event, supervise=False)
        time.sleep(1)
        self.stack.kill_whole("queue")
        found = self._held(event, run_id, time.time())
        if found is None:
            raise RuntimeError("the run was not lost")
        return found

    def _kill_run(self, run_id: str) -> None:
        (entry, *_) = (
            entry
            for entry in self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)
            if entry.dagster_event and "pid" in entry.dagster_event.engine_event_data.metadata
        )
        assert entry.dagster_event is not None
        os.kill(int(str(entry.dagster_event.engine_event_data.metadata["pid"].value)), signal.SIGKILL)

    def _cut(self, _: str) -> float:
        self.stack.power_cut()
        self.stack.start()
        return time.time()

    def _send(self) -> str:
        self._number += 1
        tens, ones = divmod(self._number, 26)
        event = f"S2403{1 + tens:02d}{chr(97 + ones)}"
        self.kafka.produce(TOPIC, body(event, "PRELIMINARY", skymap=tiny_map()))
        return event

    def _of(self, event: str, status: dg.DagsterRunStatus) -> str | None:
        wanted = dg.RunsFilter(job_name="alert_products", tags={"mma/event": event}, statuses=[status])
        return next((run.run_id for run in self.instance.get_runs(wanted)), None)

    def _begun(self, event: str, before: str) -> float | None:
        """When a run other than `before` began."""
        records = self.instance.get_run_records(dg.RunsFilter(job_name="alert_products", tags={"mma/event": event}))
        return next((r.start_time for r in records if r.dagster_run.run_id != before and r.start_time), None)

    def _wait(self, look: Callable[[], _T | None], event: str, *, supervise: bool = True) -> _T:
        deadline = time.monotonic() + 400
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):  # the database may be away
                if (found := look()) is not None:
                    return found
            if supervise:
                self.stack.supervise()
            time.sleep(0.03)
        raise TimeoutError(f"{event}\n{self.stack.log('daemon')}")


@contextlib.contextmanager
def deployment(lane: str) -> Iterator[Deaths]:
    """A deployment of a lane with its services."""
    folder = Path(tempfile.mkdtemp(prefix="mma-deaths-"))
    with contextlib.ExitStack() as held:
        kafka = held.enter_context(KafkaBroker.running())
        kafka.create_topic(TOPIC)
        postgres = held.enter_context(PostgresServer.running()) if lane == "warm" else None
        stack = Stack(folder / "stack", kafka, postgres, warm=lane == "warm")
        held.enter_context(stack.running())
        yield Deaths(stack, kafka, held.enter_context(stack.instance()))


def main() -> None:
    """Measure, and write a line for each kind of death."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lane", choices=["warm", "laptop"], action="append")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    for lane in options.lane or ["warm", "laptop"]:
        with deployment(lane) as deaths:
            deaths.kinds()["process of a run"]()  # the first one pays what is loaded once
            for name, measure in deaths.kinds().items():
                held = [measure() for _ in range(options.rounds)]
                for what, seconds in (("noticed", [h.noticed for h in held]), ("begun", [h.begun for h in held])):
                    each = ", ".join(f"{one:.1f}" for one in seconds)
                    sys.stdout.write(
                        f"{lane}: {name}: {what} after {median(seconds):.1f} s, at most {max(seconds):.1f} s ({each})\n"
                    )
                sys.stdout.flush()


if __name__ == "__main__":
    main()
