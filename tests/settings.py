"""The smallest site there is: no root cap is set, tests bring their own."""

from importlib.util import find_spec

SECRET_KEY = "of-the-tests"
INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
]
if find_spec("tahoestorage.storage"):
    INSTALLED_APPS.append("tahoestorage")
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"},
}
USE_TZ = True
