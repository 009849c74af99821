"""Settings of the tests: those of the project, with a database of the tests and a provider to log in with."""

import os
import tempfile

_DATA = tempfile.mkdtemp(prefix="mma-tom-tests-")
os.environ |= {
    "DJANGO_SECRET_KEY": "only for tests",
    "LOG_LEVEL": "WARNING",
    "TOM_DATA_DIR": _DATA,
    "TOM_CACHE_DIR": f"{_DATA}/cache",
    "TOM_AUTO_TARGETS": "false",
    "TOM_TEST_EVENTS": "true",
    "OIDC_CLIENT_ID": "mma-tom",
    "OIDC_CLIENT_SECRET": "a secret of the tests, long enough",
    "OIDC_STAFF_CLAIM": "groups",
    "OIDC_STAFF_VALUES": "tom-staff",
    # The provider's port is known only once it runs: its fixture puts the addresses in place.
    **{f"OIDC_OP_{name}_ENDPOINT": "http://127.0.0.1:9/" for name in ("AUTHORIZATION", "TOKEN", "USER", "JWKS")},
}

from mma_pipeline.tom.project.settings import *  # noqa: E402, F403
from mma_pipeline.tom.project.settings import DATABASES, INSTALLED_APPS  # noqa: E402

# The picture for the docs is of the project as it is, without the brokers of older TOMs.
if not os.environ.get("TOM_PICTURE"):
    INSTALLED_APPS = [*INSTALLED_APPS, "tom_alerts"]
TOM_ALERT_CLASSES = ["mma_pipeline.tom.broker.MmaBroker"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# A file, because the listener's thread and the web server's threads open it too.
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["TEST"] = {"NAME": f"{_DATA}/test.sqlite3"}
if not os.environ.get("TOM_PICTURE"):
    ROOT_URLCONF = "tests.tom.urls"
