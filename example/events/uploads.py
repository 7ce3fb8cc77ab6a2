"""Files that are sent to an event: many at once, and each in parts, by a script."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied
from django.core.files.uploadedfile import UploadedFile
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.views.decorators.http import require_POST
from rest_framework.request import Request

from accounts.access import user_of
from accounts.models import User
from api.tuscreation import upload_of
from api.tusheaders import Described
from events import access, arriving, media, organising
from events.access import Access
from events.editing import content_of, find_part
from events.fields import PhotoFormField
from events.models import Event, Speaker
from objects import names, storing
from pages.forms import check_limit
from pages.uploads import ResumableView, save_each
from uploads.models import Upload


class EventUploadsView(ResumableView):
    """Where the script begins the resumable upload of an event's file.

    It is for the speaker or the session of the address, else for a new one. What the
    script says of a folder or of the type is not looked at.
    """

    def begin(self, request: Request, size: int, described: Described) -> Upload:
        user = user_of(request)
        event = access.find(user, self.kwargs["slug"], Access.EDIT)
        part = None
        if "pk" in self.kwargs:
            part = find_part(event, self.kwargs["kind"], self.kwargs["pk"])
        name = names.clean_name(described.name)
        with transaction.atomic():
            version = arriving.begin(event, part, user=user, size=size, name=name)
            return upload_of(request, version, purpose=arriving.PURPOSE)


@login_required
@require_POST
def add_files(request: HttpRequest, slug: str) -> HttpResponse:
    """Make a speaker or a session of each file of a form, and say what became of it."""
    user = user_of(request)
    event = access.find(user, slug, Access.EDIT)
    save_each(request, lambda file: _add(event, user, file))
    return redirect(event)


def _add(event: Event, user: User, file: UploadedFile[Any]) -> None:
    """Store a file of a form, as a new speaker's or session's."""
    name = names.clean_name(file.name or "")
    check_limit(file.size or 0, settings.UPLOAD_LIMIT)
    kind = arriving.kind_for(name)
    if kind is Speaker:
        PhotoFormField().clean(file)
    part = arriving.new_part(event, kind, name)
    organising.check_room(event, kind)
    try:
        stored = media.put(part, lambda: content_of(file), name, user)
    except storing.Refused:
        raise PermissionDenied from None
    setattr(part, part.media_field, stored)
    try:
        organising.save_part(part, user)
    except BaseException:
        # The event was deleted meanwhile, or has too many by now.
        media.drop(stored, user)
        raise
