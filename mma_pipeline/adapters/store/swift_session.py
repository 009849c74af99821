"""Login to OpenStack Keystone v3 by the ``OS_*`` names, with a password or an application credential."""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Mapping
from typing import Any

from mma_pipeline.adapters.errors import ConfigurationError

_CREDENTIAL_ID = re.compile(r"[0-9a-f]{32}")
"""The listeners give an application credential's id as OS_USERNAME: 32 hex digits, which no user is called."""


def keystone_session(environ: Mapping[str, str], timeout_s: float) -> Any:
    """Build a session; makes no request.

    Args:
        environ: OS_AUTH_URL with OS_APPLICATION_CREDENTIAL_ID and OS_APPLICATION_CREDENTIAL_SECRET, or with
            OS_USERNAME and OS_PASSWORD (an application credential's id and secret, or a user's name and password; a
            user also needs OS_PROJECT_NAME, and OS_USER_DOMAIN_NAME and OS_PROJECT_DOMAIN_NAME unless ``Default``).
            OS_CACERT names a file with the certificate authority.
        timeout_s: for each request, seconds.

    Returns:
        A ``keystoneauth1.session.Session``.

    Raises:
        ConfigurationError: a name without which no login is possible is missing.
    """
    auth_url = _needed(environ, "OS_AUTH_URL").rstrip("/")
    if not auth_url.endswith("/v3"):
        auth_url += "/v3"
    application = environ.get("OS_APPLICATION_CREDENTIAL_ID")
    if application:
        secret = _needed(environ, "OS_APPLICATION_CREDENTIAL_SECRET")
    else:
        username, secret = _needed(environ, "OS_USERNAME"), _needed(environ, "OS_PASSWORD")
        application = username if _CREDENTIAL_ID.fullmatch(username) else None
    if application:
        login = {"application_credential_id": application, "application_credential_secret": secret}
    else:
        login = {
            "username": username,
            "password": secret,
            "project_name": _needed(environ, "OS_PROJECT_NAME"),
            "user_domain_name": environ.get("OS_USER_DOMAIN_NAME") or "Default",
            "project_domain_name": environ.get("OS_PROJECT_DOMAIN_NAME") or "Default",
        }
    # connections are not shared with a process that was forked off
    return _session(os.getpid(), timeout_s, environ.get("OS_CACERT") or None, auth_url, **login)


@functools.lru_cache(maxsize=16)
def _session(_process: int, timeout_s: float, cacert: str | None, auth_url: str, **login: str) -> Any:
    """One session per login and process: a token serves every store that is opened with it."""
    from keystoneauth1 import session
    from keystoneauth1.identity import v3

    kind: Any = v3.ApplicationCredential if "application_credential_id" in login else v3.Password
    return session.Session(auth=kind(auth_url, **login), timeout=timeout_s, verify=cacert or True)


def _needed(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise ConfigurationError(f"OpenStack Swift: set {name}")
    return value
