"""`mma_demo_event`: publish the simulated event's alerts, or their retraction, to a broker."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from confluent_kafka import Producer
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mma_pipeline.tom.demo.event import SimulatedEvent
from mma_pipeline.tom.demo.kafka import publish
from mma_pipeline.tom.project.environment import kafka_bootstrap

from .mma_serve import KAFKA_FILE


class Command(BaseCommand):
    """Publish to the broker of the running demo, or to the configured one."""

    help = "Publish the simulated event's derived alerts, or with --retract their retraction (see make tom-retract)."

    def add_arguments(self, parser: CommandParser) -> None:
        """What to publish."""
        parser.add_argument("--retract", action="store_true")

    def handle(self, *args: Any, **options: Any) -> None:
        """Publish and wait for the broker; raises CommandError if there is none."""
        left_by_demo = Path(settings.DATA_DIR) / KAFKA_FILE
        bootstrap = kafka_bootstrap() or (left_by_demo.read_text() if left_by_demo.is_file() else "")
        if not bootstrap:
            raise CommandError("No broker: start `make tom` first, or set TOM_KAFKA_BOOTSTRAP")
        event = SimulatedEvent()
        sent = [event.announcement(), *(message for night in event.nights() for message in night)]
        if options["retract"]:
            sent = list(event.retractions(*(message.id for message in sent)))
        topic = settings.ALERT_STREAMS[0]["OPTIONS"]["TOPICS"][0]
        try:
            publish(Producer({"bootstrap.servers": bootstrap}), topic, sent)
        except TimeoutError as error:
            raise CommandError(f"{bootstrap}: {error}") from error
        self.stdout.write(f"{len(sent)} messages about {event.event_id} on {topic}")
