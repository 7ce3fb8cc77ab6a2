"""A few rows, and all that is done to them at once: for `interleaved`."""

from __future__ import annotations

import hashlib
import io
import itertools
from base64 import b64encode
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock

from django.db.models import Sum
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import erasure, passwords, tenants
from accounts.models import Tenant, TenantGroup, User
from accounts.tokenversions import version_of
from events import arriving, organising
from events.access import EVENTS
from events.models import Event, Part, Session, Speaker
from exports import starting
from jobs import control
from jobs.tasks import delete_old
from objects import changing, grants, moving, purging, storing
from objects.access import Access
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version
from pages import failures, thumbnails
from sharing import links
from uploads import deferring, finishing, sweeping
from uploads.leases import acquire, expiry
from uploads.models import Upload

_number = itertools.count(1)
CONTENT = b"content"


def _incoming() -> IncomingFile:
    return IncomingFile(io.BytesIO(CONTENT), len(CONTENT), "text/plain")


class Contended:
    """A tenant's rows, made anew for each pair of acts."""

    def __init__(self) -> None:
        name = f"t{next(_number)}"
        self.tenant = Tenant.objects.create(name=name, slug=name, max_versions=2)
        self.ann, self.bob, self.eve = (
            User.objects.create_user(f"{one}-{name}", "", "secret", tenant=self.tenant)
            for one in ("ann", "bob", "eve")
        )
        User.objects.filter(pk=self.bob.pk).update(is_administrator=True)
        self.group = TenantGroup.objects.create(label="g", tenant=self.tenant)
        self.group.user_set.add(self.ann)
        self.event = organising.create(
            Event(
                tenant=self.tenant,
                name=name,
                starts_at=timezone.now(),
                place="here",
            ),
            self.eve,
        )
        EVENTS.grant(self.event, self.ann, Access.EDIT, actor=None)
        self.photo = self.put("events", "photo.bin", self.bob)
        self.slides = self.put("events", "slides.bin", self.bob)
        self.speaker = Speaker.objects.create(
            event=self.event, name="s", photo_object=self.photo
        )
        self.session = Session.objects.create(
            event=self.event, title="t", slides_object=self.slides
        )
        self.session.speakers.add(self.speaker)
        self.again = Session.objects.create(
            event=self.event,
            title="a",
            slides_object=self.put("events", "first.bin", self.bob),
        )
        self.plain = self.put("", "plain.bin", self.ann)
        self.put("", "plain.bin", self.ann)
        self.other = self.put("", "other.bin", self.bob)
        grants.grant(self.other, self.ann, Access.EDIT, actor=None)
        grants.grant(self.other, self.group, Access.EDIT, actor=None)
        self.put("", "other.bin", self.ann)
        grants.grant(self.other, self.eve, Access.EDIT, actor=None)
        self.put("", "other.bin", self.eve)
        self.link, _token = links.create(
            self.plain,
            self.ann,
            expires_at=timezone.now() + timedelta(days=1),
            max_downloads=None,
        )
        self.deleted = changing.delete(
            self.put("", "deleted.bin", self.bob).pk, actor=self.bob
        )
        self.going = self.put("", "going.bin", self.bob)
        Speaker.objects.create(event=self.event, name="g", photo_object=self.going)
        changing.delete(self.going.pk, actor=self.bob)
        self.going.versions.update(state=Version.State.GOING)
        self.newer = self.arriving(self.slides_part())
        self.late = self.arriving(self.slides_part(self.again))
        self.meanwhile = self.put("events", "meanwhile.bin", self.bob)
        self.again.slides_object = self.meanwhile
        self.again.save()
        self.new = self.arriving(None)
        export = starting.start_event(self.ann, self.event)
        assert export.job is not None
        self.job = export.job
        control.cancel(self.job, actor=None)
        _write_failures("a", "b")
        self.pending = storing.begin(
            tenant=self.tenant,
            user=self.bob,
            folder="",
            name="pending.bin",
            size=len(CONTENT),
            content_type="",
        )

    def put(self, folder: str, name: str, user: User) -> StoredObject:
        user = User.objects.get(pk=user.pk)
        tenant = Tenant.objects.get(pk=self.tenant.pk)
        return storing.store(
            _incoming(), tenant=tenant, user=user, folder=folder, name=name
        ).object

    def photo_part(self) -> Speaker:
        return Speaker.objects.select_related("event", "photo_object__current").get(
            pk=self.speaker.pk
        )

    def slides_part(self, session: Session | None = None) -> Session:
        return Session.objects.select_related("event", "slides_object__current").get(
            pk=(session or self.session).pk
        )

    def arriving(self, part: Session | None) -> Upload:
        """Return an upload to the event, all of which is in the store."""
        name = "plan.bin" if part is None else "renamed.bin"
        version = arriving.begin(
            self.event, part, user=self.ann, size=len(CONTENT), name=name
        )
        version.storage.save(version.key, io.BytesIO(CONTENT))
        return Upload.objects.create(
            kind=Upload.Kind.TUS,
            version=version,
            user=self.ann,
            user_version=version_of(self.ann),
            store=version.store,
            size=len(CONTENT),
            offset=len(CONTENT),
            purpose=arriving.PURPOSE,
            expires_at=expiry(),
        )

    def wrong_counts(self) -> dict[str, Any]:
        """Return what the tenant's row says and the rows do not."""
        tenant = Tenant.objects.get(pk=self.tenant.pk)
        versions = Version.objects.filter(object__tenant=tenant)
        objects = StoredObject.objects.filter(tenant=tenant)
        counted = versions.filter(state__in=Version.COUNTED)
        held = versions.exclude(state__in=Version.COUNTED)
        is_used = {"pk__in": counted.values("object")}
        right = {
            "used_bytes": counted.aggregate(sum=Sum("size"))["sum"] or 0,
            "reserved_bytes": held.aggregate(sum=Sum("size"))["sum"] or 0,
            "used_objects": objects.filter(**is_used).count(),
            "reserved_objects": objects.exclude(**is_used).count(),
        }
        said = {name: getattr(tenant, name) for name in right}
        return {} if said == right else {"said": said, "right": right}


