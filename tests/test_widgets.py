"""The widgets of files that may have no URL."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django import forms
from django.contrib.admin.widgets import AdminFileWidget
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.db import models
from django.db.models.fields.files import FieldFile
from django.forms.renderers import get_default_renderer
from pytest_django.fixtures import Settings

from tahoestorage.exceptions import GatewayUnreachable
from tahoestorage.widgets import AdminStoredFileWidget, StoredFileInput

NO_FILE = FieldFile(None, models.FileField(), None)  # type: ignore[arg-type]
WIDGETS = [StoredFileInput, AdminStoredFileWidget]


class File:
    """A file as a form has it: a name, and a URL or an error."""

    def __init__(self, url: str | Exception) -> None:
        self.name = "a/<b>.txt"
        self._url = url

    def __str__(self) -> str:
        return self.name

    @property
    def url(self) -> str:
        if isinstance(self._url, Exception):
            raise self._url
        return self._url


def shown(widget: type[StoredFileInput], value: Any, required: bool = False) -> str:
    made = widget()
    made.is_required = required
    return made.render("file", value, {"id": "id_file"})


@pytest.mark.parametrize("widget", WIDGETS)
@pytest.mark.parametrize(
    "error",
    [
        ValueError("Files have no URL"),
        NotImplementedError("no URL"),
        ImproperlyConfigured("These credentials can't sign"),
        GatewayUnreachable("a.txt: nothing responds"),
    ],
)
def test_a_file_without_a_url_is_named(
    widget: type[StoredFileInput], error: Exception
) -> None:
    html = shown(widget, File(error))

    assert "Currently: a/&lt;b&gt;.txt" in html
    assert "<a " not in html
    assert 'name="file-clear"' in html


@pytest.mark.parametrize("widget", WIDGETS)
def test_a_file_with_a_url_is_linked_as_django_does_it(
    widget: type[StoredFileInput], settings: Settings
) -> None:
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.admin"]
    get_default_renderer.cache_clear()  # type: ignore[attr-defined]
    file = File("/media/a%3Cb.txt")
    parent: Any = (
        forms.ClearableFileInput if widget is StoredFileInput else AdminFileWidget
    )

    for required in (True, False):
        theirs = parent()
        theirs.is_required = required
        html = theirs.render("file", file, {"id": "id_file"})
        assert shown(widget, file, required).split() == html.split()


@pytest.mark.parametrize("widget", WIDGETS)
@pytest.mark.parametrize("value", [None, NO_FILE, "text"])
def test_what_is_no_file_yet_is_only_asked_for(
    widget: type[StoredFileInput], value: Any
) -> None:
    html = shown(widget, value)

    assert "Currently" not in html
    assert re.search(r'<input type="file" name="file"', html)


def test_a_file_that_is_sent_or_cleared_is_seen_by_the_form() -> None:
    widget = StoredFileInput()
    widget.is_required = False
    sent: Any = {"file": ContentFile(b"x", "a.txt")}

    assert widget.value_from_datadict({}, sent, "file").name == "a.txt"
    assert widget.value_from_datadict({"file-clear": "on"}, {}, "file") is False  # type: ignore[arg-type]
