"""The pages of folders and of files: looked at, changed by those of `pages.actions`."""

from __future__ import annotations

import uuid

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import user_of
from accounts.models import User
from objects import access
from objects.access import Access
from objects.conditions import object_etag
from objects.models import StoredObject, Version
from pages import listing
from pages.kinds import extension_of, preview_of
from pages.listing import ListedFolder
from pages.showing import shown, wants_dialog
from sharing import links
from sharing.models import ShareLink

TEXT_BYTES = 64 << 10
"""So much of a text is shown."""
PER_PAGE = 100


@require_safe
def home(request: HttpRequest) -> HttpResponse:
    """Lead to the files, and those who are not signed in to the published events."""
    return redirect("pages:files" if request.user.is_authenticated else "events:list")


@login_required
@require_safe
def files(request: HttpRequest) -> HttpResponse:
    """Show a folder, or what is found in it."""
    user, place = user_of(request), ListedFolder.of(request.GET)
    folders = listing.folders(user, place)
    page = listing.page_of(user, place)
    ids = [one.pk for one in page]
    context = {
        "place": place,
        "folders": folders[: listing.MOST_FOLDERS] if page.number == 1 else [],
        "has_more_folders": len(folders) > listing.MOST_FOLDERS,
        "page": page,
        "columns": listing.columns(place),
        "editable": allowed(user, ids, Access.EDIT),
        "administered": allowed(user, ids, Access.ADMINISTER),
        "here": place.url(),
    }
    response = shown(request, "list", context, target="list")
    if wants_dialog(request) and place.folder != folder_shown(request):
        # The dialog for a new folder led here, and closes: it is gone to.
        response["HX-Push-Url"] = place.url()
    return response


def folder_shown(request: HttpRequest) -> str:
    """Return the folder of the page on which htmx asks, "" where none is told."""
    query = request.headers.get("HX-Current-URL", "").partition("?")[2]
    return ListedFolder.of(QueryDict(query.partition("#")[0])).folder


def allowed(user: User, ids: list[uuid.UUID], wanted: Access) -> set[uuid.UUID]:
    """Return those of the objects to which the user has that access."""
    if not ids:
        return set()
    objects = access.visible(user, wanted, among=ids)
    return set(objects.order_by().values_list("pk", flat=True))


@login_required
@require_safe
def detail(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show a file: a preview of it, its versions, its links, and what can be done."""
    user, found = user_of(request), access.find(request.user, pk)
    may_share = access.allows(user, found, Access.ADMINISTER)
    context = {
        "object": found,
        "place": listing.folder_of(found),
        "preview": preview_of(found),
        "is_archive": found.current is not None and extension_of(found) == ".zip",
        "versions": stored_versions(found),
        "may_edit": may_share or access.allows(user, found, Access.EDIT),
        "may_share": may_share,
        "links": links_of(user, found) if may_share else [],
        "here": reverse("pages:file", args=[pk]),
        "etag": object_etag(found),
    }
    return shown(request, "detail", context, target="detail")


def stored_versions(found: StoredObject) -> QuerySet[Version]:
    """Return the versions that can be had, the newest first."""
    stored = found.versions.filter(state=Version.State.STORED)
    return stored.select_related("created_by").order_by("-number")


def links_of(user: User, found: StoredObject) -> QuerySet[ShareLink]:
    """Return the share links of the object that the user may see."""
    return links.visible(user).filter(object=found).select_related("created_by")


@login_required
@require_safe
def text(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Show the beginning of a text, for the preview."""
    found = access.find(request.user, pk)
    version = found.current
    if version is None or preview_of(found) != "text":
        raise Http404
    with version.storage.open(version.key) as file:
        content = file.read(TEXT_BYTES)
    # The last letter may be cut in two.
    shown_text = content.decode("utf-8", "replace").rstrip("\ufffd")
    context = {
        "object": found,
        "text": shown_text,
        "is_cut": (version.size or 0) > TEXT_BYTES,
    }
    return shown(request, "text", context)


@login_required
@require_safe
def deleted(request: HttpRequest) -> HttpResponse:
    """Show what was deleted and can be had back."""
    user = user_of(request)
    objects = access.visible(user, Access.EDIT).filter(
        tenant=user.tenant_id, deleted_at__isnull=False
    )
    pages = Paginator(objects.order_by("-deleted_at", "pk"), PER_PAGE)
    page = pages.get_page(request.GET.get("page"))
    here = reverse("pages:deleted")
    context = {
        "page": page,
        "days": user.tenant.undo_days,
        "here": here if page.number == 1 else f"{here}?page={page.number}",
        "title": _("Deleted files"),
    }
    return shown(request, "deleted", context, target="deleted")
