"""Requests with an Idempotency-Key: done once, however often they are sent.

A client that did not get the answer sends the same again. The first result is kept for
a day, per user and key. Nothing of a body is kept but its hash, which is known when the
body was read: so a repeat is read to its end, and stored nowhere.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response

from api.models import OnceRequest
from api.problems import Problem
from config.renewing import renewed
from objects.incoming import IncomingFile
from objects.models import Version

KEPT = timedelta(days=1)
LEASE = timedelta(minutes=5)
RENEWED = 30.0  # seconds
HEADERS = ("ETag", "Location")
LONGEST = 255


def once(
    request: Request,
    content: IncomingFile,
    parameters: Mapping[str, str],
    act: Callable[[], Version],
    respond: Callable[[Version], Response],
) -> Response:
    """Return the response to what ``act`` stored, or what it was the first time.

    Without the header each request is the first. ``parameters`` are what decides about
    the result beside method, path and content. Raises Problem: 400 where the key is
    none, 409 while the first is under way, 422 where the first was another request; and
    what ``act`` does. What failed may be tried again under the same key. ``act`` stores
    the content by ``objects.storing``, which calls ``before_stored`` and ``on_stored``
    of it in the transaction that does so: it is stored once also where this process is
    killed, or was held up for longer than a lease.
    """
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return respond(act())
    if not (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
        message = _("A key has 1 to %(most)s printable ASCII characters.")
        raise Problem(400, message % {"most": LONGEST}, "bad_key")
    mark, is_first = _claim(request, key, _hash_of(request, content, parameters))
    if not is_first:
        return _repeated(mark, content)
    kept: list[Response] = []

    def keep(version: Version) -> None:
        response = respond(version)
        _mine(mark).update(
            status=response.status_code,
            headers={name: response[name] for name in HEADERS if name in response},
            body=response.data,
            content=content.sha256,
        )
        kept.append(response)

    content.before_stored, content.on_stored = partial(_confirm, mark), keep
    try:
        with renewed(partial(_renew, mark), RENEWED, "A request that is done once"):
            act()
    except BaseException:
        _mine(mark).delete()  # None where it was stored all the same.
        raise
    return kept[-1]


def _hash_of(
    request: Request, content: IncomingFile, parameters: Mapping[str, str]
) -> str:
    known = [request.method, request.path, content.size, content.content_type]
    text = json.dumps([*known, sorted(parameters.items())])
    return hashlib.sha256(text.encode()).hexdigest()


def _claim(request: Request, key: str, known: str) -> tuple[OnceRequest, bool]:
    """Return the request's mark, and whether it is this one's to work on."""
    now = timezone.now()
    marks = OnceRequest.objects.filter(user=request.user)
    marks.filter(created_at__lt=now - KEPT).delete()
    mark = OnceRequest(
        user=request.user, key=key, request=known, lease_ends=now + LEASE
    )
    try:
        with transaction.atomic():
            mark.save()
        return mark, True
    except IntegrityError:
        there = marks.filter(key=key).first()
    if there is not None and there.request != known:
        raise _other()
    if there is not None and there.status is not None:
        return there, False
    if there is not None and there.lease_ends <= now:
        # Nobody has renewed it, or taken it over, since it was read.
        taken = _mine(there).filter(lease_ends=there.lease_ends)
        if taken.update(lease=mark.lease, lease_ends=mark.lease_ends):
            there.lease = mark.lease
            return there, True
    raise _under_way()


def _mine(mark: OnceRequest) -> QuerySet[OnceRequest]:
    """Return the rows to change: none once another process has taken over."""
    return OnceRequest.objects.filter(pk=mark.pk, status=None, lease=mark.lease)


def _confirm(mark: OnceRequest) -> None:
    """Raise Problem where another process has taken over; else none does from now on.

    Within the transaction that lets the content be stored: of two, one's holds.
    """
    if not _mine(mark).update(lease_ends=timezone.now() + LEASE):
        raise _under_way()


def _renew(mark: OnceRequest) -> None:
    _mine(mark).update(lease_ends=timezone.now() + LEASE)


def _repeated(mark: OnceRequest, content: IncomingFile) -> Response:
    for _piece in content.chunks():
        pass
    if content.sha256 != mark.content:
        raise _other()
    return Response(mark.body, status=mark.status, headers=dict(mark.headers))


def _under_way() -> Problem:
    message = _("The first request of this key is still under way.")
    return Problem(409, message, "under_way")


def _other() -> Problem:
    return Problem(422, _("The key was used for another request."), "key_reused")
