"""A check that the app is installed, registered by whatever else a site imports."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Tags, Warning, register


@register(Tags.files)
def check_installed(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warn where storages are used without the app, whose checks are then missing."""
    if apps.is_installed("tahoestorage"):
        return []
    return [
        Warning(
            "tahoestorage is used and is not in INSTALLED_APPS: its storages were not "
            "checked, its commands are missing, and error pages may show caps.",
            hint='Add "tahoestorage" to INSTALLED_APPS.',
            id="tahoestorage.W003",
        )
    ]
