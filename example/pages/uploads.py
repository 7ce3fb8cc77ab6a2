"""Uploads from the pages: in parts, by a script, and by a form without one."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable
from typing import ClassVar

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.wsgi import WSGIRequest
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.http import require_POST, require_safe
from rest_framework.authentication import SessionAuthentication
from rest_framework.request import Request

from accounts.access import user_of
from accounts.models import User
from accounts.quotas import QuotaExceeded
from api.tuscreation import UploadsView
from jobs import control
from objects import access, mediatypes, names, storing
from objects.changing import PathTaken
from objects.incoming import IncomingFile
from pages.forms import check_limit
from pages.listing import ListedFolder
from pages.showing import SeeOther
from uploads import deferring


class HeaderSession(SessionAuthentication):
    """Whoever is signed in, with the token against forgery in ``X-CSRFToken``.

    A form of another site can't send that header; its body is not read to look.
    """

    def enforce_csrf(self, request: Request) -> None:
        """Raise PermissionDenied without the token."""
        empty = {"wsgi.input": io.BytesIO(), "CONTENT_LENGTH": "0"}
        super().enforce_csrf(WSGIRequest({**request.META, **empty}))


class ResumableView(UploadsView):
    """Where the pages' script begins a resumable upload.

    As the API's, but for who asks. The URL that it returns is the API's own, which
    asks for no token.
    """

    authentication_classes = (HeaderSession,)
    schema: ClassVar[None] = None


@login_required
@require_safe
def job(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Say, as JSON, how far a job is that stores an upload."""
    jobs = control.visible(user_of(request)).filter(kind=deferring.KIND)
    found = get_object_or_404(jobs, pk=pk)
    told = {name: getattr(found, name) for name in ("state", "error", "done", "of")}
    if deferring.is_kept(found):
        told["error"] = _(
            "It could not be stored yet. All of it is kept, and will be tried again: "
            "you need not upload it again."
        )
    return JsonResponse(told, headers={"Cache-Control": "no-store"})


@login_required
@require_POST
def upload(request: HttpRequest) -> HttpResponse:
    """Store the files of a form in a folder, and say what became of each."""
    user, place = user_of(request), ListedFolder.of(request.POST)
    save_each(request, lambda file: save(user, place.folder, file))
    return SeeOther(ListedFolder(place.folder).url())


def save_each(
    request: HttpRequest, save: Callable[[UploadedFile[bytes]], None]
) -> None:
    """Save each file of a form, and let the page that comes say what became of it.

    ``save`` raises ValidationError, QuotaExceeded, storing.Refused for one that is not
    taken, and what the store does.
    """
    stored = 0
    for file in request.FILES.getlist("files"):
        try:
            save(file)
        except (storing.Deleted, storing.NotStored):
            text = _("“%(name)s” was not uploaded. Please try again.")
            messages.error(request, text % {"name": file.name})
        except (ValidationError, QuotaExceeded, storing.Refused) as error:
            told = " ".join(getattr(error, "messages", None) or [str(error)])
            messages.error(
                request,
                _("“%(name)s” was not uploaded. %(why)s")
                % {"name": file.name, "why": told},
            )
        else:
            stored += 1
    if stored:
        messages.success(
            request,
            ngettext("One file is uploaded.", "%(count)s files are uploaded.", stored)
            % {"count": stored},
        )
    elif not request.FILES:
        messages.warning(request, _("No file was chosen."))


def save(user: User, folder: str, file: UploadedFile[bytes]) -> None:
    """Store a file of a form; raises ValidationError, QuotaExceeded, Refused."""
    name, size = names.clean_name(file.name or ""), file.size or 0
    check_limit(size, settings.UPLOAD_LIMIT)
    if not access.may_write(user, folder, name):
        raise storing.Refused(_("Another file has the name."))
    kind = mediatypes.known(mediatypes.of_part(file))
    try:
        storing.store(
            IncomingFile(file, size, kind),
            tenant=user.tenant,
            user=user,
            folder=folder,
            name=name,
        )
    except PathTaken:
        raise storing.Refused(_("A folder has the name.")) from None
