"""What is done to files from the pages, by the same functions as from the API."""

from __future__ import annotations

import uuid

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import user_of
from objects import access, changing
from objects.access import Access
from objects.changing import ObjectGone, ObjectNameTaken
from objects.conditions import Conditions, Unmet, object_etag
from objects.models import StoredObject
from pages import files
from pages.forms import NamesForm, NewFolderForm, ShareForm
from pages.listing import ListedFolder, folder_of
from pages.showing import SeeOther, in_dialog, next_of, tell_undo
from pages.templatetags.pages import folder_query
from sharing import links

FORM = require_http_methods(["GET", "HEAD", "POST"])


@login_required
@FORM
def edit(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Rename a file, or move it to another folder."""
    found = access.find(request.user, pk, Access.EDIT)
    form = NamesForm(
        request.POST or None,
        initial={
            "name": found.name,
            "folder": found.folder,
            "etag": object_etag(found),
        },
        label_suffix="",
    )
    if form.is_valid():
        given = form.cleaned_data
        # What somebody else changed meanwhile is not overwritten unseen.
        conditions = Conditions(match=(given["etag"],) if given["etag"] else None)
        try:
            changed = changing.rename(
                pk,
                actor=user_of(request),
                name=given["name"],
                folder=given["folder"],
                conditions=conditions,
            )
        except ObjectNameTaken:
            form.add_error("name", _("There is another file of this name there."))
        except Unmet:
            form.add_error(
                None,
                _("Somebody changed it meanwhile: load the page again, and look."),
            )
        except ObjectGone:
            raise Http404 from None
        else:
            messages.success(request, said_of(found, changed))
            return SeeOther(next_of(request) or folder_of(changed).url())
    context = {
        "form": form,
        "object": found,
        "title": _("Rename or move"),
        "action": reverse("pages:edit", args=[pk]),
        "button": _("Save"),
    }
    return in_dialog(request, "form", context, status=422 if form.is_bound else 200)


def said_of(before: StoredObject, after: StoredObject) -> str:
    """Return what became of the file, in words."""
    if before.folder == after.folder:
        return _("“%(name)s” is saved.") % {"name": after.name}
    folder = after.folder or _("the top folder")
    return _("“%(name)s” is in %(folder)s now.") % {
        "name": after.name,
        "folder": folder,
    }


@login_required
@FORM
def new_folder(request: HttpRequest) -> HttpResponse:
    """Go to a folder that nothing is in yet."""
    place = ListedFolder.of(request.GET)
    form = NewFolderForm(request.POST or None, label_suffix="")
    if form.is_valid():
        path = "/".join(filter(None, [place.folder, form.cleaned_data["name"]]))
        return SeeOther(ListedFolder(path).url())
    context = {
        "form": form,
        "title": _("New folder"),
        "said": _("A folder is there for all once something is in it."),
        "action": reverse("pages:new-folder") + folder_query(place.folder),
        "button": _("Go there"),
    }
    return in_dialog(request, "form", context, status=422 if form.is_bound else 200)


@login_required
@require_POST
def delete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Delete a file; the message that follows can undo it."""
    found = access.find(request.user, pk, Access.EDIT)
    try:
        changing.delete(pk, actor=user_of(request))
    except ObjectGone:
        raise Http404 from None
    undo = reverse("pages:undelete", args=[pk])
    tell_undo(request, _("“%(name)s” was deleted.") % {"name": found.name}, undo)
    return SeeOther(next_of(request) or folder_of(found).url())


@login_required
@require_POST
def undelete(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Undo a deletion."""
    found = access.find(request.user, pk, Access.EDIT, deleted=True)
    try:
        changing.undelete(pk, actor=user_of(request))
    except ObjectNameTaken:
        messages.error(
            request,
            _(
                "“%(name)s” can't come back while another file has its name. Rename "
                "that one, then try again."
            )
            % {"name": found.name},
        )
        return SeeOther(reverse("pages:deleted"))
    except ObjectGone:
        raise Http404 from None
    messages.success(request, _("“%(name)s” is back.") % {"name": found.name})
    return SeeOther(next_of(request) or folder_of(found).url())


@login_required
@require_POST
def restore(request: HttpRequest, pk: uuid.UUID, number: int) -> HttpResponse:
    """Make an old version of a file the newest."""
    found = access.find(request.user, pk, Access.EDIT)
    version = get_object_or_404(files.stored_versions(found), number=number)
    try:
        changing.restore(version, actor=user_of(request))
    except ObjectGone:
        raise Http404 from None
    messages.success(
        request, _("Version %(number)s is the newest again.") % {"number": number}
    )
    return SeeOther(reverse("pages:file", args=[pk]))


@login_required
@FORM
def share(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Make a link by which anybody may download a file, and show it, this once."""
    found, user = access.find(request.user, pk, Access.ADMINISTER), user_of(request)
    form = ShareForm(request.POST or None, label_suffix="")
    url, status = "", 200
    if form.is_valid():
        _link, token = links.create(
            found,
            user,
            expires_at=form.expires_at,
            max_downloads=form.cleaned_data["max_downloads"],
        )
        url = request.build_absolute_uri(reverse("share", args=[token]))
        form = ShareForm(label_suffix="")
    elif form.is_bound:
        status = 422
    context = {
        "form": form,
        "object": found,
        "url": url,
        "links": files.links_of(user, found),
        "title": _("Share “%(name)s”") % {"name": found.name},
        "action": reverse("pages:share", args=[pk]),
    }
    return in_dialog(request, "share", context, status=status)


@login_required
@require_POST
def revoke(request: HttpRequest, pk: uuid.UUID, link: uuid.UUID) -> HttpResponse:
    """Let a link lead nowhere any more."""
    found, user = access.find(request.user, pk), user_of(request)
    links.revoke(
        get_object_or_404(links.visible(user), pk=link, object=found), actor=user
    )
    messages.success(request, _("The link leads nowhere any more."))
    return SeeOther(next_of(request) or reverse("pages:file", args=[pk]))
