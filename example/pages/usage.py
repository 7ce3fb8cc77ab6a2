"""What a tenant uses of what it may use, in numbers and as charts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from typing import Any

from django.contrib.auth.decorators import login_required
from django.db.models import (
    Case,
    Count,
    F,
    IntegerField,
    Q,
    QuerySet,
    Sum,
    Value,
    When,
)
from django.db.models.functions import Coalesce, Left, StrIndex
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_safe

from accounts.access import operates, user_of
from accounts.models import Tenant, User
from exports.models import Export
from objects.models import StoredObject, Version
from pages.listing import seen

MOST = 8
"""Rows of a chart; what is left is one more."""
DAYS = 30


@dataclass(frozen=True)
class Row:
    """A bar: what it is of, and its length in hundredths of the longest."""

    label: str
    bytes: int
    objects: int
    length: float
    folder: str | None = None
    """Where its files are listed; None where they are in no one folder."""


@dataclass(frozen=True)
class Day:
    """A column: bytes uploaded on a day, and where it stands in the drawing."""

    day: date
    bytes: int
    x: float
    y: float
    height: float


@dataclass(frozen=True)
class BarPiece:
    """A piece of the bar of what may be used, in hundredths of it."""

    name: str
    label: str
    bytes: int
    start: float
    length: float


@login_required
@require_safe
def usage(request: HttpRequest) -> HttpResponse:
    """Show it: the tenant's counts, and of the files that one sees where they are."""
    user = user_of(request)
    tenant = Tenant.objects.get(pk=user.tenant_id)
    objects = seen(user).filter(current__isnull=False)
    folders, types = by_folder_and_type(objects)
    days = by_day(user)
    context = {
        "tenant": tenant,
        "parts": parts_of(tenant),
        "folders": folders,
        "types": types,
        "days": days,
        "uploaded": sum(day.bytes for day in days),
        "tenants": by_tenant() if operates(user) else None,
        "day_count": DAYS,
    }
    return render(request, "pages/usage.html", context)


def parts_of(tenant: Tenant) -> list[BarPiece]:
    """Return what the tenant's bytes are: used, under way, and free.

    Exports are no files: they are counted apart, and so are those that are being made.
    """
    deleted = Version.objects.filter(
        object__tenant=tenant,
        object__deleted_at__isnull=False,
        state__in=Version.COUNTED,
    ).aggregate(size=Coalesce(Sum("size"), 0))["size"]
    of_exports = Export.objects.filter(tenant=tenant).aggregate(
        ready=Coalesce(Sum("size", filter=Q(ready_at__isnull=False)), 0),
        making=Coalesce(Sum("reserved"), 0),
    )
    exports, making = of_exports["ready"], of_exports["making"]
    files = max(tenant.used_bytes - deleted - exports, 0)
    sizes = [
        ("used", _("files and their versions"), files),
        ("deleted", _("deleted, and not yet gone"), deleted),
        ("exports", _("exports"), exports),
        ("reserved", _("being uploaded"), max(tenant.reserved_bytes - making, 0)),
        ("making", _("exports being made"), making),
    ]
    always = ("used", "deleted", "reserved")
    sizes = [one for one in sizes if one[2] or one[0] in always]
    taken = sum(size for _name, _label, size in sizes)
    if tenant.max_bytes is not None:
        sizes.append(("free", _("free"), max(tenant.max_bytes - taken, 0)))
    whole = sum(size for _name, _label, size in sizes) or 1
    found, start = [], 0.0
    for name, label, size in sizes:
        length = 100 * size / whole
        found.append(BarPiece(name, label, size, round(start, 3), round(length, 3)))
        start += length
    return found


def by_folder_and_type(objects: QuerySet[StoredObject]) -> tuple[list[Row], list[Row]]:
    """Return what is in each folder at the top, with all below it, and of each type.

    One query tells both: which objects somebody sees takes longest to find.
    """
    end = StrIndex("folder", Value("/"))
    grouped: Any = (
        objects.annotate(end=end)
        .annotate(
            top=Case(
                When(end=0, then=F("folder")), default=Left("folder", F("end") - 1)
            )
        )
        .values("top", "content_type")
        .annotate(bytes=Sum("size"), count=Count("pk"))
        .order_by()
    )
    folders: dict[str, tuple[int, int]] = {}
    types: dict[str, tuple[int, int]] = {}
    for one in grouped.iterator():
        for sums, name in ((folders, one["top"]), (types, one["content_type"])):
            size, count = sums.get(name, (0, 0))
            sums[name] = size + one["bytes"], count + one["count"]
    return (
        rows(_largest_first(folders)),
        rows(
            (
                (name or _("unknown"), size, count)
                for name, size, count in _largest_first(types)
            ),
            are_folders=False,
        ),
    )


def _largest_first(sums: dict[str, tuple[int, int]]) -> list[tuple[str, int, int]]:
    found = [(name, size, count) for name, (size, count) in sums.items()]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def by_tenant() -> list[Row]:
    """Return what each tenant uses, all versions and what is deleted included."""
    found = Tenant.objects.order_by("-used_bytes", "name")[:1000]
    return rows(
        ((one.name, one.used_bytes, one.used_objects) for one in found),
        are_folders=False,
    )


def rows(
    sums: Iterable[tuple[str, int, int]], *, are_folders: bool = True
) -> list[Row]:
    """Return the longest bars, and one for the rest."""
    found = list(sums)
    first, rest = found[:MOST], found[MOST:]
    longest = max([size for _name, size, _count in found], default=0) or 1

    def row(label: str, size: int, count: int, folder: str | None) -> Row:
        length = min(100.0, round(100 * size / longest, 2))
        return Row(label, size, count, length, folder)

    made = [
        row(name or _("Files in no folder"), size, count, name if are_folders else None)
        for name, size, count in first
    ]
    if rest:
        size, count = sum(one[1] for one in rest), sum(one[2] for one in rest)
        made.append(row(_("everything else"), size, count, None))
    return made


def by_day(user: User) -> list[Day]:
    """Return what was uploaded on each of the last days, in files that one sees."""
    today = timezone.localdate()
    first = today - timedelta(days=DAYS - 1)
    # Compared as times: as a date each version's would have to be made into one, which
    # Django does in Python on SQLite.
    begins = [
        timezone.make_aware(datetime.combine(first + timedelta(days=number), time.min))
        for number in range(DAYS)
    ]
    since = [
        When(versions__created_at__gte=begins[number], then=Value(number))
        for number in reversed(range(DAYS))
    ]
    found = (
        seen(user)
        .filter(
            versions__state=Version.State.STORED, versions__created_at__gte=begins[0]
        )
        .annotate(day=Case(*since, output_field=IntegerField()))
        .values("day")
        .annotate(bytes=Sum("versions__size"))
        .order_by("day")
    )
    sizes = {one["day"]: one["bytes"] or 0 for one in found}
    most = max(sizes.values(), default=0) or 1
    days = []
    for number in range(DAYS):
        day = first + timedelta(days=number)
        size = sizes.get(number, 0)
        # A day on which little came is seen all the same.
        height = max(100 * size / most, 1.5) if size else 0
        days.append(
            Day(day, size, number * 10 + 1, round(100 - height, 2), round(height, 2))
        )
    return days
