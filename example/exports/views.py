"""The pages of exports: started, watched, downloaded, imported."""

from __future__ import annotations

import logging
import uuid
from typing import Any
from urllib.parse import urlencode

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import PermissionDenied, ValidationError
from django.core.paginator import Paginator
from django.core.validators import slug_re
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import access as account_access
from accounts import stores, tenants
from accounts.access import user_of
from accounts.models import Tenant
from accounts.tenants import ExportStoreForm
from exports import (
    access,
    downloads,
    importing,
    removing,
    retention,
    starting,
)
from exports.models import Export
from jobs import control
from jobs.models import Job
from objects import access as object_access
from objects import names

logger = logging.getLogger(__name__)
PAGE = 50
STEP = 5
"""Percent by which the progress that is read out goes on."""


@require_safe
@login_required
def export_list(request: HttpRequest) -> HttpResponse:
    """Show the exports that one may fetch, the newest first."""
    rows = access.visible(request.user).select_related("job", "owner")
    page = Paginator(rows, PAGE).get_page(request.GET.get("page"))
    exports = [_context(export) for export in page.object_list]
    tenant = _administered(request)
    context = {
        "page": page,
        "exports": exports,
        "folder": request.GET.get("folder", ""),
        "path": request.GET.get("path", ""),
        "store_form": None if tenant is None else _store_form(tenant),
    }
    return render(request, "exports/export_list.html", context)


@require_POST
@login_required
def choose_store(request: HttpRequest) -> HttpResponse:
    """Let the tenant's new exports go to another store, as its administrator."""
    tenant = _administered(request)
    if tenant is None:
        raise PermissionDenied
    form = ExportStoreForm(request.POST, instance=tenant)
    if not form.is_valid():
        messages.error(request, _("Exports may not go to that store."))
    else:
        if form.has_changed():
            tenants.change(tenant, by=user_of(request), **form.cleaned_data)
        where = {
            "alias": form.cleaned_data["export_store"] or stores.site_export_alias()
        }
        messages.success(request, _("New exports go to the store “%(alias)s”.") % where)
    return redirect("exports:list")


@require_POST
@login_required
def start(request: HttpRequest) -> HttpResponse:
    """Start an export of a folder, or of an event by its short name."""
    user, site = user_of(request), request.build_absolute_uri("/")
    if slug := request.POST.get("event"):
        events = access.editable_events(user)
        # What no address can be, such as with a NUL, PostgreSQL is not asked for.
        event = events.filter(slug=slug).first() if slug_re.fullmatch(slug) else None
        if event is None:
            raise Http404
        return redirect(starting.start_event(user, event, site=site))
    given = request.POST.get("folder", "").strip().strip("/")
    try:
        folder = names.clean_folder(given)
    except ValidationError as error:
        messages.error(request, " ".join(error.messages))
        return _back_to_list(folder=given)
    return redirect(starting.start_folder(user, folder, site=site))


