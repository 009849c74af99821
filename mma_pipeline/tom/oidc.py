"""Accounts for users of an OpenID Connect provider, and their staff status.

An account belongs to the provider's subject (`sub`), which never changes and is never given to another person, unlike names
and e-mail addresses. Staff are only those with the configured claim, which is checked at every login.
Source: OpenID Connect Core 1.0, sections 2 and 5.7.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import SuspiciousOperation
from mozilla_django_oidc.auth import OIDCAuthenticationBackend

from .models import OidcAccount

_log = logging.getLogger(__name__)

_NAME_LENGTH = 150


class OidcBackend(OIDCAuthenticationBackend):
    """Logs in users of the provider configured by `OIDC_*`."""

    def verify_token(self, token: str, **kwargs: Any) -> dict[str, Any]:
        """The claims of an id token for this client; raises SuspiciousOperation for another client's token.

        The library checks signature and nonce, not the audience (OpenID Connect Core 3.1.3.7, step 3).
        """
        payload: dict[str, Any] = super().verify_token(token, **kwargs)
        audience = payload.get("aud")
        if self.OIDC_RP_CLIENT_ID not in (audience if isinstance(audience, list) else [audience]):
            raise SuspiciousOperation("the id token was made for another client")
        return payload

    def get_userinfo(self, access_token: str, id_token: str, payload: Mapping[str, Any]) -> dict[str, Any]:
        """The user's claims; raises SuspiciousOperation if they belong to another subject (Core 5.3.2)."""
        claims: dict[str, Any] = super().get_userinfo(access_token, id_token, payload)
        if claims.get("sub") != payload.get("sub"):
            raise SuspiciousOperation("the provider answers with the claims of another subject")
        return claims

    def verify_claims(self, claims: Mapping[str, Any]) -> bool:
        """A login needs a subject; e-mail and names are welcome but not needed."""
        return bool(claims.get("sub"))

    def filter_users_by_claims(self, claims: Mapping[str, Any]) -> Any:
        """The user of this subject.

        Never by e-mail alone, as in the predecessor: otherwise whoever can choose an address at some provider could log in
        as somebody else.
        """
        return User.objects.filter(mma_oidc__subject=str(claims["sub"]))

    def create_user(self, claims: Mapping[str, Any]) -> User:
        """A user named by `preferred_username`, e-mail or subject; raises SuspiciousOperation if the name is taken."""
        subject = str(claims["sub"])
        wanted = str(claims.get("preferred_username") or claims.get("email") or subject)[:_NAME_LENGTH]
        if User.objects.filter(username=wanted).exists():
            raise SuspiciousOperation(
                f"the provider's user {wanted!r} has the name of an account that is not theirs: "
                "rename one of them, or tie them in the admin pages (OIDC accounts)"
            )
        user = User.objects.create_user(wanted)
        OidcAccount.objects.create(user=user, subject=subject)
        _log.info("first login of %s", wanted)
        return self.update_user(user, claims)

    def update_user(self, user: User, claims: Mapping[str, Any]) -> User:
        """Update names, address and staff status from the provider."""
        user.first_name = str(claims.get("given_name") or "")[:_NAME_LENGTH]
        user.last_name = str(claims.get("family_name") or "")[:_NAME_LENGTH]
        user.email = str(claims.get("email") or "")
        user.is_staff = is_staff(claims, settings.OIDC_STAFF_CLAIM, settings.OIDC_STAFF_VALUES)
        user.save()
        return user


def is_staff(claims: Mapping[str, Any], claim: str, values: Iterable[str]) -> bool:
    """Whether the claim, a text or a list, contains one of the values; `realm_access.roles` means a nested object.

    Without a configured claim nobody is staff.
    """
    if not claim:
        return False
    found: Any = claims.get(claim)
    if found is None:
        found = claims
        for part in claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
    held = {found} if isinstance(found, str) else set(map(str, found)) if isinstance(found, list) else set()
    return not held.isdisjoint(values)
