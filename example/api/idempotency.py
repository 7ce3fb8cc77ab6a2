"""Requests with an Idempotency-Key: done once, however often they are sent.

A client that did not get the response sends the same again. The first result is kept
for a day, per user and key, sealed: it may name people, and hold the address of a link.
Nothing of a body is kept but its hash, which is known when the body was read: so a
repeat is read to its end, and stored nowhere.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import partial, wraps
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from django.conf import settings
from django.db import IntegrityError, transaction
from django.db.models import Q, QuerySet
from django.utils import timezone
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.encoders import JSONEncoder

from api.models import LONGEST_LEASE, OnceRequest
from api.problems import Problem
from config import locks
from config.renewing import renewed
from objects import storing
from objects.incoming import IncomingFile
from objects.models import Version
from uploads.processes import name_of

KEPT = timedelta(days=1)
LEASE = timedelta(minutes=5)
RENEWED = 30.0  # seconds
HEADERS = ("ETag", "Location")
LONGEST = 255
MARK = "mark_of_once_made"
SALT = "api.idempotency"


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
    key = _key_of(request)
    if key is None:
        return respond(act())
    known = [content.size, content.content_type, sorted(parameters.items())]
    mark, is_taken_over = _claim(request, key, known)
    if is_taken_over and (stored := _of_killed(mark)) is not None:
        _keep(mark, respond(stored), object_id=stored.object_id, sha256=stored.sha256)
    if mark.status is not None:
        return _repeated(mark, content)
    kept: list[Response] = []

    def keep(version: Version) -> None:
        kept.append(respond(version))
        of, sha256 = version.object_id, content.sha256
        _keep(mark, kept[0], object_id=of, sha256=sha256)

    content.version_id = mark.version
    content.before_stored, content.on_stored = partial(_confirm, mark), keep
    try:
        with renewed(partial(_renew, mark), RENEWED, "A request that is done once"):
            act()
    except BaseException:
        _mine(mark).delete()  # None where it was stored all the same.
        raise
    return kept[-1]


def once_made(
    request: Request,
    make: Callable[[], Response],
    *,
    parameters: Any = None,
    about: str = "",
    person: str = "",
    is_over: Callable[[Any], bool] | None = None,
) -> Response:
    """Return the response to what ``make`` made, or what it was the first time.

    As `once`, for what is made of the body as it was parsed, or of ``parameters`` where
    they are given. ``make`` is called in the transaction that keeps the response; it
    asks no store, and what else takes long it leaves to a job. ``about`` names the
    member of the response that is the id of an object, ``person`` that of a user.
    It is made anew where ``is_over`` says of the response's data that what was made
    came to nothing since.
    """
    key = _key_of(request)
    if key is None:
        return make()
    known = request.data if parameters is None else parameters
    mark, _is_taken_over = _claim(request, key, known)
    if mark.status is not None and is_over and is_over(_kept(mark).data):
        # Of many that find it so, one makes it anew.
        OnceRequest.objects.filter(pk=mark.pk).delete()
        mark, _is_taken_over = _claim(request, key, known)
    if mark.status is not None:
        return _kept(mark)
    setattr(request, MARK, mark.pk)
    try:
        with transaction.atomic():
            _confirm(mark)
            response = make()
            object_id = response.data[about] if about else None
            person_id = response.data[person] if person else None
            _keep(mark, response, object_id=object_id, person_id=person_id)
    except BaseException:
        _mine(mark).delete()
        raise
    return response


def makes_once(
    *, about: str = "", person: str = ""
) -> Callable[[Callable[..., Response]], Callable[..., Response]]:
    """Let a method of a view that answers a POST do so by `once_made`."""

    def decorate(create: Callable[..., Response]) -> Callable[..., Response]:
        @wraps(create)
        def once_only(
            view: Any, request: Request, *args: Any, **kwargs: Any
        ) -> Response:
            make = partial(create, view, request, *args, **kwargs)
            return once_made(request, make, about=about, person=person)

        return once_only

    return decorate


def was_done(request: Request) -> bool:
    """Whether a request of the same key was done already."""
    key = _key_of(request)
    done = OnceRequest.objects.filter(user=request.user, key=key, status__isnull=False)
    return key is not None and done.exists()


def forget(request: Request) -> None:
    """Let the request's key be used again: what it began was given up."""
    _made_by(request).delete()


def amend(request: Request, data: Any) -> None:
    """Let a repeat get these data: what came after the first result was kept."""
    _made_by(request).filter(status=201).update(body=_seal(data))


def _made_by(request: Request) -> QuerySet[OnceRequest]:
    """Return the row of what `once_made` made for this very request.

    Another request of the same key may have begun anew since.
    """
    return OnceRequest.objects.filter(pk=getattr(request, MARK, 0))


def forget_old() -> int:
    """Delete the results that were kept for a day, and return how many."""
    old = OnceRequest.objects.filter(_is_old())
    return sum(one.delete()[0] for one in locks.one_by_one(old))


def _is_old() -> Q:
    """Return the condition for what was kept for a day, and nobody works on."""
    now = timezone.now()
    is_leased = Q(lease_ends__gt=now, lease_ends__lte=now + LONGEST_LEASE)
    return Q(created_at__lt=now - KEPT) & (Q(status__isnull=False) | ~is_leased)


