"""The organisers' forms."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.base import File
from django.core.files.uploadedfile import UploadedFile
from django.template.defaultfilters import filesizeformat
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from accounts.models import TenantGroup, User
from events.fields import PhotoFormField
from events.models import Event, Session, Speaker
from objects import names
from objects.granting import Access, Holder, holder_of

LOCAL_TIME = "%Y-%m-%dT%H:%M"
"""What browsers' fields of a date and a time take and send."""
WORDS = {
    Access.VIEW: _("see it"),
    Access.EDIT: _("change it"),
    Access.ADMINISTER: _("change it and let others"),
}


class StartField(forms.DateTimeField):
    """A time that stays as it is where what the field shows of it is sent back.

    The field shows no seconds, and in the night in which clocks are set back an hour
    comes twice.
    """

    kept: datetime | None = None

    def to_python(self, value: Any) -> datetime | None:
        if self.kept is not None and self._is_kept(value):
            return self.kept
        return super().to_python(value)

    def has_changed(self, initial: Any, data: Any) -> bool:
        return not self._is_kept(data) and super().has_changed(initial, data)

    def _is_kept(self, text: Any) -> bool:
        shown = self.widget.format_value(self.prepare_value(self.kept))
        return self.kept is not None and text == shown


def start_input() -> forms.DateTimeInput:
    """Return the browsers' own field of a date and a time."""
    return forms.DateTimeInput({"type": "datetime-local"}, format=LOCAL_TIME)


# Django's class takes no type argument at run time.
class StartForm(forms.ModelForm):  # type: ignore[type-arg]
    """A form of an event, in the pages and the admin, that keeps its time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        starts_at: Any = self.fields.get("starts_at")
        if starts_at is not None:  # Whoever may only see it has no field.
            starts_at.kept = self.instance.starts_at


class EventForm(StartForm):
    """What an event's page says."""

    class Meta:
        model = Event
        fields = ("name", "starts_at", "place", "description", "published")
        field_classes: ClassVar = {"starts_at": StartField}
        widgets: ClassVar = {
            "starts_at": start_input(),
            "description": forms.Textarea({"rows": 6}),
        }

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""


# Django's class takes no type argument at run time.
class PartForm(forms.ModelForm):  # type: ignore[type-arg]
    """A speaker or a session, with a file that may be sent, or taken away."""

    file_field: str
    remove = forms.BooleanField(required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        remove = self.fields.pop("remove")
        if self.instance.media is not None:
            self.fields["remove"] = remove  # After the file that it is about.

    @property
    def file(self) -> UploadedFile[bytes] | None:
        """The file that was sent, if one was."""
        sent: UploadedFile[bytes] | None = self.cleaned_data[self.file_field]
        return sent or None

    def clean(self) -> dict[str, Any] | None:
        file = self.cleaned_data.get(self.file_field)
        # A script sends the file once the rest is saved, and tells its name before.
        name = (file and file.name) or self.data.get("coming", "")
        if name:
            try:
                names.clean_name(name)
                if file:
                    _check_size(file)
                else:
                    self.fields[self.file_field].run_validators(File(None, name))
            except ValidationError as error:
                self.add_error(self.file_field, error)
            if self.cleaned_data.get("remove"):
                self.add_error(
                    "remove", _("Either send another file, or remove this one.")
                )
        return self.cleaned_data


class SpeakerForm(PartForm):
    file_field = "photo"
    photo = PhotoFormField(
        label=_("Photo"),
        required=False,
        widget=forms.FileInput({"accept": "image/jpeg,image/png,image/gif,image/webp"}),
    )
    remove = forms.BooleanField(label=_("Remove the photo"), required=False)

    class Meta:
        model = Speaker
        fields = ("name",)


class SessionForm(PartForm):
    file_field = "slides"
    slides = forms.FileField(
        label=_("Slides"),
        required=False,
        widget=forms.FileInput(),
        help_text=_("Any kind of file."),
    )
    remove = forms.BooleanField(label=_("Remove the slides"), required=False)

    class Meta:
        model = Session
        fields = ("title", "speakers")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        speakers = self.instance.event.speakers.all()
        if speakers:
            self.fields["speakers"] = forms.ModelMultipleChoiceField(
                speakers,
                label=_("Speakers"),
                required=False,
                widget=forms.CheckboxSelectMultiple,
            )
        else:
            del self.fields["speakers"]


class EventGrantForm(forms.Form):
    """Who may do what to an event: a user or a group, by their names."""

    kind = forms.ChoiceField(
        label=_("Who"), choices=[("user", _("a user")), ("group", _("a group"))]
    )
    name = forms.CharField(label=_("Name"), max_length=150)
    access = forms.ChoiceField(
        label=_("May"), choices=[(one.word, words) for one, words in WORDS.items()]
    )

    def __init__(self, event: Event, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.label_suffix = ""
        self.event = event

    def clean(self) -> dict[str, Any]:
        name, kind = self.cleaned_data.get("name"), self.cleaned_data.get("kind")
        if name and kind:
            tenant = self.event.tenant_id
            rows: Any = User.objects.filter(username=name, tenant=tenant)
            if kind == "group":
                rows = TenantGroup.objects.filter(label=name, tenant=tenant)
            pk = rows.values_list("pk", flat=True).first() or 0
            try:
                self.cleaned_data["holder"] = holder_of(tenant, **{kind: pk})
            except ValidationError as error:
                self.add_error("name", error)
        return self.cleaned_data

    @property
    def holder(self) -> Holder:
        """Whom it names, once it is valid."""
        holder: Holder = self.cleaned_data["holder"]
        return holder


def _check_size(file: UploadedFile[bytes]) -> None:
    """Refuse a file above the setting UPLOAD_LIMIT (bytes), where there is one."""
    limit = settings.UPLOAD_LIMIT
    if limit is not None and file.size is not None and file.size > limit:
        raise ValidationError(
            gettext("“%(name)s” has %(size)s; at most %(limit)s are taken.")
            % {
                "name": file.name,
                "size": filesizeformat(file.size),
                "limit": filesizeformat(limit),
            }
        )
