"""What the callers of the permission matrix meet: one of each thing there is."""

from __future__ import annotations

import io
from datetime import timedelta
from functools import cached_property
from typing import Any

from django.contrib.auth.tokens import default_token_generator
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.utils import timezone
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from accounts.models import Tenant, TenantGroup, User
from accounts.tokens import create_tokens
from accounts.tokenversions import version_of
from audit.models import Entry
from events import organising
from events.access import EVENTS
from events.models import Event
from exports import starting
from jobs.running import run_waiting
from jobs.starting import start
from objects import grants, storing
from objects.access import Access
from objects.incoming import IncomingFile
from objects.models import Version
from sharing import links
from tests.application.callers import (
    ADMINISTRATOR,
    EDITOR,
    NOBODY,
    VIEWER,
    Callers,
)
from uploads.leases import expiry
from uploads.models import Upload


class Scene:
    """The callers, and things of the tenant's; each is made when it is asked for.

    What an attribute gives stands for it in paths and in lists.
    """

    def __init__(self, callers: Callers) -> None:
        self.callers = callers

    @property
    def object(self) -> str:
        return str(self.callers.object.pk)

    def _new(self, folder: str, name: str) -> Version:
        return storing.store(
            IncomingFile(io.BytesIO(b"new"), 3, "text/plain"),
            tenant=self.callers.tenant,
            user=self.callers[ADMINISTRATOR].user,
            folder=folder,
            name=name,
        )

    @cached_property
    def deleted_object(self) -> str:
        """As the object; its deletion can be undone."""
        made = self._new("", "deleted.txt").object
        for kind, held in ((VIEWER, Access.VIEW), (EDITOR, Access.EDIT)):
            grants.grant(made, self.callers[kind].user, held, actor=None)
        creator = self.callers[ADMINISTRATOR].api
        creator.delete(f"/api/v1/objects/{made.pk}/")
        return str(made.pk)

    @cached_property
    def first_version(self) -> int:
        """The number of a version of the object that is not its newest."""
        self._new(self.callers.object.folder, self.callers.object.name)
        return 1

    @property
    def link_token(self) -> str:
        url = f"/api/v1/objects/{self.object}/content/?link=true"
        told = self.callers[VIEWER].api.get(url).json()
        return str(told["url"].rstrip("/").rpartition("/")[2])

    @cached_property
    def begun_upload(self) -> str:
        """Of 11 bytes, of which none has come."""
        begun = self.callers[ADMINISTRATOR].api.post(
            "/api/v1/uploads/",
            headers={"Tus-Resumable": "1.0.0", "Upload-Length": "11"},
        )
        return str(begun["Location"].rstrip("/").rpartition("/")[2])

    @cached_property
    def direct_upload(self) -> str:
        """The editor's, of which nothing has come."""
        tenant, editor = self.callers.tenant, self.callers[EDITOR].user
        version = storing.begin(
            tenant=tenant,
            user=editor,
            folder="",
            name="direct.txt",
            size=100,
            content_type="text/plain",
        )
        upload = Upload.objects.create(
            kind=Upload.Kind.DIRECT,
            version=version,
            user=editor,
            user_version=version_of(editor),
            store=version.store,
            size=100,
            expires_at=expiry(),
        )
        return str(upload.pk)

    @property
    def uploaded_directly(self) -> str:
        """As the direct upload, and all of it has come."""
        upload = Upload.objects.select_related("version").get(pk=self.direct_upload)
        assert upload.version is not None
        content = ContentFile(b"x" * upload.size)
        upload.version.storage.save(upload.version.key, content)
        return self.direct_upload

    @cached_property
    def job(self) -> str:
        """The editor's, which waits."""
        return str(start("jobs.delete_old", owner=self.callers[EDITOR].user).pk)

    @property
    def path(self) -> str:
        return self.callers.object.path

    @property
    def viewer(self) -> int:
        return self.callers[VIEWER].user.pk

    @property
    def tenant(self) -> int:
        return self.callers.tenant.pk

    @cached_property
    def empty_tenant(self) -> int:
        return Tenant.objects.create(name="Hooli", slug="hooli").pk

    @property
    def password_link(self) -> dict[str, str]:
        viewer = User.objects.get(pk=self.viewer)
        return {
            "uid": urlsafe_base64_encode(force_bytes(viewer.pk)),
            "token": default_token_generator.make_token(viewer),
        }

    @cached_property
    def group(self) -> int:
        return TenantGroup.objects.create(name="Writers", tenant=self.callers.tenant).pk

    @cached_property
    def granted_group(self) -> int:
        group = TenantGroup.objects.get(pk=self.group)
        grants.grant(self.callers.object, group, Access.VIEW, actor=None)
        return self.group

    @cached_property
    def default(self) -> int:
        return grants.grant_by_default(
            self.callers.tenant.pk, self.callers[EDITOR].user, Access.VIEW, actor=None
        ).pk

    @cached_property
    def _link(self) -> tuple[str, str]:
        link, token = links.create(
            self.callers.object,
            self.callers[ADMINISTRATOR].user,
            expires_at=timezone.now() + timedelta(days=1),
            max_downloads=None,
        )
        return str(link.pk), token

    @property
    def share(self) -> str:
        return self._link[0]

    @property
    def share_token(self) -> str:
        return self._link[1]

    @cached_property
    def begun_export(self) -> str:
        """The administrator's, of the object's folder; no worker has it yet."""
        made = starting.start_folder(self.callers[ADMINISTRATOR].user, "papers")
        return str(made.pk)

    @cached_property
    def export(self) -> str:
        """As the one that is begun, and ready."""
        made = starting.start_folder(self.callers[ADMINISTRATOR].user, "papers")
        run_waiting()
        return str(made.pk)

    @cached_property
    def event(self) -> Event:
        """A draft of the administrator's."""
        made = organising.create(
            Event(tenant=self.callers.tenant, name="Launch", starts_at=timezone.now()),
            self.callers[ADMINISTRATOR].user,
        )
        for kind, held in ((VIEWER, Access.VIEW), (EDITOR, Access.EDIT)):
            EVENTS.grant(made, self.callers[kind].user, held, actor=None)
        return made

    @cached_property
    def begun_event_export(self) -> str:
        """The administrator's, of the event; no worker has it yet."""
        made = starting.start_event(self.callers[ADMINISTRATOR].user, self.event)
        return str(made.pk)

    @cached_property
    def event_export(self) -> str:
        """As the one of an event that is begun, and ready."""
        made = starting.start_event(self.callers[ADMINISTRATOR].user, self.event)
        run_waiting()
        return str(made.pk)

    @property
    def entry(self) -> int:
        return Entry.objects.get(action="object.create").pk

    def refresh_token(self, kind: str) -> str:
        return "" if kind == NOBODY else str(create_tokens(self.callers[kind].user))

    @staticmethod
    def upload(name: str) -> Any:
        return SimpleUploadedFile(name, b"new content", "text/plain")
