"""The pages. Anyone may upload here: it is a demonstration, see README.md."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import get_object_or_404, redirect, render
from django.views.decorators.http import require_http_methods, require_safe

from events.forms import PhotoForm, SlidesForm
from events.models import Event, Session, Speaker
from tahoestorage.serving import serve


@require_safe
def event_list(request: HttpRequest) -> HttpResponse:
    return render(request, "events/event_list.html", {"events": Event.objects.all()})


@require_safe
def event_page(request: HttpRequest, slug: str) -> HttpResponse:
    event = get_object_or_404(Event, slug=slug)
    sessions = list(event.sessions.prefetch_related("speakers"))
    speakers = list(event.speakers.all())
    # The text of the page must not depend on the store: with it away, the page
    # only says less. One failure is enough to stop asking.
    with contextlib.suppress(OSError):
        ask_store(sessions, speakers)
    context = {"event": event, "sessions": sessions, "speakers": speakers}
    return render(request, "events/event.html", context)


def ask_store(sessions: Iterable[Session], speakers: Iterable[Speaker]) -> None:
    """Fill in what the store knows: the sizes of slides, and public URLs if wanted.

    A missing file has neither. Raises OSError where the store cannot be asked.
    """
    for session in sessions:
        with contextlib.suppress(FileNotFoundError):
            session.slides_size = session.slides.size
            if settings.PUBLIC_LINKS:
                session.public_url = session.slides.storage.url(session.slides.name)
    for speaker in speakers if settings.PUBLIC_LINKS else ():
        with contextlib.suppress(FileNotFoundError):
            speaker.public_url = speaker.photo.storage.url(speaker.photo.name)


@require_http_methods(["GET", "HEAD", "POST"])
def add_slides(request: HttpRequest, slug: str) -> HttpResponse:
    event = get_object_or_404(Event, slug=slug)
    form = SlidesForm(event, request.POST or None, request.FILES or None)
    return upload(request, event, form, "Add slides")


@require_http_methods(["GET", "HEAD", "POST"])
def add_photo(request: HttpRequest, slug: str) -> HttpResponse:
    event = get_object_or_404(Event, slug=slug)
    form = PhotoForm(event, request.POST or None, request.FILES or None)
    return upload(request, event, form, "Add a speaker")


def upload(
    request: HttpRequest, event: Event, form: SlidesForm | PhotoForm, heading: str
) -> HttpResponse:
    """Show the form; store what was sent in it, and go to where it is listed."""
    if form.is_valid():
        added = form.save()
        if request.headers.get("X-Requested-With") == "XMLHttpRequest":
            # upload.js goes there itself: a request of a script would follow a
            # redirect out of sight, and fetch the page twice.
            return HttpResponse(
                status=201, headers={"Location": added.get_absolute_url()}
            )
        return redirect(added)
    context = {"event": event, "form": form, "heading": heading}
    status = 422 if form.is_bound else 200
    return render(request, "events/upload.html", context, status=status)


def slides(request: HttpRequest, pk: int) -> HttpResponseBase:
    file = get_object_or_404(Session, pk=pk).slides
    return serve(request, file.storage, file.name or "", as_attachment=True)


def photo(request: HttpRequest, pk: int) -> HttpResponseBase:
    file = get_object_or_404(Speaker, pk=pk).photo
    return serve(request, file.storage, file.name or "", max_age=300)