def _settle(upload: Upload) -> None:
    upload = Upload.objects.select_related("version__object__tenant", "user").get(
        pk=upload.pk
    )
    lease = acquire(upload)
    finishing.settle(lease, lease.version, hashlib.sha256(CONTENT).hexdigest())


def _abandon(upload: Upload) -> None:
    version = Version.objects.get(upload=upload)
    storing.abandon(version)


def _begin(on: Contended, part: Part | None, user: User) -> None:
    event = Event.objects.get(pk=on.event.pk)
    arriving.begin(event, part, user=user, size=7, name="plan.bin")


def _cancel(on: Contended) -> None:
    deferring.start(on.new)
    job = on.new.job
    assert job is not None
    control.cancel(job, actor=on.ann)


def _save_part(on: Contended) -> None:
    part = on.slides_part()
    part.slides_object = on.put("events", "again.bin", on.bob)
    organising.save_part(part, on.bob, ["title"], replaced=None)


def _asked(on: Contended, method: str, path: str, **more: Any) -> None:
    """Send a request of bob's to the API: no answer is an error of the site's."""
    user = User.objects.filter(pk=on.bob.pk).first()
    if user is None:
        return
    api = APIClient(raise_request_exception=False)
    api.force_authenticate(user)
    more.setdefault("format", None if "content_type" in more else "json")
    answer = getattr(api, method)(f"/api/v1/{path}", **more)
    # A version that was given up meanwhile is to be sent again.
    is_given_up = "store did not take it" in str(answer.content)
    is_late = "Somebody changed the same" in str(answer.content)
    is_told = is_given_up or is_late or answer.status_code == 507
    assert answer.status_code < 500 or is_told, (
        f"{method} {path}: {answer.status_code} {answer.content!r}"
    )


def _write_failures(*texts: str) -> None:
    failures._noted.extend(("jobs", text) for text in texts)
    failures.write()


def _ask(on: Contended) -> None:
    current = on.plain.current
    assert current is not None
    thumbnails.ask(current)


def _move(on: Contended) -> None:
    # That which goes when the object has another one.
    version = Version.objects.get(object=on.other, number=2)
    moving.choose(on.tenant, "cold")
    moving.move_version(version, "cold")


def _share(on: Contended) -> None:
    soon = timezone.now() + timedelta(days=1)
    links.create(on.other, on.ann, expires_at=soon, max_downloads=None)


