"""The organisers' pages: events, speakers and sessions are made, changed, deleted."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.db.models import Count, Sum
from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy as _later
from django.utils.translation import ngettext
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import user_of
from accounts.quotas import QuotaExceeded
from events import access, media, organising
from events.access import Access
from events.forms import EventForm, PartForm, SessionForm, SpeakerForm
from events.models import Event, Part, Session, Speaker
from events.views import context_of
from objects import storing
from objects.incoming import IncomingFile

form_page = require_http_methods(["GET", "HEAD", "POST"])
NOT_WHOLE = _later("The file did not arrive whole. Nothing was saved; send it again.")
FORMS: dict[type[Part], type[PartForm]] = {Speaker: SpeakerForm, Session: SessionForm}


@form_page
@login_required
def new_event(request: HttpRequest) -> HttpResponse:
    """Make an event of one's tenant; anybody of the tenant may, as with objects."""
    user = user_of(request)
    form = EventForm(request.POST or None, instance=Event(tenant=user.tenant))
    if form.is_valid():
        event = organising.create(form.save(commit=False), user)
        messages.success(request, _("The event is made: now add who speaks."))
        return redirect(event)
    return _form(request, "events/event_form.html", form, {"heading": _("New event")})


@form_page
@login_required
def edit_event(request: HttpRequest, slug: str) -> HttpResponse:
    event = access.find(request.user, slug, Access.EDIT)
    form = EventForm(request.POST or None, instance=event)
    if not access.decides(user_of(request), event):
        del form.fields["published"]
    if form.is_valid():
        organising.change(form.instance, user_of(request), form.changed_data)
        messages.success(request, _("Saved."))
        return redirect(event)
    context = {"heading": _("Edit the event"), "event": event}
    return _form(request, "events/event_form.html", form, context)


@form_page
@login_required
def delete_event(request: HttpRequest, slug: str) -> HttpResponse:
    """Say what becomes of the event's files, and delete it with them."""
    event = access.find(request.user, slug, Access.EDIT)
    if not access.decides(user_of(request), event):
        raise PermissionDenied
    if request.method == "POST":
        files = organising.delete(event, user_of(request))
        kept = ngettext(
            "“%(name)s” is deleted, and its file; that can be restored for "
            "%(days)d days.",
            "“%(name)s” is deleted, and its %(count)d files; those can be restored for "
            "%(days)d days.",
            len(files),
        )
        text = kept if files else _("“%(name)s” is deleted.")
        days = event.tenant.undo_days
        told = {"name": event.name, "count": len(files), "days": days}
        messages.success(request, text % told)
        return redirect("events:list")
    files = media.of(event)
    context = {
        "event": event,
        "files": files,
        "bytes": sum(file.size for file in files),
        "folder": f"{media.ROOT}/{event.slug}",
        "exports": event.exports.filter(state="ready").aggregate(
            count=Count("pk"), size=Sum("size")
        ),
    }
    return render(request, "events/event_delete.html", context)


@form_page
@login_required
def add_part(request: HttpRequest, slug: str, kind: type[Part]) -> HttpResponse:
    event = access.find(request.user, slug, Access.EDIT)
    heading = _("Add a speaker") if kind is Speaker else _("Add a session")
    part = kind()
    part.event = event
    return _edit(request, part, heading)


@form_page
@login_required
def edit_part(
    request: HttpRequest, slug: str, pk: int, kind: type[Part]
) -> HttpResponse:
    part = _find(request, slug, pk, kind)
    heading = _("Edit the speaker") if kind is Speaker else _("Edit the session")
    return _edit(request, part, heading)


@form_page
@login_required
def delete_part(
    request: HttpRequest, slug: str, pk: int, kind: type[Part]
) -> HttpResponse:
    part = _find(request, slug, pk, kind)
    if request.method == "POST":
        organising.delete_part(part, user_of(request))
        messages.success(request, _("“%s” is deleted.") % part)
        return redirect(part.event)
    context = {"event": part.event, "part": part, "file": part.media}
    return render(request, "events/part_delete.html", context)


