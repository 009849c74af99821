"""Decides which failures of a store are worth another attempt. No other module does.

The clients have dozens of exception classes. Most have an HTTP status; if the server never
answered, the class's name decides. No client library is imported for it.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable, Iterator

from mma_pipeline.adapters.errors import (
    AdapterError,
    CredentialsError,
    NotFoundError,
    PermanentError,
    StoreFullError,
    TransientError,
)
from mma_pipeline.adapters.redact import redact

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_REFUSED = {errno.EACCES, errno.EPERM, errno.EROFS}
_WRONG = {
    errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EXDEV, errno.ELOOP, errno.EINVAL, errno.EEXIST,
}  # fmt: skip

_NO_CONTAINER = {"NoSuchBucket", "ContainerNotFound", "ContainerBeingDeleted"}
_FULL_CODES = {"EntityTooLarge", "XMinioStorageFull", "QuotaExceeded", "XAmzQuotaExceeded", "AccountQuotaExceeded"}
_DAMAGED_CODES = {
    "BadDigest", "XAmzContentSHA256Mismatch", "Md5Mismatch", "IncompleteBody", "RequestTimeout", "InvalidBlockList",
    "InvalidBlobOrBlock", "NoSuchUpload",
}  # fmt: skip
_REFUSED_CODES = {"InvalidAccessKeyId", "SignatureDoesNotMatch", "AccessDenied", "AuthorizationHeaderMalformed"}
_TRANSIENT_STATUS = {408, 409, 412, 422, 425, 429, 498, 499}
"""409, 412, 422: another writer was faster, or the body arrived damaged (Swift answers 422 to a wrong ETag)."""

_CREDENTIAL_CLASSES = {
    "NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError", "TokenRetrievalError",
    "ClientAuthenticationError", "CredentialUnavailableError", "Unauthorized", "MissingAuthPlugin",
}  # fmt: skip
_CONNECTION_CLASSES = {
    "HTTPClientError", "ConnectionError", "IncompleteRead", "IncompleteReadError", "ResponseStreamingError",
    "ResponseParserError", "ClientPayloadError", "ClientConnectionError", "ServerDisconnectedError", "FSTimeoutError",
    "ServiceRequestError", "ServiceResponseError", "ConnectFailure", "ConnectTimeout", "UnknownConnectionError",
    "ConnectionClosedError", "ProtocolError", "HTTPException", "RetriableConnectionFailure", "ReadTimeoutError",
}  # fmt: skip


def as_adapter_error(exc: BaseException, action: str, place: str, secrets: Iterable[str] = ()) -> AdapterError:
    """Translate what a backend raised; returned, so that ``raise … from`` stays at the call.

    Args:
        exc: what the library or the operating system raised.
        action: what was tried, e.g. ``"put"``.
        place: the object's URL without credentials.
        secrets: values to take out of the message, besides those of the process environment.
    """
    if isinstance(exc, AdapterError):
        return exc
    said = redact(redact(f"{type(exc).__name__}: {exc}"), secrets)
    said = " ".join(said.split())[:400]
    what = f"{action} {place}"
    status, code = _answer(exc)
    if status is not None:
        return _by_status(status, code, what, said)
    return _by_class(exc, what, said)


def _by_status(status: int, code: str, what: str, said: str) -> AdapterError:
    """Judge what a server answered."""
    if code in _NO_CONTAINER:
        return PermanentError(f"{what}: the bucket or container does not exist; create it ({said})")
    if status == 507 or status == 413 or code in _FULL_CODES:
        return StoreFullError(f"{what}: no space left, or over the quota; free some and run again ({said})")
    if code in _DAMAGED_CODES:
        return TransientError(f"{what}: the transfer was interrupted ({said})")
    if status in (401, 403) or code in _REFUSED_CODES:
        return CredentialsError(f"{what}: refused; check the store's credentials and permissions ({said})")
    if status == 404:
        return NotFoundError(f"{what}: there is no such object or container")
    if status >= 500 or status in _TRANSIENT_STATUS:
        return TransientError(f"{what}: the store failed with HTTP {status} ({said})")
    return PermanentError(f"{what}: refused with HTTP {status} ({said})")


def _by_class(exc: BaseException, what: str, said: str) -> AdapterError:
    """Judge a failure without an answer: the operating system's, or a connection's."""
    names = {cls.__name__ for one in _chain(exc) for cls in type(one).__mro__}
    number = exc.errno if isinstance(exc, OSError) else None
    if names & _CREDENTIAL_CLASSES:
        return CredentialsError(f"{what}: no usable credentials; set them in the environment ({said})")
    if "SSLError" in names or "SSLCertVerificationError" in names:
        return PermanentError(f"{what}: the server's certificate was not accepted ({said})")
    if isinstance(exc, FileNotFoundError) and what.startswith("put "):
        return PermanentError(f"{what}: the folder cannot be made; name another, or make it ({said})")
    if isinstance(exc, FileNotFoundError):
        return NotFoundError(f"{what}: there is no such object or container")
    if number in _FULL:
        return StoreFullError(f"{what}: no space left in the store; free some and run again ({said})")
    if isinstance(exc, PermissionError) or number in _REFUSED:
        return CredentialsError(f"{what}: refused; check the store's credentials and permissions ({said})")
    if number in _WRONG:
        return PermanentError(f"{what}: the path cannot be used, a file may be in the way of a folder ({said})")
    if isinstance(exc, OSError | TimeoutError | EOFError) or names & _CONNECTION_CLASSES:
        return TransientError(f"{what}: the connection to the store failed ({said})")
    return PermanentError(f"{what}: {said}")


def _chain(exc: BaseException) -> Iterator[BaseException]:
    """Yield an exception and its explicit causes, at most five."""
    one: BaseException | None = exc
    for _ in range(5):
        if one is None:
            return
        yield one
        one = one.__cause__


def _answer(exc: BaseException) -> tuple[int | None, str]:
    """HTTP status and the service's own error code, from whichever client raised it."""
    for one in _chain(exc):
        response = getattr(one, "response", None)
        if isinstance(response, dict):  # botocore
            status = response.get("ResponseMetadata", {}).get("HTTPStatusCode")
            code = str(response.get("Error", {}).get("Code", ""))
            if status is not None or code:
                return (status or 400), code
        for name in ("http_status", "status_code"):  # swiftclient, keystoneauth; azure
            status = getattr(one, name, None)
            if isinstance(status, int) and status:
                return status, str(getattr(one, "error_code", None) or "")
    return None, ""
