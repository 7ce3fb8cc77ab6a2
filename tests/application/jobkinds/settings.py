"""The application's settings with the kinds of the tests, for real workers."""

import os
from datetime import timedelta

from config.settings import *  # noqa: F403
from config.settings import (
    CELERY_BEAT_SCHEDULE,
    CELERY_BROKER_TRANSPORT_OPTIONS,
    LOGGING,
)
from config.settings import INSTALLED_APPS as APPLICATIONS

INSTALLED_APPS = [*APPLICATIONS, "tests.application.jobkinds"]
LOGGING["formatters"]["timed"] = {"format": "{asctime} {name} {message}", "style": "{"}
LOGGING["handlers"]["console"]["formatter"] = "timed"
# Tests have shorter leases and sweeps than sites: see `tasks`.
LEASE = timedelta(seconds=float(os.environ.get("TEST_LEASE", "0")))
if LEASE:
    CELERY_BROKER_TRANSPORT_OPTIONS["visibility_timeout"] = LEASE.seconds
    CELERY_BEAT_SCHEDULE["sweep"] |= {"schedule": LEASE.total_seconds()}
