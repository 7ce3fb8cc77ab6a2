"""The application's settings for tests within this process: SQLite, files in memory."""

import os
from unittest import mock

with mock.patch.dict(os.environ, {"DEBUG": "1", "STORAGE_URL": "memory://"}):
    from config.settings import *  # noqa: F403

DEBUG = False
ALLOWED_HOSTS = ["testserver"]
# Hashes that take no time.
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
