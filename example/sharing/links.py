"""Share links: made, revoked, opened and counted.

Whether the caller may is asked before, of ``objects.access``; opening asks nobody but
the token.
"""

from __future__ import annotations

import hashlib
import secrets
from datetime import datetime, timedelta
from typing import Any

from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.http import Http404
from django.utils import timezone

from accounts.models import User
from audit.actions import Action
from audit.recording import record
from objects import access
from objects.access import Access
from objects.models import StoredObject
from sharing.models import EndedLink, ShareLink

TOKEN_BYTES = 32
KEPT = timedelta(days=366)
"""So long a token whose link is gone is no guess: who has it may click on."""


class Unknown(Http404):
    """No link has, or had until not long ago, this token."""


def create(
    found: StoredObject, user: User, *, expires_at: datetime, max_downloads: int | None
) -> tuple[ShareLink, str]:
    """Return a new link of the user's and its token, which is kept nowhere."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with transaction.atomic():
        link = ShareLink.objects.create(
            object=found,
            created_by=user,
            token_sha256=_hash(token),
            expires_at=expires_at,
            max_downloads=max_downloads,
        )
        record(
            Action.SHARE_CREATE,
            found,
            tenant_id=found.tenant_id,
            actor=user,
            share=str(link.pk),
            expires_at=expires_at.isoformat(),
            max_downloads=max_downloads,
        )
    return link, token


def visible(user: User) -> QuerySet[ShareLink]:
    """Return the links of objects that the user administers, and to a tenant's
    administrators all of its objects'.
    """
    seen = Q(object__in=access.visible(user, Access.ADMINISTER))
    if user.is_active and user.is_administrator:
        seen |= Q(object__tenant=user.tenant_id)
    links = ShareLink.objects.filter(seen, object__deleted_at=None)
    return links.select_related("object")


def revoke(link: ShareLink, *, actor: User) -> None:
    """Let the link lead nowhere any more; revoking it again does nothing."""
    with transaction.atomic():
        if ShareLink.objects.filter(pk=link.pk, revoked_at=None).update(
            revoked_at=timezone.now()
        ):
            record(
                Action.SHARE_REVOKE,
                link.object,
                tenant_id=link.object.tenant_id,
                actor=actor,
                share=str(link.pk),
            )


def find(token: str) -> ShareLink:
    """Return the link of the token.

    Raises Http404, without a word why, where there is none (Unknown), it is revoked,
    expired or used up, its object is deleted, or its creator is inactive or does not
    administer the object any more.
    """
    link = (
        ShareLink.objects.usable()
        .filter(token_sha256=_hash(token), object__deleted_at=None)
        .exclude(object__current=None)
        .select_related("object__current", "created_by__tenant")
        .first()
    )
    if link is None and not _was_good(token):
        raise Unknown
    if link is None or not access.allows(
        link.created_by, link.object, Access.ADMINISTER
    ):
        raise Http404
    return link


def _was_good(token: str) -> bool:
    """Whether a link has, or had until not long ago, this token."""
    kinds: tuple[QuerySet[Any], ...]
    kinds = ShareLink.objects.all(), EndedLink.objects.all()
    return any(rows.filter(token_sha256=_hash(token)).exists() for rows in kinds)


def remember(instance: ShareLink, **kwargs: Any) -> None:
    """Keep the hash of the token of a link whose row goes, in that transaction."""
    EndedLink.objects.create(token_sha256=instance.token_sha256)


def forget_old() -> int:
    """Delete what was kept of links for its time, and return of how many."""
    old = EndedLink.objects.filter(ended_at__lt=timezone.now() - KEPT)
    return old.delete()[0]


def count(link: ShareLink) -> None:
    """Count one download; raises Http404 where there was none left.

    One UPDATE with its condition in it decides, so that however many come at once,
    no more are let through than there are.
    """
    with transaction.atomic():
        counted = ShareLink.objects.usable().filter(pk=link.pk)
        if not counted.update(downloads=F("downloads") + 1):
            raise Http404
        record(
            Action.SHARE_DOWNLOAD,
            link.object,
            tenant_id=link.object.tenant_id,
            actor=None,
            share=str(link.pk),
        )


def _hash(token: str) -> str:
    # Tokens are random: a hash without salt or work can't be turned around.
    return hashlib.sha256(token.encode(errors="surrogatepass")).hexdigest()
