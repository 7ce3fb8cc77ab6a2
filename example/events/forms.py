"""The two upload forms."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat

from events.models import Event, Session, Speaker


def check_size(file: UploadedFile[bytes]) -> UploadedFile[bytes]:
    """Refuse a new file above the setting UPLOAD_LIMIT (bytes), where there is one."""
    limit = settings.UPLOAD_LIMIT
    if limit is not None and file.size is not None and file.size > limit:
        raise ValidationError(
            f"“{file.name}” has {filesizeformat(file.size)}; "
            f"at most {filesizeformat(limit)} are taken."
        )
    return file


class SlidesForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Session
        fields = ("title", "speakers", "slides")

    def __init__(self, event: Event, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.instance.event = event
        speakers = event.speakers.all()
        if speakers:
            self.fields["speakers"] = forms.ModelMultipleChoiceField(
                speakers, required=False, widget=forms.CheckboxSelectMultiple
            )
        else:
            del self.fields["speakers"]

    def clean_slides(self) -> UploadedFile[bytes]:
        return check_size(self.cleaned_data["slides"])


class PhotoForm(forms.ModelForm):  # type: ignore[type-arg]
    class Meta:
        model = Speaker
        fields = ("name", "photo")

    def __init__(self, event: Event, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.instance.event = event

    def clean_photo(self) -> UploadedFile[bytes]:
        return check_size(self.cleaned_data["photo"])
