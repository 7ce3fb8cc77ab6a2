"""Who may see, fetch and delete which exports: those who may export the same.

An administrator of the super-tenant all of them, a tenant's administrator those of the
tenant; whoever started an export of a folder that one, for it has what they may see;
and those of an event whoever may edit the event now.
"""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.db.models import Q, QuerySet
from django.http import Http404

from accounts.models import User
from events import access as event_access
from events.models import Event
from exports.models import Export
from objects.access import may_anything

Kind = Export.Kind


def editable_events(user: User) -> QuerySet[Event]:
    """Return the events that the user may edit, and so export."""
    return event_access.visible(user, event_access.Access.EDIT)


def visible(user: User | AnonymousUser) -> QuerySet[Export]:
    """Return the exports that the user may see; the database decides."""
    rows = Export.objects.exclude(state=Export.State.GOING)
    if not may_anything(user):
        return rows.none()
    if user.is_super_administrator:
        return rows
    of_tenant = rows.filter(tenant=user.tenant_id)
    if user.is_administrator:
        return of_tenant
    own = Q(owner=user.pk) & (Q(kind=Kind.FOLDER) | Q(event=None))
    return of_tenant.filter(own | Q(event__in=editable_events(user)))


def find(user: User | AnonymousUser, pk: Any) -> Export:
    """Return the export; raises Http404 where the user may not see it."""
    rows = visible(user).select_related("job", "tenant", "owner", "event")
    found = rows.filter(pk=pk).first()
    if found is None:
        raise Http404
    return found
