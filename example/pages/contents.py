"""The contents of files, for the pages: shown in them, or downloaded."""

from __future__ import annotations

import logging
import uuid

from django.conf import settings
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect
from django.templatetags.static import static
from django.views.decorators.clickjacking import xframe_options_sameorigin
from django.views.decorators.http import require_safe

from accounts.stores import StoreGone
from objects import access
from objects.conditions import content_etag, content_modified
from objects.models import StoredObject, Version
from pages import thumbnails
from pages.files import stored_versions
from pages.kinds import has_thumbnail, preview_of
from pages.models import Thumbnail
from tahoestorage.serving import serve

logger = logging.getLogger(__name__)
PICTURES_KEPT = 7 * 24 * 60 * 60  # seconds


@login_required
@require_safe
def download(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Download a file; ranges and conditions are honoured."""
    found = access.find(request.user, pk)
    return sent(request, found, found.current, as_attachment=True)


@login_required
@require_safe
@xframe_options_sameorigin
def content(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Return a file to be shown in a page: pictures, sound, film, text and PDF."""
    found = access.find(request.user, pk)
    response = sent(request, found, found.current, as_attachment=False)
    if preview_of(found) == "pdf":
        # Else the frame saves it. The policy that comes with it lets it run nothing.
        disposition = response.headers.get("Content-Disposition", "")
        inline = disposition.replace("attachment", "inline", 1)
        response.headers["Content-Disposition"] = inline
    return response


@login_required
@require_safe
def version(request: HttpRequest, pk: uuid.UUID, number: int) -> HttpResponseBase:
    """Download a version of a file."""
    found = access.find(request.user, pk)
    one = get_object_or_404(stored_versions(found), number=number)
    return sent(request, found, one, as_attachment=True)


def sent(
    request: HttpRequest,
    found: StoredObject,
    version: Version | None,
    *,
    as_attachment: bool,
) -> HttpResponseBase:
    if version is None:
        raise Http404
    try:
        return serve(
            request,
            version.storage,
            version.key,
            as_attachment=as_attachment,
            etag=content_etag(version),
            filename=found.name,
            # A page shows what is the site's own, and no bucket's.
            redirect=as_attachment and settings.PUBLIC_LINKS,
            modified=content_modified(found, version),
        )
    except Http404:
        logger.error("The store %s lacks version %s", version.store, version.pk)
        raise


@login_required
@require_safe
def thumbnail(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Return the small picture of a file, or lead to what stands for it meanwhile.

    The address has the version's number in it, so a browser may keep the picture.
    """
    found = access.find(request.user, pk)
    if found.current is None or not has_thumbnail(found):
        raise Http404
    return small(request, found.current, max_age=PICTURES_KEPT)


def small(
    request: HttpRequest, version: Version, *, max_age: int | None
) -> HttpResponseBase:
    """Return the small picture of a version, for so many seconds (`serve`).

    Where there is none yet, it leads to the drawing that stands for it meanwhile.
    """
    made = thumbnails.ask(version)
    if made.state == Thumbnail.State.STORED:
        try:
            return serve(
                request,
                made.storage,
                made.key,
                etag=f'"{made.pk.hex}"',
                max_age=max_age,
            )
        except StoreGone:
            pass  # It is there again once the store is set again.
        except Http404:
            # A backup that was restored has none of them.
            thumbnails.lose(made)
    waits = made.state == Thumbnail.State.WAITING
    response = redirect(static(f"pages/{'waiting' if waits else 'picture'}.svg"))
    response["Cache-Control"] = "no-store"
    return response