@require_POST
@login_required
def move_part(
    request: HttpRequest, slug: str, pk: int, kind: type[Part]
) -> HttpResponse:
    """Move it a place up or down; a script gets the list alone."""
    part = _find(request, slug, pk, kind)
    by = -1 if request.POST.get("direction") == "up" else 1
    place = organising.move(part, by, user_of(request))
    if not request.headers.get("HX-Request"):
        return redirect(part)
    context = context_of(request, part.event)
    context["moved"] = _("%(name)s is number %(place)d now.") % {
        "name": part,
        "place": place,
    }
    name = "speakers" if kind is Speaker else "sessions"
    return render(request, f"events/_{name}.html", context)


def find_part(event: Event, kind: type[Part], pk: int) -> Part:
    """Return the event's speaker or session of the key; raises Http404."""
    parts = kind.rows().select_related(f"{kind.media_field}__current")
    part: Part | None = parts.filter(event=event, pk=pk).first()
    if part is None:
        raise Http404
    part.event = event
    return part


def _find(request: HttpRequest, slug: str, pk: int, kind: type[Part]) -> Part:
    return find_part(access.find(request.user, slug, Access.EDIT), kind, pk)


def _edit(request: HttpRequest, part: Part, heading: str) -> HttpResponse:
    """Show the form; store what was sent in it, and go to where it is listed."""
    form = FORMS[type(part)](request.POST or None, request.FILES or None, instance=part)
    if _was_cut(request):
        form.add_error(form.file_field, NOT_WHOLE)
    if form.is_valid():
        try:
            _save(form, part, request)
        except (QuotaExceeded, ValidationError) as error:
            told = error if isinstance(error, ValidationError) else str(error)
            form.add_error(form.file_field, told)
        except storing.Refused:
            raise PermissionDenied from None
        except storing.NotStored:
            form.add_error(form.file_field, NOT_WHOLE)
        else:
            if request.headers.get("X-Requested-With") == "XMLHttpRequest":
                # upload.js sends the file then, and goes there itself: a request of a
                # script would follow a redirect out of sight, and fetch the page twice.
                addresses = {"edit": part.get_edit_url(), "file": part.get_upload_url()}
                headers = {"Location": part.get_absolute_url()}
                return JsonResponse(addresses, status=201, headers=headers)
            return redirect(part)
    context = {"event": part.event, "heading": heading, "part": part}
    return _form(request, "events/upload.html", form, context)


def _was_cut(request: HttpRequest) -> bool:
    """Whether a file began to come and did not end, as of an upload that was cancelled.

    Django leaves it out without a word, and a form can do without one.
    """
    if request.method != "POST" or request.FILES:
        return False
    return any(handler.file_name for handler in request.upload_handlers)


def _save(form: PartForm, part: Part, request: HttpRequest) -> None:
    """Store the file, and then let the row say so."""
    user, file = user_of(request), form.file
    before, stored = part.media, None
    if file is not None:
        stored = media.put(part, lambda: content_of(file), file.name or "", user)
        setattr(part, part.media_field, stored)
    form.save(commit=False)
    try:
        organising.save_part(part, user, form.fields, replaced=before)
    except BaseException:
        # The event, or the part, was deleted meanwhile.
        if stored is not None and stored != before:
            media.drop(stored, user)
        raise
    form.save_m2m()
    if form.cleaned_data.get("remove"):
        organising.drop_media(part, user)


def content_of(file: UploadedFile[bytes]) -> IncomingFile:
    file.seek(0)
    return IncomingFile(file, file.size or 0, media.type_of(file.name or ""))


def _form(
    request: HttpRequest, template: str, form: Any, context: dict[str, Any]
) -> HttpResponse:
    status = 422 if form.is_bound else 200
    return render(request, template, context | {"form": form}, status=status)
