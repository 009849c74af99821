"""Which failures of a store are worth another try: decided here and nowhere else."""

from __future__ import annotations

import asyncio
import errno

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
_WRONG = {errno.EISDIR, errno.ENOTDIR, errno.ENAMETOOLONG, errno.EXDEV, errno.ELOOP, errno.EINVAL, errno.EEXIST}


def as_adapter_error(exc: BaseException, action: str, place: str) -> AdapterError:
    """Translate what a backend raised; returned, so that ``raise … from`` stays at the call.

    Args:
        exc: what the library or the operating system raised.
        action: what was tried, e.g. ``"put"``.
        place: the object's URL without credentials.
    """
    if isinstance(exc, AdapterError):
        return exc
    said = redact(f"{type(exc).__name__}: {exc}")[:500]
    what = f"{action} {place}"
    if isinstance(exc, FileNotFoundError):
        return NotFoundError(f"{what}: there is no such object")
    if isinstance(exc, OSError) and exc.errno in _FULL:
        return StoreFullError(f"{what}: no space left in the store; free some and run again ({said})")
    if isinstance(exc, PermissionError) or (isinstance(exc, OSError) and exc.errno in _REFUSED):
        return CredentialsError(f"{what}: refused; check the store's credentials and rights ({said})")
    if isinstance(exc, OSError) and exc.errno in _WRONG:
        return PermanentError(f"{what}: the path cannot be used; a file is in the way of a folder ({said})")
    if isinstance(exc, OSError | TimeoutError | asyncio.TimeoutError | EOFError):
        return TransientError(f"{what}: the store did not answer as it should; tried again later ({said})")
    return PermanentError(f"{what}: {said}")
