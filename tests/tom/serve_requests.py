"""A real TOM with one request for a candidate of one event, served until its input ends; each line there is the request's state.

Run in the TOM's environment: `.venv-tom/bin/python -m tests.tom.serve_requests EVENT RA DEC`. Its first line of output is
the address, then one line follows each line of input.
"""

from __future__ import annotations

import os
import sys
import threading
from datetime import UTC, datetime

os.environ["DJANGO_SETTINGS_MODULE"] = "mma_pipeline.tom.project.settings"

import django
import waitress
from django.conf import settings


class _WithoutMigrations(dict):
    """Tables straight from the models, as `pytest --no-migrations` makes them."""

    def __contains__(self, _: object) -> bool:
        return True

    def __getitem__(self, _: object) -> None:
        return None


def main(event_id: str, ra: float, dec: float) -> None:
    """Make tables, event, candidate and request; serve them."""
    settings.MIGRATION_MODULES = _WithoutMigrations()
    django.setup()
    from django.core.management import call_command
    from tom_observations.models import ObservationRecord
    from tom_targets.models import Target

    from mma_pipeline.tom import ingest
    from mma_pipeline.tom.demo.event import SimulatedEvent
    from mma_pipeline.tom.project.wsgi import application

    call_command("migrate", run_syncdb=True, verbosity=0)
    event = SimulatedEvent(event_id=event_id, ra=ra, dec=dec)
    for number, sent in enumerate(event.score(0.9, datetime(2024, 3, 1, 20, tzinfo=UTC))):
        ingest.store(sent.body, sent.headers, f"t/0/{number}")
    record = ObservationRecord.objects.create(
        target=Target.objects.get(), facility="LCO", observation_id="4711", status="PENDING",
        parameters={"start": "2024-03-02T03:00:00", "c_1_instrument_type": "1M0-SCICAM-SINISTRO",
                    "c_1_configuration_type": "EXPOSE", "c_1_ic_1_exposure_time": 120, "c_1_ic_1_filter": "rp"},
    )  # fmt: skip
    server = waitress.create_server(application, host="127.0.0.1", port=0)
    threading.Thread(target=server.run, daemon=True).start()
    sys.stdout.write(f"http://127.0.0.1:{server.effective_port}/\n")
    sys.stdout.flush()
    for line in sys.stdin:
        record.status = line.strip()
        record.scheduled_start = None if record.status == "PENDING" else datetime(2024, 3, 2, 5, 30, tzinfo=UTC)
        record.save()
        sys.stdout.write("done\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), float(sys.argv[3]))
