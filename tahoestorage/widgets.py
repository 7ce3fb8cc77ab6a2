"""Widgets for files that may have no public URL.

Django's own ask each file for its URL, and the page is a 500 where the storage has none
to give, or can't be asked now. These name the file instead. They need ``tahoestorage``
in INSTALLED_APPS, for their templates.
"""

from __future__ import annotations

from typing import Any

from django.contrib.admin.widgets import AdminFileWidget
from django.forms import ClearableFileInput

from tahoestorage.exceptions import TahoeStorageError


class StoredFileInput(ClearableFileInput):
    """The widget of a file in a form; a name without a link where it has no URL."""

    template_name = "tahoestorage/file_input.html"

    def is_initial(self, value: Any) -> bool:
        """Whether there is a file already, with a URL or without."""
        return bool(value and getattr(value, "name", None))

    def get_context(
        self, name: str, value: Any, attrs: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return what Django's has, and ``url``: the file's URL, or None."""
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
    except (ValueError, NotImplementedError, TahoeStorageError):
        return None
