"""What the templates of the pages ask for: the navigation, undoing, sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django import template
from django.contrib.messages.storage.base import Message
from django.template import Context
from django.urls import NoReverseMatch, reverse
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy as _

from objects.models import StoredObject
from pages.kinds import has_thumbnail, preview_of
from pages.listing import ListedFolder

register = template.Library()
PLACES = (
    (_("Files"), "pages:files", False),
    (_("Events"), "events:list", False),
    (_("Exports"), "exports:list", False),
    (_("Usage"), "pages:usage", False),
    (_("Status"), "pages:status", True),
)
"""Of the navigation: label, name of the URL, whether for administrators only."""
UNDO = "undo:"
ICONS = {
    "folder": '<path d="M3 6.5A1.5 1.5 0 0 1 4.5 5H9l2 2h8.5A1.5 1.5 0 0 1 21 8.5v9'
    'A1.5 1.5 0 0 1 19.5 19h-15A1.5 1.5 0 0 1 3 17.5z"/>',
    "file": '<path d="M6 3h8l5 5v13H6z"/><path d="M14 3v5h5"/>',
    "image": '<path d="M4 5h16v14H4z"/><path d="m4 16 5-5 4 4 3-3 4 4"/>'
    '<circle cx="15.5" cy="9" r="1.5"/>',
    "video": '<path d="M4 5h16v14H4z"/><path d="m10 9 5 3-5 3z"/>',
    "audio": '<path d="M9 18V6l10-2v12"/><circle cx="6.5" cy="18" r="2.5"/>'
    '<circle cx="16.5" cy="16" r="2.5"/>',
    "text": '<path d="M6 3h8l5 5v13H6z"/><path d="M9 12h7M9 15h7M9 18h4"/>',
}
"""Paths of drawings of 24 by 24; style sheets colour them."""


@dataclass(frozen=True)
class NavigationLink:
    """One of the navigation."""

    label: Any
    url: str
    is_current: bool


@register.simple_tag(takes_context=True)
def navigation(context: Context) -> list[NavigationLink]:
    """Return the links to the parts of the site that are there."""
    request, user = context.get("request"), context.get("user")
    path = getattr(request, "path", "")
    found = []
    for label, name, administrators in PLACES:
        if administrators and not getattr(user, "is_administrator", False):
            continue
        try:
            url = reverse(name)
        except NoReverseMatch:
            continue
        found.append(NavigationLink(label, url, url != "/" and path.startswith(url)))
    return found


@register.filter
def undo_url(message: Message) -> str:
    """Return where a form undoes what the message tells of, or the empty string."""
    tags = (message.extra_tags or "").split()
    return next((t.removeprefix(UNDO) for t in tags if t.startswith(UNDO)), "")


@register.simple_tag
def folder_url(folder: str, name: str = "") -> str:
    """Return the page of a folder, or of one of a name in it."""
    return ListedFolder("/".join(filter(None, [folder, name]))).url()


@register.simple_tag
def folder_query(folder: str) -> str:
    """Return the query that names the folder; none for the top one."""
    return f"?{urlencode({'folder': folder})}" if folder else ""


@register.simple_tag
def page_url(place: ListedFolder, number: int) -> str:
    """Return another page of what is listed."""
    return place.url(page=number)


@register.simple_tag
def icon(name: str) -> SafeString:
    """Return a small drawing that says nothing to who does not see it."""
    return format_html(
        '<svg class="icon {0}" viewBox="0 0 24 24" width="24" height="24" '
        'aria-hidden="true" focusable="false">{1}</svg>',
        name,
        # The icons are this application's own.
        mark_safe(ICONS[name]),  # noqa: S308
    )


@register.simple_tag
def thumbnail(found: StoredObject) -> SafeString:
    """Return what stands before a file's name: a small picture, or what kind it is."""
    if has_thumbnail(found) and found.current is not None:
        return format_html(
            '<img class="thumb" data-thumbnail src="{}?v={}" alt="" width="40" '
            'height="40" loading="lazy">',
            reverse("pages:thumbnail", args=[found.pk]),
            found.current.number,
        )
    kind = preview_of(found)
    return icon(kind if kind in ICONS else "file")


@register.filter
def unlocalised(number: float) -> str:
    """Return a number as drawings have it, in whatever language the page is."""
    return f"{number:g}"
