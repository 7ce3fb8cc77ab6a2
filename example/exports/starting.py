"""Exports are started, cancelled and pinned: each in one transaction."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from accounts.models import Tenant, User
from audit.actions import Action
from audit.recording import record
from events.models import Event
from exports import places
from exports.models import Export
from jobs import control
from jobs.models import Job
from jobs.starting import start

KIND = "exports.export"


def start_folder(user: User, folder: str, *, site: str = "") -> Export:
    """Start an export of what the user may see in a folder of the own tenant's."""
    label = folder.rpartition("/")[2] or user.tenant.name
    export = Export(kind=Export.Kind.FOLDER, folder=folder, label=label)
    return _start(export, user, user.tenant, site)


def start_event(user: User, event: Event, *, site: str = "") -> Export:
    """Start an export of an event, which the user may edit."""
    export = Export(kind=Export.Kind.EVENT, event=event, label=event.name)
    return _start(export, user, event.tenant, site)


def _start(export: Export, user: User, tenant: Tenant, site: str) -> Export:
    export.tenant, export.owner, export.site = tenant, user, site[:200]
    export.store, export.path = places.store_for(tenant), places.path_for(export)
    with transaction.atomic():
        arguments = {"export": str(export.pk)}
        export.job = start(KIND, owner=user, tenant=tenant, arguments=arguments)
        export.save(force_insert=True)
        note(Action.EXPORT_START, export, user, kind=export.kind)
    return export


def begin_again(job: Job) -> None:
    """Let an export be made still whose job is tried again, unless it is deleted."""
    came_to_nothing = (Export.State.FAILED, Export.State.CANCELLED)
    rows = Export.objects.filter(job=job, state__in=came_to_nothing)
    rows.update(state=Export.State.PENDING, error="")


def cancel(export: Export, *, actor: User) -> bool:
    """Let its job end; False where it has ended already."""
    return export.job is not None and control.cancel(export.job, actor=actor)


def pin(export: Export, is_pinned: bool, *, actor: User) -> None:
    """Let it stay however old it becomes, or not any more."""
    with transaction.atomic():
        rows = Export.objects.filter(pk=export.pk).exclude(state=Export.State.GOING)
        if rows.exclude(is_pinned=is_pinned).update(is_pinned=is_pinned):
            note(Action.EXPORT_PIN, export, actor, pinned=is_pinned)
    export.is_pinned = is_pinned


def note(action: Action, export: Export, actor: User | None, **details: Any) -> None:
    """Write down in the audit what is done to an export."""
    record(action, export, tenant_id=export.tenant_id, actor=actor, **details)
