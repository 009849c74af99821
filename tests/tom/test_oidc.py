"""Login through real OpenID Connect providers (oidc-provider in node, and Keycloak) with a real browser."""

from __future__ import annotations

from collections.abc import Iterator

import jwt
import pytest
from django.contrib.auth.models import User
from django.core.exceptions import SuspiciousOperation

from mma_pipeline.tom.models import OidcAccount
from mma_pipeline.tom.oidc import OidcBackend, is_staff
from tests.services.fixtures import needs
from tests.services.keycloak import Keycloak

from .providers import STAFF, KeycloakProvider, NodeProvider, Provider

ACCOUNTS = {
    "u1": {
        "email": "vera@example.org",
        "given_name": "Vera",
        "family_name": "Rubin",
        "preferred_username": "vrubin",
        "groups": [],
    },
    "u2": {"email": "staff@example.org", "preferred_username": "keeper", "groups": ["others", STAFF]},
    "u3": {"email": "boss@example.org", "preferred_username": "impostor", "groups": []},
    "u4": {"email": "any@example.org", "preferred_username": "boss", "groups": [STAFF]},
}
# the first test may have to fetch Keycloak, which then needs a while to start
pytestmark = pytest.mark.timeout(1800)


@pytest.fixture(scope="session")
def keycloak() -> Iterator[Keycloak]:
    """A running Keycloak."""
    with needs("Keycloak"), Keycloak.running() as server:
        yield server


@pytest.fixture(params=["oidc-provider", "keycloak"])
def provider(request, live_server, settings, tmp_path) -> Iterator[Provider]:
    """The provider, configured for this TOM, and the TOM for it."""
    redirect = f"{live_server.url}/oidc/callback/"
    if request.param == "keycloak":
        running = KeycloakProvider.running(request.getfixturevalue("keycloak"), redirect, ACCOUNTS)
    else:
        running = NodeProvider.running(redirect, ACCOUNTS, tmp_path)
    with running as one:
        for name, address in one.endpoints.items():
            setattr(settings, f"OIDC_OP_{name}_ENDPOINT", address)
        settings.OIDC_STAFF_CLAIM = one.staff_claim
        yield one


def log_in(page, live_server, provider: Provider, account: str) -> None:
    """From the TOM's login page through the provider and back."""
    page.context.clear_cookies()
    page.goto(f"{live_server.url}/targets/")
    page.click("#oidc-login")
    provider.sign_in(page, account)
    page.wait_for_url(f"{live_server.url}/**")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_a_user_is_made_from_claims(live_server, provider, page) -> None:
    """The first login makes a user with the provider's names, who is no staff; the second finds the same one."""
    log_in(page, live_server, provider, "u1")
    assert "Vera Rubin (vrubin)" in page.inner_text("nav")
    user = User.objects.get(username="vrubin")
    assert (user.first_name, user.last_name, user.email) == ("Vera", "Rubin", "vera@example.org")
    assert not user.is_staff
    assert not user.is_superuser
    assert not user.has_usable_password()
    renamed = ACCOUNTS["u1"] | {"given_name": "V.", "email": "rubin@example.org", "preferred_username": "other"}
    provider.write(ACCOUNTS | {"u1": renamed})
    log_in(page, live_server, provider, "u1")
    again = User.objects.get(mma_oidc__subject=provider.subject("u1"))
    assert again.pk == user.pk
    assert (again.username, again.first_name, again.email) == ("vrubin", "V.", "rubin@example.org")


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_staff_comes_and_goes_with_the_claim(live_server, provider, page) -> None:
    """Who carries the claim is staff and enters the admin pages; without it at the next login, no longer."""
    log_in(page, live_server, provider, "u2")
    assert User.objects.get(username="keeper").is_staff
    page.goto(f"{live_server.url}/admin/")
    assert "Site administration" in page.content()
    provider.write(ACCOUNTS | {"u2": ACCOUNTS["u2"] | {"groups": ["others"]}})
    log_in(page, live_server, provider, "u2")
    assert not User.objects.get(username="keeper").is_staff


@pytest.mark.browser
@pytest.mark.django_db(transaction=True)
def test_nobody_enters_as_somebody_else(live_server, provider, page) -> None:
    """Neither the address nor the name of an account of the TOM opens it to a user of the provider."""
    boss = User.objects.create_superuser("boss", "boss@example.org", "own password")
    log_in(page, live_server, provider, "u3")
    assert "impostor" in page.inner_text("nav")
    assert User.objects.get(username="impostor").pk != boss.pk
    log_in(page, live_server, provider, "u4")
    assert "boss" not in page.inner_text("nav")
    assert not OidcAccount.objects.filter(user=boss).exists()


@pytest.mark.parametrize(
    ("claims", "claim", "expected"),
    [
        ({"groups": ["a", "tom-staff"]}, "groups", True),
        ({"groups": "tom-staff"}, "groups", True),
        ({"groups": ["tom-staff-not"]}, "groups", False),
        ({"groups": "tom-staff,tom"}, "groups", False),
        ({"groups": {"tom-staff": True}}, "groups", False),
        ({"groups": True}, "groups", False),
        ({}, "groups", False),
        ({"groups": ["tom-staff"]}, "", False),
        ({"realm_access": {"roles": ["tom-staff"]}}, "realm_access.roles", True),
        ({"realm_access": ["tom-staff"]}, "realm_access.roles", False),
        ({"https://example.org/groups": ["tom-staff"]}, "https://example.org/groups", True),
    ],
)
def test_who_is_staff(claims: dict, claim: str, expected: bool) -> None:
    """Only the configured claim with the configured value makes staff, as text or in a list, also inside objects."""
    assert is_staff(claims, claim, ["tom-staff"]) is expected


def test_a_token_for_another_client_is_refused(settings) -> None:
    """A valid signature is not enough: the token must be made for this client."""
    settings.OIDC_RP_SIGN_ALGO = "HS256"
    secret = settings.OIDC_RP_CLIENT_SECRET
    backend = OidcBackend()
    ours = jwt.encode({"sub": "u1", "aud": "mma-tom", "nonce": "n"}, secret, "HS256")
    theirs = jwt.encode({"sub": "u1", "aud": ["another"], "nonce": "n"}, secret, "HS256")
    assert backend.verify_token(ours, nonce="n")["sub"] == "u1"
    with pytest.raises(SuspiciousOperation, match="another client"):
        backend.verify_token(theirs, nonce="n")
