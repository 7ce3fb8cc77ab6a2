"""A folder as somebody sees it: the folders in it, and a page of its objects."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from django.core.exceptions import ValidationError
from django.core.paginator import Page, Paginator
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import Http404, QueryDict
from django.urls import reverse

from accounts.models import User
from objects import access, finding, names
from objects.models import StoredObject

PER_PAGE = 100
MOST_FOLDERS = 500
"""Folders shown in one; more are found by searching."""
SORTS = {
    "name": ("name", "pk"),
    "-name": ("-name", "pk"),
    "size": ("size", "name", "pk"),
    "-size": ("-size", "name", "pk"),
    "changed": ("updated_at", "pk"),
    "-changed": ("-updated_at", "pk"),
}
USUAL_SORT = "name"


@dataclass(frozen=True)
class ListedFolder:
    """A folder that is looked at, ``""`` for the top one, or what is searched in it."""

    folder: str = ""
    search: str = ""
    sort: str = USUAL_SORT
    page: int = 1

    @classmethod
    def of(cls, given: QueryDict) -> ListedFolder:
        """Return the place of a request; raises Http404 where no folder can be so."""
        try:
            folder = names.clean_folder(given.get("folder", ""))
        except ValidationError:
            raise Http404 from None
        sort = given.get("sort", USUAL_SORT)
        page = given.get("page", "1")
        return cls(
            folder,
            given.get("q", "").strip()[:200].replace("\0", ""),
            sort if sort in SORTS else USUAL_SORT,
            int(page[:9]) if page.isascii() and page.isdecimal() else 1,
        )

    def url(self, **changed: Any) -> str:
        """Return the page that shows it, with something of it changed."""
        parts: dict[str, Any] = {
            "folder": self.folder,
            "q": self.search,
            "sort": "" if self.sort == USUAL_SORT else self.sort,
            "page": "" if self.page == 1 else self.page,
        } | changed
        query = urlencode({key: value for key, value in parts.items() if value})
        return reverse("pages:files") + (f"?{query}" if query else "")

    @property
    def crumbs(self) -> list[tuple[str, str]]:
        """Each folder on the way here by name and by path, the top one left out."""
        parts = self.folder.split("/") if self.folder else []
        return [
            (part, "/".join(parts[: number + 1])) for number, part in enumerate(parts)
        ]

    @property
    def name(self) -> str:
        return self.folder.rpartition("/")[2]


@dataclass(frozen=True)
class Column:
    """The head of a column by which the list can be sorted."""

    key: str
    direction: str
    """What ``aria-sort`` says."""
    url: str
    """The page that is sorted by it, or the other way round."""


def columns(place: ListedFolder) -> dict[str, Column]:
    """Return the heads of the columns by key."""
    found = {}
    for key in ("name", "size", "changed"):
        direction, other = "none", key if key == "name" else f"-{key}"
        if place.sort.removeprefix("-") == key:
            is_down = place.sort.startswith("-")
            direction = "descending" if is_down else "ascending"
            other = key if is_down else f"-{key}"
        sort = "" if other == USUAL_SORT else other
        found[key] = Column(key, direction, place.url(sort=sort, page=""))
    return found


def seen(user: User, *, each: bool = False) -> QuerySet[StoredObject]:
    """Return the objects of the user's own tenant that they may see.

    An administrator of the super-tenant may see those of all, by the API. ``each`` is
    for those of one folder (`Granted.visible`).
    """
    objects = access.visible(user, each=each).filter(tenant=user.tenant_id)
    return objects.filter(deleted_at__isnull=True)


def folders(user: User, place: ListedFolder) -> list[str]:
    """Return the names of the folders in the folder, at most MOST_FOLDERS and one.

    Three queries at most, whatever is in them: the database goes through the paths of
    the tenant's folders, and looks into each for an object that the user may see.
    """
    if place.search:
        return []
    start = f"{place.folder}/" if place.folder else ""
    there = StoredObject.objects.filter(
        finding.starts_with(start) if start else Q(folder__gt=""),
        tenant=user.tenant_id,
        deleted_at__isnull=True,
    )
    each = not user.is_administrator and access.OBJECTS.has_many(user)
    some = Exists(seen(user, each=each).filter(folder=OuterRef("folder")))
    # With the count it is asked of each folder (HAVING), and not of each object.
    paths = (
        there.values("folder")
        .annotate(count=Count("*"))
        .filter(Q(count=0) | Q(some))
        .order_by("folder")
        .values_list("folder", flat=True)
    )
    found: dict[str, None] = {}
    for path in paths.iterator():
        found[path[len(start) :].partition("/")[0]] = None
        if len(found) > MOST_FOLDERS:
            break
    return list(found)


def objects_in(user: User, place: ListedFolder) -> QuerySet[StoredObject]:
    """Return the objects of the folder; with a search, those in it at any depth."""
    if not place.search:
        found = seen(user, each=True).filter(folder=place.folder)
    else:
        found = seen(user)
        # As names are.
        words = unicodedata.normalize("NFC", place.search).split()
        for word in words[: finding.MOST_WORDS]:
            found = found.filter(Q(name__icontains=word) | Q(folder__icontains=word))
        found = found.filter(finding.below(place.folder))
    return found.order_by(*SORTS[place.sort]).select_related("current")


def page_of(user: User, place: ListedFolder) -> Page[StoredObject]:
    """Return a page of them, the last one where there are fewer."""
    return Paginator(objects_in(user, place), PER_PAGE).get_page(place.page)


def folder_of(found: StoredObject) -> ListedFolder:
    """Return the place that lists the object."""
    return ListedFolder(found.folder)
