"""Reads Hopskotch: credentials of hop-client, test messages, and messages stored outside the broker.

`kafka.StreamReader` reads the stream itself, so that the caller's cursor decides the position. Sources: hop-client 0.13
(io.py, auth.py) and its documentation: a group id begins with the credential's user name; the header `_test` marks test
messages; `_format: external` marks a message that is only the address of a large one (BSON).
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlsplit

from mma_pipeline.adapters.errors import ConfigurationError, PermanentError
from mma_pipeline.adapters.http import download
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.kafka.stream import StreamConfig

_log = logging.getLogger(__name__)

HOPSKOTCH = "kafka.scimma.org:9092"
#: Seconds that fetching a large message may take from beginning to end.
FETCH_S = 30.0
#: Protocols of brokers that need no credential.
_WITHOUT_CREDENTIAL = ("PLAINTEXT", "SSL")
#: Largest message fetched from outside the broker, bytes.
MAX_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class HopBroker:
    """Address of Hopskotch and credential."""

    username: str | None = None
    password: str | None = field(default=None, repr=False)
    kept: bool = False
    """Use the credential that `hop auth` stores in auth.toml if none is given."""
    bootstrap: str = HOPSKOTCH
    protocol: str = "SASL_SSL"
    group: str = "mma"
    """Part of the group id after the user name, with which it must begin."""
    start: str = "earliest"
    """Position at which a new group begins: `earliest` or `latest`."""


def hop_stream(broker: HopBroker, name: str, *topics: str) -> StreamConfig | None:
    """How to read topics of Hopskotch; None if there is no credential.

    A `protocol` of PLAINTEXT or SSL means a private broker that needs none. Raises ConfigurationError if half of
    the credential is set or auth.toml cannot be used.
    """
    client = hop_client(broker, name)
    return None if client is None else StreamConfig(name, topics, client, broker.start)


def hop_client(broker: HopBroker, name: str) -> dict[str, Any] | None:
    """librdkafka configuration for a stream of Hopskotch; see `hop_stream`."""
    group = f"{broker.group}-{name}"
    if broker.protocol in _WITHOUT_CREDENTIAL:
        if broker.bootstrap == HOPSKOTCH:
            raise ConfigurationError(
                f"MMA_HOP_PROTOCOL={broker.protocol} needs MMA_HOP_BOOTSTRAP: Hopskotch itself requires a credential"
            )
        return {"security.protocol": broker.protocol, "bootstrap.servers": broker.bootstrap, "group.id": group}
    user, password = broker.username, broker.password
    if bool(user) != bool(password):
        raise ConfigurationError("set both HOP_USERNAME and HOP_PASSWORD, the Hopskotch credential (`hop auth`)")
    if user and password:
        client: dict[str, Any] = {
            "security.protocol": broker.protocol,
            "sasl.mechanism": "SCRAM-SHA-512",
            "sasl.username": user,
            "sasl.password": password,
        }
    elif broker.kept:
        user, client = _kept_credential(broker.bootstrap)
    else:
        return None
    return client | {"bootstrap.servers": broker.bootstrap, "group.id": f"{user}-{group}"}


def _kept_credential(broker: str) -> tuple[str, dict[str, Any]]:
    from hop.auth import load_auth, select_matching_auth

    try:
        chosen = select_matching_auth(load_auth(), broker)
    except (OSError, RuntimeError, KeyError) as error:
        # The text of these errors names files and hosts, never the secret.
        raise ConfigurationError(f"hop-client's auth.toml cannot be used ({error}): run `hop auth add`") from error
    return str(chosen.username), dict(chosen())


def is_test(message: StreamMessage) -> bool:
    """Whether a message is marked as a test: the header's presence counts, not its value."""
    return any(name == "_test" for name, _ in message.headers)


def fetch_offloaded(message: StreamMessage) -> StreamMessage:
    """The message at the address, if this message is only an address; else the message unchanged.

    Fetched without credentials, so private topics' offloaded messages stay addresses and end in quarantine. One attempt
    of `FETCH_S` seconds at most (less within `deadline.within`): raises TransientError if the server does not give
    the message in that time; an address that is gone leaves the message as it is.
    """
    url = address_of(message)
    if url is None:
        return message
    try:
        fetched = download(url, most_bytes=MAX_BYTES, seconds=FETCH_S)
    except PermanentError as error:
        _log.error("%s: the large message cannot be fetched, only its address is kept: %s", message.coordinates, error)
        return message
    return _unpacked(message, fetched)


def address_of(message: StreamMessage) -> str | None:
    """The address of a large message, if this message is only an address; None for any other message."""
    if dict(message.headers).get("_format") != b"external":
        return None
    try:
        url = str(json.loads(message.body)["url"])
        return url if urlsplit(url).scheme in {"http", "https"} else None
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _unpacked(message: StreamMessage, data: bytes) -> StreamMessage:
    from hop import bson

    try:
        found = bson.loads(data)
        body = found["message"]
        headers = tuple((str(name), bytes(value)) for name, value in found["metadata"]["headers"])
    except Exception as error:  # noqa: BLE001 - hop's BSON reader names no exceptions; bytes from outside must not stop us
        _log.error("%s: the large message cannot be read (%s)", message.coordinates, type(error).__name__)
        return message
    return replace(message, body=bytes(body), headers=headers, digest=None) if isinstance(body, bytes) else message
