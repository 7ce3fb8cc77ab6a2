"""The application's settings for tests within this process: SQLite, files in memory."""

import os
from typing import Any
from unittest import mock

with mock.patch.dict(os.environ, {"DEBUG": "1", "STORAGE_URL": "memory://"}):
    from config.settings import *  # noqa: F403
    from config.settings import DATABASES, REST_FRAMEWORK

DEBUG = False
ALLOWED_HOSTS = ["testserver"]
# The tests' database is a copy of this one of PostgreSQL's, which has the tables.
if template := os.environ.get("DATABASE_TEMPLATE"):
    DATABASES["default"]["TEST"] = {"TEMPLATE": template}
# Hashes that take no time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
# Tests of throttles set rates of their own.
DEFAULT_RATES: Any = REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]
REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"] = dict.fromkeys(
    ("user", "tenant", "anonymous")
)
# Each client of a test makes the middleware anew, which would list all static files.
WHITENOISE_AUTOREFRESH = True