ACTS: dict[str, Callable[[Contended], object]] = {
    "put new": lambda on: on.put("", "new.bin", on.ann),
    "put again": lambda on: on.put("", "other.bin", on.eve),
    "put plan": lambda on: on.put(on.slides.folder, "renamed.bin", on.ann),
    "put new plan": lambda on: on.put(
        f"events/{on.event.slug}/slides", "plan-2.bin", on.ann
    ),
    "put pending": lambda on: on.put("", "pending.bin", on.bob),
    "replace slides": lambda on: storing.replace(_incoming(), on.slides, user=on.bob),
    "replace other slides": lambda on: storing.replace(
        _incoming(), on.meanwhile, user=on.bob
    ),
    "rename to other": lambda on: changing.rename(
        on.plain.pk, actor=on.ann, name="other.bin"
    ),
    "rename to plain": lambda on: changing.rename(
        on.other.pk, actor=on.ann, name="plain.bin"
    ),
    "rename to new": lambda on: changing.rename(
        on.slides.pk, actor=on.bob, folder="", name="new.bin"
    ),
    "move": lambda on: changing.rename(on.plain.pk, actor=on.ann, folder="new.bin"),
    "delete": lambda on: changing.delete(on.other.pk, actor=on.bob),
    "delete slides": lambda on: changing.delete(on.slides.pk, actor=on.bob),
    "undelete": lambda on: changing.undelete(on.deleted.pk, actor=on.bob),
    "restore": lambda on: changing.restore(
        Version.objects.get(object=on.other, number=2), actor=on.bob
    ),
    "begin for event": lambda on: _begin(on, None, on.eve),
    "begin for slides": lambda on: _begin(on, on.slides_part(), on.ann),
    "settle new": lambda on: _settle(on.new),
    "settle slides": lambda on: _settle(on.newer),
    "settle late": lambda on: _settle(on.late),
    "abandon new": lambda on: _abandon(on.new),
    "abandon slides": lambda on: _abandon(on.newer),
    "abandon": lambda on: storing.abandon(on.pending),
    "cancel job": _cancel,
    "delete event": lambda on: organising.delete(
        Event.objects.get(pk=on.event.pk), on.ann
    ),
    "delete session": lambda on: organising.delete_part(on.slides_part(), on.ann),
    "drop slides": lambda on: organising.drop_media(on.slides_part(), on.ann),
    "save session": _save_part,
    "move session": lambda on: organising.move(on.slides_part(), 1, on.ann),
    "grant": lambda on: grants.grant(on.other, on.eve, Access.VIEW, actor=None),
    "grant group": lambda on: grants.grant(on.other, on.group, Access.VIEW, actor=None),
    "share": _share,
    "count": lambda on: links.count(on.link),
    "purge": lambda on: purging.forget(
        Version.objects.filter(object=on.going, state=Version.State.GOING)
    ),
    "erase eve": lambda on: erasure.erase(User.objects.get(pk=on.eve.pk)),
    "write failures": lambda on: _write_failures("a", "b"),
    "write others": lambda on: _write_failures("b", "a"),
    "delete jobs": lambda on: delete_old(mock.Mock()),
    "try again": lambda on: control.try_again(on.job, actor=None),
    "erase bob": lambda on: erasure.erase(User.objects.get(pk=on.bob.pk)),
    "quota": lambda on: tenants.change(on.tenant, by=on.ann, max_bytes=1 << 40),
    "rename tenant": lambda on: tenants.change(
        on.tenant, by=on.ann, name=f"{on.tenant.name} again"
    ),
    "tenant move": _move,
    "set groups": lambda on: _asked(
        on, "patch", f"users/{on.eve.pk}/", data={"groups": [on.group.pk]}
    ),
    "set members": lambda on: _asked(
        on,
        "patch",
        f"groups/{on.group.pk}/",
        data={"members": [on.ann.pk, on.eve.pk]},
    ),
    "delete group": lambda on: _asked(on, "delete", f"groups/{on.group.pk}/"),
    "password": lambda on: passwords.change(on.eve, "secret", "n0t-so-common"),
    "export": lambda on: starting.start_event(on.ann, on.event),
    "thumbnail": _ask,
}


def _put(on: Contended, name: str) -> None:
    _asked(on, "put", f"content/{name}", data=b"abc", content_type="text/plain")


def _send(on: Contended, name: str) -> None:
    """Upload in parts, all of it in the first."""
    told = f"filename {b64encode(name.encode()).decode()}"
    headers = {"Tus-Resumable": "1.0.0", "Upload-Length": "3", "Upload-Metadata": told}
    kind = "application/offset+octet-stream"
    _asked(on, "post", "uploads/", data=b"abc", content_type=kind, headers=headers)


def _sweep(on: Contended) -> None:
    for version in Version.objects.filter(object__tenant=on.tenant, state="pending"):
        if version.pk == on.pending.pk:
            storing.abandon(version)
    given_up = Version.objects.filter(object__tenant=on.tenant, state="given_up")
    for version in given_up:
        storing.abandon(version)
    sweeping.sweep_all()


REQUESTS: dict[str, Callable[[Contended], object]] = {
    "PUT new": lambda on: _put(on, "new.bin"),
    "PUT other": lambda on: _put(on, "other.bin"),
    "PUT below": lambda on: _put(on, "new.bin/below.bin"),
    "PUT once": lambda on: _asked(
        on,
        "put",
        "content/once.bin",
        data=b"abc",
        content_type="text/plain",
        headers={"Idempotency-Key": "k"},
    ),
    "POST upload": lambda on: _send(on, "new.bin"),
    "POST upload of other": lambda on: _send(on, "other.bin"),
    "PATCH name": lambda on: _asked(
        on, "patch", f"objects/{on.other.pk}/", data={"name": "new.bin"}
    ),
    "PATCH name back": lambda on: _asked(
        on,
        "patch",
        f"objects/{on.other.pk}/",
        data={"name": "other.bin"},
    ),
    "DELETE": lambda on: _asked(on, "delete", f"objects/{on.other.pk}/"),
    "POST restore": lambda on: _asked(on, "post", f"objects/{on.other.pk}/restore/"),
    "purge deleted": lambda on: _purge(on),
    "sweep": _sweep,
}


def _purge(on: Contended) -> None:
    rows = StoredObject.objects.filter(tenant=on.tenant, deleted_at__isnull=False)
    for pk in rows.values_list("pk", flat=True):
        purging._mark(pk, timezone.now())
    going = Version.objects.filter(object__tenant=on.tenant, state="going")
    purging.forget(going)
