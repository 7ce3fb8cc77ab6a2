"""Who may do what to which event: the one place that is asked.

As of objects (``objects.granting``): the creator administers an event, the tenant's
administrators view and edit all of them, others what was granted. A published one
anybody may see.

Photos and slides go with their event: its pages show and change them by the access to
the event. The pages and the API of objects ask for the access to the object itself.
"""

from __future__ import annotations

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.http import Http404

from accounts.models import User
from events.models import Event, EventGroupPermission, EventUserPermission
from objects.granting import Access, Granted

__all__ = ["EVENTS", "Access", "allows", "find", "shown", "visible"]

EVENTS = Granted(
    Event,
    EventUserPermission,
    EventGroupPermission,
    {
        Access.VIEW: "view_event",
        Access.EDIT: "edit_event",
        Access.ADMINISTER: "administer_event",
    },
)


def visible(
    user: User | AnonymousUser, access: Access = Access.VIEW
) -> QuerySet[Event]:
    """Return the events that the user has that access to, published or not."""
    return EVENTS.visible(user, access)


def shown(user: User | AnonymousUser) -> QuerySet[Event]:
    """Return the events whose pages the user may see: theirs, and published ones."""
    mine = visible(user).values("pk")
    return Event.objects.filter(Q(published=True) | Q(pk__in=mine))


def allows(
    user: User | AnonymousUser, event: Event, access: Access = Access.VIEW
) -> bool:
    """Whether the user has that access to the event."""
    return EVENTS.allows(user, event, access)


def decides(user: User, event: Event) -> bool:
    """Whether an editor of the event may also publish it, and delete it.

    Who administers it may, and the tenant's administrators: it is shown to everybody
    then, and a deleted one does not come back.
    """
    return user.is_administrator or allows(user, event, Access.ADMINISTER)


def find(user: User | AnonymousUser, slug: str, access: Access = Access.VIEW) -> Event:
    """Return the event of that address, that the user has that access to.

    Raises Http404 where the user may not see it or there is none, and PermissionDenied
    where they see it and may not do that.
    """
    event = shown(user).filter(slug=slug).first()
    if event is None:
        raise Http404
    if access is not Access.VIEW and not allows(user, event, access):
        raise PermissionDenied
    return event