def _key_of(request: Request) -> str | None:
    """Return the request's key, if it has one; raises Problem where that is none."""
    key = request.headers.get("Idempotency-Key")
    if key is None or (0 < len(key) <= LONGEST and key.isascii() and key.isprintable()):
        return key
    message = _("A key has 1 to %(most)s printable ASCII characters.")
    raise Problem(400, message % {"most": LONGEST}, "bad_key")


def _claim(request: Request, key: str, known: object) -> tuple[OnceRequest, bool]:
    """Return the request's mark, and whether it was a killed process's.

    It has a status, or is this one's to work on.
    """
    text = json.dumps([request.method, request.path, known], sort_keys=True)
    hashed, now = hashlib.sha256(text.encode()).hexdigest(), timezone.now()
    marks = OnceRequest.objects.filter(user=request.user)
    for old in locks.one_by_one(marks.filter(_is_old())):
        old.delete()
    mark = OnceRequest(
        user=request.user,
        key=key,
        request=hashed,
        lease_ends=now + LEASE,
        leased_by=name_of(os.getpid()),
        version=uuid.uuid4(),
    )
    try:
        with transaction.atomic():
            mark.save()
        return mark, False
    except IntegrityError:
        there = marks.filter(key=key).first()
    if there is not None and there.request != hashed:
        raise other()
    if there is not None and there.status is not None:
        return there, False
    if there is not None and not there.is_leased:
        # Nobody has renewed it, or taken it over, since it was read.
        taken = _mine(there).filter(lease_ends=there.lease_ends)
        if taken.update(
            lease=mark.lease, lease_ends=mark.lease_ends, leased_by=mark.leased_by
        ):
            there.lease = mark.lease
            return there, True
    raise under_way()


def _of_killed(mark: OnceRequest) -> Version | None:
    """Return what became of the version that the killed process began, if it's stored.

    A sweep does that to whole bytes. Else it is given up, before another begins.
    """
    begun = Version.objects.select_related("object").filter(
        pk=mark.version or uuid.uuid4()
    )
    if (there := begun.first()) is not None:
        storing.abandon(there)
        pending = (Version.State.PENDING, Version.State.GIVEN_UP)
        if (stored := begun.exclude(state__in=pending).first()) is not None:
            return stored
    mark.version = uuid.uuid4()
    if not _mine(mark).update(version=mark.version):
        raise under_way()
    return None


def _mine(mark: OnceRequest) -> QuerySet[OnceRequest]:
    """Return the rows to change: none once another process has taken over."""
    return OnceRequest.objects.filter(pk=mark.pk, status=None, lease=mark.lease)


def _confirm(mark: OnceRequest) -> None:
    """Raise Problem where another process has taken over; else none does from now on.

    Within the transaction that lets the content be stored: of two, one's holds.
    """
    if not _mine(mark).update(lease_ends=timezone.now() + LEASE):
        raise under_way()


def _renew(mark: OnceRequest) -> None:
    _mine(mark).update(lease_ends=timezone.now() + LEASE)


def _keep(
    mark: OnceRequest,
    response: Response,
    *,
    object_id: uuid.UUID | None = None,
    person_id: int | None = None,
    sha256: str = "",
) -> None:
    """Keep the result: in the transaction that makes it."""
    mark.status, mark.content = response.status_code, sha256
    mark.headers, mark.body = _of(response)
    mark.object_id, mark.person_id = object_id, person_id
    mark.created_at = timezone.now()
    kept = [
        *("status", "content", "headers", "body"),
        *("object_id", "person_id", "created_at"),
    ]
    _mine(mark).update(**{name: getattr(mark, name) for name in kept})


def _of(response: Response) -> tuple[dict[str, str], str]:
    """Return what is kept of a response."""
    headers = {name: response[name] for name in HEADERS if name in response}
    return headers, _seal(response.data)


def _repeated(mark: OnceRequest, content: IncomingFile) -> Response:
    for _piece in content.chunks():
        pass
    if content.sha256 != mark.content:
        raise other()
    return _kept(mark)


def _kept(mark: OnceRequest) -> Response:
    try:
        data = _unseal(mark.body)
    except InvalidToken:
        raise other() from None  # SECRET_KEY is another by now.
    return Response(data, status=mark.status, headers=dict(mark.headers))


def _seal(data: Any) -> str:
    text = json.dumps(data, cls=JSONEncoder)
    return _sealer().encrypt(text.encode()).decode()


def _unseal(body: Any) -> Any:
    # What a release before this one kept is not sealed.
    return json.loads(_sealer().decrypt(body)) if isinstance(body, str) else body


def _sealer() -> Fernet:
    known = hashlib.sha256(f"{SALT}:{settings.SECRET_KEY}".encode()).digest()
    return Fernet(base64.urlsafe_b64encode(known))


def under_way() -> Problem:
    message = _("The first request of this key is still under way.")
    return Problem(409, message, "under_way")


def other() -> Problem:
    return Problem(422, _("The key was used for another request."), "key_reused")
