"""Every error that an adapter raises on purpose, and whether trying again later can help.

    AdapterError                     an external system did not do what was asked
    ├── PermanentError               the same request will fail again: a person or the code must change something
    │   ├── NotFoundError            the thing asked for is not there
    │   ├── CredentialsError         refused: credentials are missing, wrong, expired or lack a right
    │   ├── ConfigurationError       a setting is missing or contradicts another
    │   │   └── AddressError         an address that no store can have
    │   ├── InvalidKeyError          a name that no store may be given (also a ValueError)
    │   └── DigestError              bytes are there, but they are not the bytes that were written
    └── TransientError               outage, timeout, throttling: the same request may succeed later
        ├── StoreFullError           no space left; retried by the next run, not within this one
        ├── OutOfTimeError           the time that a piece of work may take is used up (see `deadline`)
        ├── UncertainError           sent, but no usable answer: the receiver may or may not have stored it
        ├── WaitingError             not its turn yet: something else must be published first
        └── MissingTopicError        the broker has no such topic (yet)

No message holds a secret: what a server or library says passes through `mma_pipeline.adapters.redact` first.
"""

from __future__ import annotations


class AdapterError(Exception):
    """Base of all errors raised by adapters; the message says what to do about it."""


class PermanentError(AdapterError):
    """Trying the same again cannot help."""


class NotFoundError(PermanentError):
    """The requested object does not exist."""


class CredentialsError(PermanentError):
    """The remote side refused our credentials or their permissions."""


class ConfigurationError(PermanentError):
    """A setting is missing, malformed or contradicts another."""


class AddressError(ConfigurationError):
    """An address that no store can have, whatever else is set."""


class InvalidKeyError(PermanentError, ValueError):
    """A key that could leave its prefix, or that some backend cannot store."""


class DigestError(PermanentError):
    """The bytes read differ from the digest recorded when they were written."""


class TransientError(AdapterError):
    """The same request may succeed later."""


class StoreFullError(TransientError):
    """The store has no space left for the object."""


class OutOfTimeError(TransientError):
    """The common time limit of a piece of work's requests is used up."""


class MissingTopicError(TransientError):
    """The broker does not know the topic; it may be created later."""


class UncertainError(TransientError):
    """The request was sent and no usable answer came back: query before sending again.

    `settled`: the receiver itself has answered, so it has finished; otherwise it may still be working.
    """

    def __init__(self, text: str, *, settled: bool = False) -> None:
        super().__init__(text)
        self.settled = settled


class WaitingError(TransientError):
    """Something else must be published first; waiting is not a failed attempt."""
