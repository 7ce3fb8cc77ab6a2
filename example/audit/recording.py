"""Writing down what is done, in the transaction that does it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import models, transaction
from django.db.models import QuerySet

from accounts.models import User
from accounts.prepared import PreparedInsert
from audit.actions import Action
from audit.models import ERASED, Entry, EntryQuerySet
from config import locks

_ADD = PreparedInsert(Entry)


def record(
    action: Action,
    target: models.Model,
    *,
    tenant_id: int | None,
    actor: User | AnonymousUser | None,
    **details: str | int | bool | None,
) -> Entry:
    """Add an entry; the actor is None for commands and for visitors.

    ``details`` name people by their numbers only, and hold no password, token or cap.
    To be called within the transaction of the change, so that neither is there without
    the other: raises TransactionManagementError outside of one.
    """
    _check_transaction()
    entry = _entry(action, target, tenant_id, actor, details)
    _ADD(entry)
    return entry


def record_all(action: Action, targets: Iterable[Any], *, actor: User | None) -> None:
    """Add an entry for each of what tenants own, as `record` does, by few queries."""
    _check_transaction()
    entries = [_entry(action, one, one.tenant_id, actor, {}) for one in targets]
    Entry.objects.bulk_create(entries, batch_size=500)


def _check_transaction() -> None:
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "The audit records within the transaction of the change."
        )


def _entry(
    action: Action,
    target: models.Model,
    tenant_id: int | None,
    actor: User | AnonymousUser | None,
    details: dict[str, Any],
) -> Entry:
    known = actor if isinstance(actor, User) else None
    return Entry(
        action=action,
        tenant_id=tenant_id,
        actor_id=None if known is None else known.pk,
        actor_name="" if known is None else known.username,
        target_type=str(target._meta.model_name),
        target_id=str(target.pk),
        target_name=str(target)[:1000],
        details=details,
    )


def erase_names(user_id: int) -> None:
    """Erase a person's name from all entries.

    What was done, when, and the numbers stay: the user's is the pseudonym.
    """
    theirs = Entry.objects.filter(actor_id=user_id).exclude(actor_name=ERASED)
    _erase(theirs, EntryQuerySet.erase_actor)
    about = Entry.objects.filter(target_type="user", target_id=str(user_id))
    _erase(about.exclude(target_name=ERASED), EntryQuerySet.erase_target)


def erase_things(model: type[models.Model], ids: Iterable[Any]) -> None:
    """Erase the names of these rows from all entries, with the entries' details."""
    left = iter(ids)
    while some := [str(one) for one in islice(left, 500)]:
        entries = Entry.objects.filter(
            target_type=str(model._meta.model_name), target_id__in=some
        )
        _erase(entries.exclude(target_name=ERASED), EntryQuerySet.erase_target)


def _erase(entries: EntryQuerySet, how: Callable[[EntryQuerySet], None]) -> None:
    """Erase names from the entries, locked in the order that they were written in.

    Another person's, who is erased at the same time, may be among them.
    """
    with transaction.atomic():
        list(locks.locked(entries.only("pk").order_by("pk")))
        how(entries)


def made_and_gone(
    user_id: int, action: Action, model: type[models.Model]
) -> Iterator[str]:
    """Yield the ids of the rows that a user made by this action and that are gone."""
    made = Entry.objects.filter(actor_id=user_id, action=action)
    if action == Action.UPLOAD_GIVE_UP:
        # Of an object that there was, another's maybe, it was a later version.
        made = made.filter(details__version=1)
    yield from _gone(made, model)


def owned_and_gone(user_id: int, model: type[models.Model]) -> Iterator[str]:
    """Yield the ids of the rows that were the user's, whoever made them, and are gone.

    So say the entries of what ends rows, by an ``owner`` among their details.
    """
    yield from _gone(
        Entry.objects.filter(
            action__in=(Action.OBJECT_PURGE, Action.UPLOAD_GIVE_UP),
            details__owner=user_id,
        ),
        model,
    )


def is_named(target: models.Model) -> bool:
    """Whether entries name it, other than of an upload that was given up."""
    entries = Entry.objects.filter(
        target_type=str(target._meta.model_name), target_id=str(target.pk)
    )
    return entries.exclude(action=Action.UPLOAD_GIVE_UP).exists()


def _gone(entries: QuerySet[Entry], model: type[models.Model]) -> Iterator[str]:
    found = entries.order_by("id").values_list("target_id", flat=True)
    ids = iter(list(found))
    while some := list(islice(ids, 500)):
        there = model._base_manager.filter(pk__in=some).values_list("pk", flat=True)
        yield from set(some) - set(map(str, there))
