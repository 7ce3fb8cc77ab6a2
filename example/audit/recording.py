"""Writing down what is done, in the transaction that does it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db import models, transaction

from accounts.models import User
from audit.actions import Action
from audit.models import Entry


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
    if not transaction.get_connection().in_atomic_block:
        raise transaction.TransactionManagementError(
            "The audit records within the transaction of the change."
        )
    known = actor if isinstance(actor, User) else None
    return Entry.objects.create(
        action=action,
        tenant_id=tenant_id,
        actor_id=None if known is None else known.pk,
        actor_name="" if known is None else known.username,
        target_type=str(target._meta.model_name),
        target_id=str(target.pk),
        target_name=str(target)[:1000],
        details=details,
    )


def erase_names(user_id: int, object_ids: Iterable[Any] = ()) -> None:
    """Erase a person's name from all entries, and the names of objects of theirs.

    What was done, when, and the numbers stay: the user's is the pseudonym.
    """
    Entry.objects.filter(actor_id=user_id).erase_actor()
    Entry.objects.filter(target_type="user", target_id=str(user_id)).erase_target()
    ids = [str(one) for one in object_ids]
    for start in range(0, len(ids), 500):
        Entry.objects.filter(
            target_type="storedobject", target_id__in=ids[start : start + 500]
        ).erase_target()
