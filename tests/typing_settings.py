"""The example's settings, for mypy alone: every application is in them."""

import os

os.environ.setdefault("DEBUG", "1")

from config.settings import *  # noqa: F403
