"""URLs of the TOM: the toolkit's, and OpenID Connect where it is configured."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.urls import include, path

from .home import HomeView
from .tables import AlertTargetListView

_base = f"{settings.BASE_PATH}/" if settings.BASE_PATH else ""
urlpatterns = [
    path(_base, HomeView.as_view()),  # before the toolkit's, as the next; their names stay the toolkit's
    path(f"{_base}targets/", AlertTargetListView.as_view()),
    path(_base, include("tom_common.urls")),
]
if settings.OIDC_ENABLED:
    urlpatterns.insert(0, path(f"{_base}oidc/", include("mozilla_django_oidc.urls")))


def login_choices(request: Any) -> dict[str, bool]:
    """Context processor: whether the login button leads to the provider."""
    return {"oidc_enabled": settings.OIDC_ENABLED}
