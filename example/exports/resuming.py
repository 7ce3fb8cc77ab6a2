"""What earlier attempts of an import stored: found again, and not stored once more."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from django.db import transaction
from django.db.models import Q

from accounts.models import User
from exports.manifest import ArchivedFile
from objects import changing, storing
from objects.models import StoredObject, Version

STATE = Version.State


class Lying:
    """The user's objects in some places, by what is in them; each is taken once.

    Those that an end without a result put among the deleted ones are among them. In the
    transaction that takes one of these back ``hold`` is called first: it may raise.
    """

    def __init__(self, user: User, places: Q, hold: Callable[[], None]) -> None:
        self._user, self._hold = user, hold
        self._found = defaultdict[tuple[str, str], list[StoredObject]](list)
        rows = StoredObject.objects.filter(
            places,
            tenant=user.tenant_id,
            owner=user,
            current__state=STATE.STORED,
        )
        fields = ("pk", "folder", "name", "size", "sha256", "deleted_at")
        for one in rows.order_by("-deleted_at", "pk").only(*fields):
            self._found[one.folder, one.sha256].append(one)

    def missing(self, entries: Iterable[ArchivedFile]) -> dict[str, int]:
        """Return the bytes, and the objects, of the entries that are not there yet."""
        there = Counter[str]()
        for (_folder, sha256), found in self._found.items():
            there[sha256] += len(found)
        needed = {"size": 0, "objects": 0}
        for entry in entries:
            if there[entry.sha256] > 0:
                there[entry.sha256] -= 1
            else:
                needed["size"] += entry.size
                needed["objects"] += 1
        return needed

    def take(
        self, folder: str, name: str, sha256: str, *, is_exact: bool
    ) -> StoredObject | None:
        """Return one of that name, or of another one unless ``is_exact``; else None."""
        found = self._found[folder, sha256]
        # What is there comes before what was deleted.
        found.sort(key=lambda one: (one.name != name, one.deleted_at is not None))
        while found and (found[0].name == name or not is_exact):
            one = found.pop(0)
            if one.deleted_at is None:
                return one
            try:
                with transaction.atomic():
                    self._hold()
                    return changing.undelete(one.pk, actor=self._user)
            except (changing.ObjectGone, changing.ObjectNameTaken):
                continue  # Purged, or something else has its path by now.
        return None


def give_up_pending(
    user: User, places: Q, since: datetime, is_ours: Callable[[Version], bool]
) -> None:
    """Give up what killed attempts were about to store, and what that holds.

    ``is_ours`` tells it from what the user uploads there at the same time: by all that
    a row says, for nothing says what made it. Resumable uploads have rows of their own.
    """
    pending = Version.objects.filter(
        object__in=StoredObject.objects.filter(places, tenant=user.tenant_id),
        created_by=user,
        created_at__gte=since,
        state__in=(STATE.PENDING, STATE.GIVEN_UP),
        upload=None,
    )
    for version in pending.select_related("object"):
        if is_ours(version):
            storing.abandon(version)


def delete_doubles(
    user: User,
    places: Q,
    entries: Iterable[ArchivedFile],
    named: Iterable[Any],
    since: datetime,
) -> None:
    """Delete files of the entries that two attempts stored, and nothing names.

    To be called within the transaction that makes what names the others, and never
    later: what is left unnamed after that, somebody left so.
    """
    contents = {entry.sha256 for entry in entries}
    rows = StoredObject.objects.filter(
        places,
        tenant=user.tenant_id,
        owner=user,
        created_at__gte=since,
        deleted_at=None,
    ).exclude(pk__in=list(named))
    doubles = [one.pk for one in rows.only("pk", "sha256") if one.sha256 in contents]
    changing.delete_all(doubles, actor=user)
