"""Widgets for files that may have no public URL.

Django's own widgets ask each file for its URL; where it has none, or the store can't be
reached, the page fails with status 500. These show the file's name instead. Their
templates need ``tahoestorage`` in INSTALLED_APPS.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.widgets import AdminFileWidget
from django.core.exceptions import ImproperlyConfigured
from django.forms import ClearableFileInput

from tahoestorage.exceptions import TahoeStorageError


class StoredFileInput(ClearableFileInput):
    """A ClearableFileInput that shows just the name of a file without a URL."""

    template_name = "tahoestorage/file_input.html"

    def is_initial(self, value: Any) -> bool:
        """Whether there is a file already, with a URL or not."""
        return bool(value and getattr(value, "name", None))

    def get_context(
        self, name: str, value: Any, attrs: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return Django's context, with ``widget["url"]``: the file's URL or None."""
        context: dict[str, Any] = super().get_context(name, value, attrs)
        widget = context["widget"]
        widget["url"] = _url(value) if widget["is_initial"] else None
        return context


class AdminStoredFileWidget(StoredFileInput, AdminFileWidget):
    """The same for Django's admin::

    class DocumentAdmin(admin.ModelAdmin):
        formfield_overrides = {models.FileField: {"widget": AdminStoredFileWidget}}
    """

    template_name = "tahoestorage/admin_file_input.html"


def _url(value: Any) -> str | None:
    try:
        return str(value.url)
    except (
        ValueError,
        NotImplementedError,
        ImproperlyConfigured,
        TahoeStorageError,
    ):
        return None
