"""The pages that visitors see: events, their photos and their slides."""

from __future__ import annotations

import contextlib
from typing import Any

from django.conf import settings
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.views.decorators.http import require_safe

from accounts.access import user_of
from events import access
from events.access import Access
from events.models import Event, Part, Speaker
from objects.conditions import content_etag, content_modified
from objects.models import StoredObject, Version
from pages.contents import small
from pages.kinds import has_thumbnail
from pages.models import Thumbnail
from tahoestorage.serving import serve

PAGE = 50  # events
PHOTO_SECONDS = 300
"""For which a browser may show a photo of a published event without asking again."""


@require_safe
def event_list(request: HttpRequest) -> HttpResponse:
    """The events that the visitor may see; drafts are marked."""
    pages = Paginator(access.shown(request.user), PAGE)
    page = pages.get_page(request.GET.get("page"))
    return render(request, "events/event_list.html", {"page": page})


@require_safe
def event_page(request: HttpRequest, slug: str) -> HttpResponse:
    event = access.find(request.user, slug)
    return render(request, "events/event.html", context_of(request, event))


def context_of(request: HttpRequest, event: Event) -> dict[str, Any]:
    """Return what the event's page is made of, by a few queries; no store is asked."""
    sessions = event.sessions.select_related("slides_object__current")
    speakers = event.speakers.select_related("photo_object__current__thumbnail")
    talks = [_Listed(one) for one in sessions.prefetch_related("speakers")]
    people = [_Photographed(one) for one in speakers]
    if settings.PUBLIC_LINKS and event.published:
        # The page must not depend on the store: with it away, it only says less. One
        # failure is enough to stop asking.
        with contextlib.suppress(OSError):
            for one in (*talks, *people):
                one.ask_store()
    may_edit = access.allows(request.user, event, Access.EDIT)
    may_administer = access.allows(request.user, event, Access.ADMINISTER)
    return {
        "event": event,
        "sessions": talks,
        "speakers": people,
        "may_edit": may_edit,
        "may_administer": may_administer,
        # As access.decides says.
        "may_delete": may_administer
        or (may_edit and user_of(request).is_administrator),
    }


class _Listed:
    """A session, with what there is of its file.

    ``public_url`` leads past this site. Only those of published events are told: who
    has one needs nothing else.
    """

    def __init__(self, part: Part) -> None:
        self.part = part
        self.file = part.media
        self.public_url: str | None = None

    def ask_store(self) -> None:
        """Find the URL; a missing file has none. Raises what else the store does."""
        version = self.shown()
        if version is not None:
            with contextlib.suppress(FileNotFoundError):
                self.public_url = version.storage.url(version.key)

    def shown(self) -> Version | Thumbnail | None:
        """Return whose bytes the page shows, or leads to."""
        return None if self.file is None else self.file.current


class _Photographed(_Listed):
    """A speaker. The page shows the small picture of the photo, and leads to that."""

    def __init__(self, speaker: Speaker) -> None:
        super().__init__(speaker)
        self.thumbnail_url: str | None = None
        if self.file is not None and has_thumbnail(self.file):
            self.thumbnail_url = speaker.get_thumbnail_url()

    def shown(self) -> Version | Thumbnail | None:
        version = super().shown()
        if self.thumbnail_url is None or version is None:
            return version
        found: Thumbnail | None = getattr(version, "thumbnail", None)
        if found is None or found.state != Thumbnail.State.STORED:
            return None
        # One that was left where its version was before is made anew.
        return found if found.store == version.store else None


def media(request: HttpRequest, pk: int, kind: type[Part]) -> HttpResponseBase:
    """Serve a photo, or slides as a download, to whoever may see the event."""
    part, file, version = _found(request, pk, kind)
    is_photo = kind is Speaker
    return serve(
        request,
        version.storage,
        version.key,
        as_attachment=not is_photo,
        etag=content_etag(version),
        filename=file.name,
        size=version.size,
        modified=content_modified(file, version),
        max_age=PHOTO_SECONDS if is_photo and part.event.published else None,
    )


@require_safe
def thumbnail(request: HttpRequest, pk: int) -> HttpResponseBase:
    """Serve the small picture of a photo, or lead to what stands for it meanwhile."""
    part, file, version = _found(request, pk, Speaker)
    if not has_thumbnail(file):
        raise Http404
    max_age = PHOTO_SECONDS if part.event.published else None
    return small(request, version, max_age=max_age)


def _found(
    request: HttpRequest, pk: int, kind: type[Part]
) -> tuple[Part, StoredObject, Version]:
    """Return a part whose event they may see, and its file; raises Http404."""
    parts = kind.rows().filter(event__in=access.shown(request.user))
    related = ("event", f"{kind.media_field}__current")
    part: Part | None = parts.select_related(*related).filter(pk=pk).first()
    file = None if part is None else part.media
    if part is None or file is None or file.current is None:
        raise Http404
    return part, file, file.current
