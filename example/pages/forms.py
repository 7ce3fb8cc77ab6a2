"""The forms of the pages; what they refuse, the API refuses too."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from objects import names

DAYS = (
    (1, _("a day")),
    (7, _("a week")),
    (30, _("30 days")),
    (365, _("a year")),
)
MOST_DOWNLOADS = 1_000_000


class FolderField(forms.CharField):
    """A folder by its path; blanks and slashes at its ends are forgiven."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(required=False, max_length=2 * names.MAX_FOLDER, **kwargs)

    def clean(self, value: Any) -> str:
        """Return the folder; raises ValidationError."""
        return names.clean_folder(super().clean(value).strip("/"))


class NameField(forms.CharField):
    """The name of a file or a folder."""

    def clean(self, value: Any) -> str:
        """Return the name; raises ValidationError."""
        return names.clean_name(super().clean(value))


class NamesForm(forms.Form):
    """Where a file is, and what it is called."""

    name = NameField(label=_("Name"), max_length=names.MAX_NAME)
    folder = FolderField(
        label=_("Folder"),
        help_text=_(
            "With a slash between a folder and one in it, as photos/2026. One that is "
            "not there yet is made. Empty: the top folder."
        ),
    )
    etag = forms.CharField(widget=forms.HiddenInput, required=False)


class NewFolderForm(forms.Form):
    """A folder to go to; it is there once something is in it."""

    name = NameField(label=_("Name"), max_length=names.MAX_NAME)


class ShareForm(forms.Form):
    """A link to be made."""

    days = forms.TypedChoiceField(
        label=_("The link works for"), choices=DAYS, coerce=int, initial=7
    )
    max_downloads = forms.IntegerField(
        label=_("Downloads at most"),
        required=False,
        min_value=1,
        max_value=MOST_DOWNLOADS,
        help_text=_("Empty: as many as wanted."),
    )

    @property
    def expires_at(self) -> datetime:
        """When the link expires."""
        return timezone.now() + timedelta(days=self.cleaned_data["days"])


class SeveralFilesInput(forms.ClearableFileInput):
    allow_multiple_selected = True


def check_limit(size: int, limit: int | None) -> None:
    """Raise ValidationError where a file is larger than the site takes."""
    if limit is not None and size > limit:
        raise ValidationError(_("It is larger than this site takes."))
