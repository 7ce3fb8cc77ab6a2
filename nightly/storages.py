"""The default storage, for settings that want the path of a class."""

from __future__ import annotations

from typing import Any

from django.core.files.storage import default_storage


class Default:
    """Whatever STORAGES has as the default by now, for each test another."""

    def __getattr__(self, name: str) -> Any:
        return getattr(default_storage, name)
