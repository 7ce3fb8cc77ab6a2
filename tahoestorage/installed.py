"""The check that ``tahoestorage`` is in INSTALLED_APPS, for sites where it is not.

Whatever a site imports of the package registers it.
"""

from __future__ import annotations

import functools
import logging
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Tags, Warning, register

logger = logging.getLogger("tahoestorage")
_MISSING = "tahoestorage is used and is not in INSTALLED_APPS"


@functools.cache
def warn_unless_installed() -> None:
    """Log a warning, once a process, where a storage is used without the app.

    For sites that import the package only after Django's checks have run. A program
    without any app is no site, and is not warned.
    """
    if not apps.apps_ready or not apps.app_configs:
        return
    if not apps.is_installed("tahoestorage"):
        logger.warning(
            "%s: its storages are not checked, its commands are missing, and error "
            "pages may show caps. Add it there.",
            _MISSING,
        )


@register(Tags.files)
def check_installed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn where storages are used without the app, whose checks are then missing."""
    if apps.is_installed("tahoestorage"):
        return []
    return [
        Warning(
            f"{_MISSING}: its storages were not checked, its commands are missing, and "
            "error pages may show caps.",
            hint='Add "tahoestorage" to INSTALLED_APPS.',
            id="tahoestorage.W003",
        )
    ]
