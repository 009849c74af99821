"""Settings of the TOM, from the environment. docs/tom.md has the table; names follow the predecessor's deployment.

An existing TOM can use the app instead: take INSTALLED_APPS, MMA_TOM, EXTRA_FIELDS and ALERT_STREAMS from here.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from tom_common.default_settings import *
from tom_common.default_settings import (
    TOMTOOLKIT_AUTHENTICATION_BACKENDS,
    TOMTOOLKIT_INSTALLED_APPS,
    TOMTOOLKIT_MIDDLEWARE,
)

from mma_pipeline.adapters.earth_orientation import use_packaged_tables
from mma_pipeline.tom.extra_fields import EXTRA_FIELDS as EXTRA_FIELDS

from .environment import kafka_bootstrap, kafka_client, kafka_topics, listed, number, truth

# Before astroplan is imported, which reads the tables. A page must not wait for a download of newer ones.
use_packaged_tables()

DEBUG = truth("DJANGO_DEBUG")
SECRET_KEY = os.environ.get("DJANGO_SECRET_KEY", "")
if not SECRET_KEY:
    raise ImproperlyConfigured("Set DJANGO_SECRET_KEY to a long random text; `make tom` makes one in .tom/")
ALLOWED_HOSTS = listed("DJANGO_HOSTNAME") or ["localhost", "127.0.0.1"]
CSRF_TRUSTED_ORIGINS = [f"https://{host}" for host in listed("DJANGO_HOSTNAME")]
#: Behind a proxy that ends TLS; `make tom` on a laptop has none.
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = bool(CSRF_TRUSTED_ORIGINS)
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if CSRF_TRUSTED_ORIGINS else None

BASE_PATH = os.environ.get("URL_BASE_PATH", "").strip("/")
_PREFIX = f"/{BASE_PATH}/" if BASE_PATH else "/"
DATA_DIR = Path(os.environ.get("TOM_DATA_DIR", Path.cwd() / ".tom"))

TOM_NAME = os.environ.get("TOM_NAME", "Multi-messenger TOM")
SITE_ID = 1
ROOT_URLCONF = "mma_pipeline.tom.project.urls"
WSGI_APPLICATION = "mma_pipeline.tom.project.wsgi.application"
_CHOSEN = {"tom_dataservices": "mma_pipeline.tom.project.apps.ChosenDataServices"}
INSTALLED_APPS = [
    *(_CHOSEN.get(app, app) for app in TOMTOOLKIT_INSTALLED_APPS),
    "tom_alertstreams",
    "mozilla_django_oidc",
    "mma_pipeline.tom",
]
# WhiteNoise serves the toolkit's scripts and styles from any WSGI server, right behind Django's own security.
MIDDLEWARE = [TOMTOOLKIT_MIDDLEWARE[0], "whitenoise.middleware.WhiteNoiseMiddleware", *TOMTOOLKIT_MIDDLEWARE[1:]]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [Path(__file__).parent / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "libraries": {
                "targets_extras": "mma_pipeline.tom.project.target_tags",
                "observation_extras": "mma_pipeline.tom.project.observation_tags",
            },
            "context_processors": [
                "django.template.context_processors.debug",
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "mma_pipeline.tom.project.urls.login_choices",
            ],
        },
    },
]
# "targets_extras is used for multiple modules": on purpose, see target_tags and observation_tags.
SILENCED_SYSTEM_CHECKS = ["templates.W003"]
CRISPY_TEMPLATE_PACK = "bootstrap5"
FORM_RENDERER = "django.forms.renderers.DjangoTemplates"

_ENGINE = os.environ.get("DB_ENGINE", "django.db.backends.sqlite3")
if _ENGINE.endswith("sqlite3"):
    DATABASES = {
        "default": {
            "ENGINE": _ENGINE,
            "NAME": os.environ.get("DB_NAME", str(DATA_DIR / "tom.sqlite3")),
            # The listener and the web pages write at the same time: take the lock at the beginning, and wait for it.
            "OPTIONS": {
                "timeout": 30,
                "transaction_mode": "IMMEDIATE",
                "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
            },
        }
    }
else:
    DATABASES = {
        "default": {
            "ENGINE": _ENGINE,
            "NAME": os.environ.get("DB_NAME", "tom"),
            "USER": os.environ.get("DB_USER", "tom"),
            "PASSWORD": os.environ.get("DB_PASS", ""),
            "HOST": os.environ.get("DB_HOST", "127.0.0.1"),
            "PORT": os.environ.get("DB_PORT", "5432"),
        }
    }
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
AUTHENTICATION_BACKENDS = list(TOMTOOLKIT_AUTHENTICATION_BACKENDS)
LOGIN_URL = f"{_PREFIX}{os.environ.get('OIDC_LOGIN_URL_PATH', 'accounts/login').strip('/')}/"
LOGIN_REDIRECT_URL = os.environ.get("OIDC_REDIRECT_URL", _PREFIX)
LOGOUT_REDIRECT_URL = os.environ.get("OIDC_REDIRECT_URL_POST_LOGOUT", _PREFIX)

OIDC_RP_CLIENT_ID = os.environ.get("OIDC_CLIENT_ID", "")
OIDC_ENABLED = bool(OIDC_RP_CLIENT_ID)
OIDC_RP_CLIENT_SECRET = os.environ.get("OIDC_CLIENT_SECRET", "")
OIDC_RP_SCOPES = os.environ.get("OIDC_SCOPES") or "openid profile email"
OIDC_RP_SIGN_ALGO = os.environ.get("OIDC_RP_SIGN_ALGO", "RS256")
OIDC_OP_AUTHORIZATION_ENDPOINT = os.environ.get("OIDC_OP_AUTHORIZATION_ENDPOINT", "")
OIDC_OP_TOKEN_ENDPOINT = os.environ.get("OIDC_OP_TOKEN_ENDPOINT", "")
OIDC_OP_USER_ENDPOINT = os.environ.get("OIDC_OP_USER_ENDPOINT", "")
OIDC_OP_JWKS_ENDPOINT = os.environ.get("OIDC_OP_JWKS_ENDPOINT", "")
OIDC_USE_PKCE = True
OIDC_TIMEOUT = 15
OIDC_STAFF_CLAIM = os.environ.get("OIDC_STAFF_CLAIM", "")
OIDC_STAFF_VALUES = listed("OIDC_STAFF_VALUES")
if OIDC_ENABLED:
    AUTHENTICATION_BACKENDS.insert(0, "mma_pipeline.tom.oidc.OidcBackend")
    for _name in ("AUTHORIZATION", "TOKEN", "USER", "JWKS"):
        if not os.environ.get(f"OIDC_OP_{_name}_ENDPOINT"):
            raise ImproperlyConfigured(f"OIDC_CLIENT_ID is set: set OIDC_OP_{_name}_ENDPOINT too")

# Alerts may be proprietary, so nothing is shown before login; READ_ONLY opens the pages to everybody.
AUTH_STRATEGY = os.environ.get("TOM_AUTH_STRATEGY", "LOCKED")
# The pointings have a token of their own, which a session does not replace.
OPEN_URLS = [_PREFIX, f"{_PREFIX}oidc/*", f"{_PREFIX}static/*", f"{_PREFIX}api/mma/pointings/"]
TARGET_PERMISSIONS_ONLY = True
# Targets that the stream makes belong to nobody; PUBLIC shows them to every user who logged in.
TARGET_DEFAULT_PERMISSION = os.environ.get("TOM_TARGET_PERMISSION", "PUBLIC")

LANGUAGE_CODE = "en-us"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True
FORMAT_MODULE_PATH = ["tom_base.formats"]
STATIC_URL = f"{_PREFIX}static/"
WHITENOISE_USE_FINDERS = True
# From this server, not from a CDN: the pages work without the internet.
BOOTSTRAP5 = {
    "css_url": {"url": f"{STATIC_URL}mma_tom/vendor/bootstrap.min.css"},
    "javascript_url": {"url": f"{STATIC_URL}mma_tom/vendor/bootstrap.bundle.min.js"},
}
WHITENOISE_AUTOREFRESH = DEBUG
MEDIA_ROOT = DATA_DIR / "media"
MEDIA_URL = f"{_PREFIX}data/"
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"},
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "loggers": {"": {"handlers": ["console"], "level": os.environ.get("LOG_LEVEL", "INFO")}},
}
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.filebased.FileBasedCache",
        "LOCATION": os.environ.get("TOM_CACHE_DIR", str(Path(tempfile.gettempdir()) / f"mma-tom-cache-{os.getuid()}")),
    }
}
TASKS = {"default": {"BACKEND": "django_tasks.backends.immediate.ImmediateBackend"}}

TARGET_TYPE = "SIDEREAL"
MATCH_MANAGERS: dict[str, str] = {}
FACILITIES = {
    "LCO": {
        "portal_url": os.environ.get("LCO_PORTAL_URL", "https://observe.lco.global"),
        "archive_url": os.environ.get("LCO_ARCHIVE_URL", "https://archive-api.lco.global/"),
        "api_key": os.environ.get("LCO_API_KEY", ""),
        "max_instrument_configs": 3,
        "max_configurations": 2,
    },
}
TOM_FACILITY_CLASSES = ["tom_observations.facilities.lco.LCOFacility"]
TOM_DATA_SERVICES = listed("TOM_DATA_SERVICES") or ["simbad", "ned", "tns", "mpc"]
DATA_SERVICES: dict[str, dict[str, str]] = {}
DATA_PRODUCT_TYPES = {
    "photometry": ("photometry", "Photometry"),
    "fits_file": ("fits_file", "FITS File"),
    "spectroscopy": ("spectroscopy", "Spectroscopy"),
    "image_file": ("image_file", "Image File"),
}
DATA_PROCESSORS = {
    "photometry": "tom_dataproducts.processors.photometry_processor.PhotometryProcessor",
    "spectroscopy": "tom_dataproducts.processors.spectroscopy_processor.SpectroscopyProcessor",
}
SELECTION_EXTRA_FIELDS: list[str] = []
GENERAL_SEARCH_FUNCTIONS: dict[str, str] = {}
HOOKS = {
    "target_post_save": "tom_common.hooks.target_post_save",
    "observation_change_state": "tom_common.hooks.observation_change_state",
    "data_product_post_upload": "tom_dataproducts.hooks.data_product_post_upload",
    "data_product_post_save": "tom_dataproducts.hooks.data_product_post_save",
    "multiple_data_products_post_save": "tom_dataproducts.hooks.multiple_data_products_post_save",
}
AUTO_THUMBNAILS = False
THUMBNAIL_MAX_SIZE = (0, 0)
THUMBNAIL_DEFAULT_SIZE = (200, 200)
HINTS_ENABLED = False
HINT_LEVEL = 20
PLOTLY_THEME = "plotly_white"
SHOW_PAGINATION_INFO = True
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tom_common.accounts.api_auth.TomTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": [],
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "DEFAULT_PAGINATION_CLASS": "rest_framework.pagination.LimitOffsetPagination",
    "PAGE_SIZE": 100,
}

MMA_TOM = {
    "facility_timeout_s": number("TOM_FACILITY_TIMEOUT", 30.0),
    "pointings_token": os.environ.get("TOM_POINTINGS_TOKEN", ""),
    "target_rule": {
        "enabled": truth("TOM_AUTO_TARGETS", default=True),
        "min_kilonova_probability": number("TOM_MIN_KILONOVA_PROBABILITY", 0.0),
        "only_significant": truth("TOM_ONLY_SIGNIFICANT"),
        "test_events": truth("TOM_TEST_EVENTS"),
    },
}
ALERT_STREAMS = [
    {
        "ACTIVE": bool(kafka_bootstrap()),
        "NAME": "mma_pipeline.tom.stream.KafkaAlertStream",
        "OPTIONS": {
            "NAME": "derived-alerts",
            "TOPICS": kafka_topics(),
            "CLIENT": kafka_client(),
            "FROM_BEGINNING": truth("TOM_KAFKA_FROM_BEGINNING"),
        },
    }
]
