"""`mma_serve`: runs the TOM in one process: migrates tables, reads alert streams, serves pages."""

from __future__ import annotations

import secrets
import signal
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import waitress
from django.conf import settings
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandParser
from tom_alertstreams.alertstreams.alertstream import get_alert_streams

from mma_pipeline.tom.demo.event import SimulatedEvent
from mma_pipeline.tom.demo.kafka import EmbeddedKafka
from mma_pipeline.tom.demo.portal import Portal
from mma_pipeline.tom.project.environment import kafka_bootstrap
from mma_pipeline.tom.project.wsgi import application
from mma_pipeline.tom.stream import KafkaAlertStream

#: Where a demo leaves the address of its Kafka for `mma_demo_event`.
KAFKA_FILE = "demo-kafka"


class Command(BaseCommand):
    """Serve the TOM and read its alert streams until Ctrl-C."""

    help = (
        "Migrate the tables, read the alert streams and serve the TOM until Ctrl-C. "
        "With --demo, stand-ins replace what is not configured: Kafka with a simulated event, "
        "an observation portal, and a user to log in as."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Address and demo."""
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8010)
        parser.add_argument("--threads", type=int, default=8, help="requests served at the same time")
        parser.add_argument("--demo", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Run until interrupted."""
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        Path(settings.DATA_DIR).mkdir(parents=True, exist_ok=True)
        call_command("migrate", verbosity=0)
        with ExitStack() as stack:
            if options["demo"]:
                self._stand_in(stack)
            streams = get_alert_streams(settings.ALERT_STREAMS)
            threads = [threading.Thread(target=s.listen, name=type(s).__name__, daemon=True) for s in streams]
            for thread in threads:
                thread.start()
            if not streams:
                self.stdout.write("No alert stream: set TOM_KAFKA_BOOTSTRAP to read one.")
            self.stdout.write(f"The TOM is at http://{options['host']}:{options['port']}{settings.LOGIN_REDIRECT_URL}")
            self.stdout.flush()  # also if the output goes to a file
            try:
                waitress.serve(
                    application,
                    host=options["host"],
                    port=options["port"],
                    threads=options["threads"],
                    ident=None,
                    _quiet=True,
                )
            except KeyboardInterrupt:
                self.stdout.write("Stopping.")
            finally:
                for stream in streams:
                    if isinstance(stream, KafkaAlertStream):
                        stream.stop()
                for thread in threads:
                    thread.join(timeout=5)

    def _stand_in(self, stack: ExitStack) -> None:
        if not kafka_bootstrap():
            kafka = stack.enter_context(EmbeddedKafka())
            stream = settings.ALERT_STREAMS[0]
            stream["ACTIVE"] = True
            stream["OPTIONS"] |= {"CLIENT": {"bootstrap.servers": kafka.bootstrap}, "FROM_BEGINNING": True}
            (Path(settings.DATA_DIR) / KAFKA_FILE).write_text(kafka.bootstrap)
            event = SimulatedEvent()
            topic = stream["OPTIONS"]["TOPICS"][0]
            kafka.send(topic, [event.announcement(), *(m for night in event.nights() for m in night)])
            self.stdout.write(f"Embedded Kafka with the simulated event {event.event_id} at {kafka.bootstrap}")
        if not settings.FACILITIES["LCO"]["api_key"]:
            portal = stack.enter_context(Portal(token=secrets.token_urlsafe()))
            settings.FACILITIES["LCO"] |= {"portal_url": portal.url, "api_key": portal.token}
            self.stdout.write(f"Stand-in of the LCO portal at {portal.url}: it observes nothing")
        password = secrets.token_urlsafe(9)
        user, _ = User.objects.get_or_create(username="observer")
        user.set_password(password)
        user.save()
        self.stdout.write(f"Log in as observer with the password {password}")
