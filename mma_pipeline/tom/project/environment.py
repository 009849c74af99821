"""Reads environment variables: the same words mean the same in each."""

from __future__ import annotations

import os
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured

_TRUE, _FALSE = {"1", "true", "yes", "on"}, {"", "0", "false", "no", "off"}


def truth(name: str, *, default: bool = False) -> bool:
    """A variable as a boolean; raises ImproperlyConfigured if it means neither yes nor no."""
    text = os.environ.get(name)
    if text is None:
        return default
    if text.strip().lower() in _TRUE:
        return True
    if text.strip().lower() in _FALSE:
        return False
    raise ImproperlyConfigured(f"{name} is {text!r}: use true or false")


def number(name: str, default: float) -> float:
    """A number; raises ImproperlyConfigured for other text."""
    text = os.environ.get(name)
    try:
        return float(text) if text else default
    except ValueError as error:
        raise ImproperlyConfigured(f"{name} is {text!r}: use a number") from error


def listed(name: str) -> list[str]:
    """Entries separated by commas; empty without the variable."""
    return [entry.strip() for entry in os.environ.get(name, "").split(",") if entry.strip()]


def kafka_bootstrap() -> str:
    """Brokers of the derived alerts, by default those that the pipeline publishes to; empty if there are none."""
    if named := os.environ.get("TOM_KAFKA_BOOTSTRAP"):
        return named
    address = urlsplit(os.environ.get("MMA_HOP_URL", ""))
    if address.hostname:
        return f"{address.hostname}:{address.port or 9092}"
    return os.environ.get("MMA_KAFKA_BOOTSTRAP", "")


def kafka_topics() -> list[str]:
    """Topics of the derived alerts, by default those that the pipeline publishes to."""
    published = urlsplit(os.environ.get("MMA_HOP_URL", "")).path.strip("/")
    return listed("TOM_KAFKA_TOPICS") or [topic for topic in published.split(",") if topic] or ["mma.derived"]


def kafka_client() -> dict[str, str]:
    """librdkafka settings of the alert stream: plain for a local broker, SASL over TLS if a user name is given."""
    client = {"bootstrap.servers": kafka_bootstrap()}
    user = os.environ.get("TOM_KAFKA_USERNAME", "")
    if user:
        client |= {
            "security.protocol": os.environ.get("TOM_KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
            "sasl.mechanisms": os.environ.get("TOM_KAFKA_SASL_MECHANISM", "SCRAM-SHA-512"),
            "sasl.username": user,
            "sasl.password": os.environ.get("TOM_KAFKA_PASSWORD", ""),
        }
        # Hopskotch admits only group names that begin with the user's name.
        client["group.id"] = os.environ.get("TOM_KAFKA_GROUP_ID", f"{user}-mma-tom")
    elif os.environ.get("TOM_KAFKA_GROUP_ID"):
        client["group.id"] = os.environ["TOM_KAFKA_GROUP_ID"]
    return client