@require_safe
@login_required
def export_page(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show an export, how far it is, and what can be done with it."""
    context = _context(access.find(request.user, pk))
    return render(request, "exports/export.html", context)


@require_safe
@login_required
def state(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Return the part of the page that changes; it asks for itself again."""
    context = _context(access.find(request.user, pk))
    return render(request, "exports/_state.html", context)


@require_safe
@login_required
def download(request: HttpRequest, pk: uuid.UUID) -> HttpResponseBase:
    """Send the archive; ranges and conditions are honoured."""
    export = access.find(request.user, pk)
    if export.state != Export.State.READY:
        raise Http404
    try:
        return downloads.opened(request, export, user_of(request))
    except downloads.BytesMissing as error:
        messages.error(request, str(error))
    except stores.StoreGone as error:
        logger.error("Export %s: %s", export.pk, error)
        messages.error(request, str(error))
    return redirect(export)


@require_POST
@login_required
def cancel(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Let it not be made."""
    export = access.find(request.user, pk)
    was_open = starting.cancel(export, actor=user_of(request))
    if request.headers.get("HX-Request"):
        # It shows the state by itself.
        context = _context(access.find(request.user, pk))
        return render(request, "exports/_state.html", context)
    if not was_open:
        messages.info(request, _("It had ended already."))
    return redirect(export)


@require_POST
@login_required
def pin(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Let it stay however old it becomes, or not any more."""
    export = access.find(request.user, pk)
    is_pinned = request.POST.get("pinned") == "1"
    starting.pin(export, is_pinned, actor=user_of(request))
    if request.headers.get("HX-Request"):
        return render(request, "exports/_state.html", _context(export))
    return redirect(export)


@require_POST
@login_required
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Delete an export that has ended."""
    export = access.find(request.user, pk)
    if removing.delete(export, actor=user_of(request)):
        messages.success(request, _("“%s” is deleted.") % export)
        return redirect("exports:list")
    messages.error(request, _("It is being made: cancel it first."))
    return redirect(export)


@require_POST
@login_required
def start_import(request: HttpRequest) -> HttpResponse:
    """Start an import of an export, or of an archive among one's objects."""
    user = user_of(request)
    thing: Any
    if given := request.POST.get("export"):
        thing = access.find(user, _uuid(given))
        if thing.state != Export.State.READY:
            raise Http404
    elif given := request.POST.get("object"):
        thing = object_access.find(user, _uuid(given))
    else:
        thing = _object_at(request)
        if thing is None:
            text = _("There is no file of this path that you may see.")
            messages.error(request, text)
            return _back_to_list(path=request.POST.get("path", ""))
    job = importing.start_import(user, thing)
    return redirect("exports:import-page", job.pk)


@require_safe
@login_required
def import_page(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show an import, and how far it is."""
    return render(request, "exports/import.html", _context_of_import(request, pk))


@require_safe
@login_required
def import_state(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Return the part of the page that changes; it asks for itself again."""
    context = _context_of_import(request, pk)
    return render(request, "exports/_import_state.html", context)


@require_POST
@login_required
def cancel_import(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Let an import end; what it made is deleted."""
    job = _context_of_import(request, pk)["job"]
    control.cancel(job, actor=user_of(request))
    return redirect("exports:import-page", pk)


def _back_to_list(**given: str) -> HttpResponse:
    """Show the list again, with what was given in its forms."""
    return redirect(f"{reverse('exports:list')}?{urlencode(given)}")


def _administered(request: HttpRequest) -> Tenant | None:
    """Return the caller's tenant; None for who does not administer it."""
    user = user_of(request)
    return account_access.tenants(user).filter(pk=user.tenant_id).first()


def _store_form(tenant: Tenant) -> ExportStoreForm | None:
    """Return the form to choose the tenant's store; None where there is no choice."""
    others = set(stores.export_aliases()) - {stores.site_export_alias()}
    return ExportStoreForm(instance=tenant, label_suffix="") if others else None


def _object_at(request: HttpRequest) -> Any:
    """Return the object of the path that was given, None where there is none."""
    try:
        folder, name = names.clean_path(request.POST.get("path", "").strip("/ "))
    except ValidationError:
        return None
    rows = object_access.visible(request.user).filter(deleted_at=None)
    tenant = user_of(request).tenant_id
    return rows.filter(tenant=tenant, folder=folder, name=name).first()


def _context(export: Export) -> dict[str, Any]:
    job = export.job
    done = export.size if export.state == Export.State.READY else 0
    if export.state == Export.State.PENDING and job is not None:
        done = min(job.done, export.size)
    return {
        "export": export,
        "job": job,
        "is_pending": export.state == Export.State.PENDING,
        "is_ready": export.state == Export.State.READY,
        "is_stopping": job is not None and job.cancel_requested,
        "done": done,
        "percent": _percent(done, export.size),
        "expires_at": retention.expiry(export),
    }


def _context_of_import(request: HttpRequest, pk: uuid.UUID) -> dict[str, Any]:
    rows = control.visible(request.user).filter(kind=importing.KIND)
    job = rows.filter(pk=pk).first()
    if job is None:
        raise Http404
    return {
        "job": job,
        "is_pending": not job.is_ended,
        "is_done": job.state == Job.State.DONE,
        "is_stopping": job.cancel_requested,
        "percent": _percent(job.done, job.of),
        "result": job.result or {},
    }


def _percent(done: int, of: int) -> int:
    """Return how far it is, in steps: each is read out."""
    return 100 * done // of // STEP * STEP if of else 0


def _uuid(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise Http404 from None
