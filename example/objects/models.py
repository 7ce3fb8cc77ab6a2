"""What tenants keep: objects, their versions, and who may do what to them."""

from __future__ import annotations

import uuid
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.files.storage import Storage
from django.db import models
from django.utils.translation import gettext_lazy as _
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase

from accounts.models import Tenant, TenantGroup
from accounts.stores import storage_of

OTHER_TENANT = _("There is no such user or group in the tenant.")


class StoredObject(models.Model):
    """A named thing in a tenant's folder. Its content is that of its newest version.

    It is pending until a version is stored. A deleted one keeps its row and its bytes
    until the tenant's time for undoing it is over.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="stored_objects", verbose_name=_("tenant")
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="objects_owned",
        verbose_name=_("owner"),
    )
    folder = models.CharField(
        _("folder"),
        max_length=700,
        blank=True,
        help_text=_("Parts with a slash between them, none at the ends."),
    )
    name = models.CharField(_("name"), max_length=255)
    current = models.OneToOneField(
        "Version",
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
        verbose_name=_("current version"),
    )
    # The current version's, once more: lists filter and order by them.
    size = models.PositiveBigIntegerField(_("bytes"), default=0, editable=False)
    content_type = models.CharField(_("media type"), max_length=255, blank=True)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True, editable=False)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)
    deleted_at = models.DateTimeField(_("deleted"), null=True, editable=False)

    class Meta:
        verbose_name = _("object")
        verbose_name_plural = _("objects")
        ordering = ("folder", "name", "pk")
        permissions = (
            ("edit_object", "Can change the object's content and names"),
            ("administer_object", "Can grant permissions on the object"),
        )
        default_permissions = ("view",)
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "folder", "name"),
                condition=models.Q(deleted_at__isnull=True),
                name="one_object_of_a_name",
            ),
        )
        indexes = (
            models.Index(fields=("tenant", "created_at", "id"), name="object_created"),
            models.Index(fields=("tenant", "updated_at", "id"), name="object_updated"),
            models.Index(fields=("tenant", "size", "id"), name="object_size"),
            models.Index(fields=("tenant", "name", "id"), name="object_name"),
            # Whether there is something below a folder is asked by its start.
            models.Index(
                fields=("tenant", "folder"),
                opclasses=("int8_ops", "varchar_pattern_ops"),
                condition=models.Q(deleted_at__isnull=True),
                name="object_folder",
            ),
            models.Index(
                fields=("deleted_at",),
                condition=models.Q(deleted_at__isnull=False),
                name="object_deleted",
            ),
        )

    def __str__(self) -> str:
        return self.path

    @property
    def state(self) -> str:
        """``deleted``, ``stored``, or ``pending`` while no version is stored."""
        if self.deleted_at is not None:
            return "deleted"
        return "pending" if self.current_id is None else "stored"

    @property
    def path(self) -> str:
        """The folder and the name, with a slash between them."""
        return f"{self.folder}/{self.name}" if self.folder else self.name

    def take(self, version: Version) -> None:
        """Let the version be the current one; the caller saves the row."""
        self.current = version
        self.size = version.size or 0
        self.sha256 = version.sha256
        self.content_type = version.content_type


class Version(models.Model):
    """The content of an object from one upload. Its bytes never change.

    It is pending until the store was seen to hold its bytes, whole and right, or given
    up. One that was given up, or is going, is nobody's any more; its row stays until
    its bytes are deleted.
    """

    is_first: bool | None = None
    """Whether it became an object's first content; None if another process did it."""

    class State(models.TextChoices):
        PENDING = "pending", _("pending")
        STORED = "stored", _("stored")
        GOING = "going", _("going")
        GIVEN_UP = "given_up", _("given up")

    COUNTED = (State.STORED, State.GOING)
    """In these its bytes count as used; in the others they are reserved."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    object = models.ForeignKey(
        StoredObject,
        models.CASCADE,
        related_name="versions",
        verbose_name=_("object"),
    )
    number = models.PositiveIntegerField(_("number"), editable=False)
    state = models.CharField(
        _("state"), max_length=10, choices=State.choices, default=State.PENDING
    )
    size = models.PositiveBigIntegerField(_("bytes"), null=True, editable=False)
    content_type = models.CharField(_("media type"), max_length=255, blank=True)
    sha256 = models.CharField("SHA-256", max_length=64, blank=True, editable=False)
    store = models.CharField(_("store"), max_length=100, editable=False)
    key = models.CharField(_("name in the store"), max_length=255, editable=False)
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.SET_NULL,
        null=True,
        related_name="+",
        verbose_name=_("uploaded by"),
    )
    created_at = models.DateTimeField(_("uploaded"), auto_now_add=True)
    is_conditional = models.BooleanField(
        _("conditional"),
        default=False,
        # A release of before, which does not know the field, still writes rows.
        db_default=False,
        editable=False,
        help_text=_(
            "Whether it was to be stored only under a condition of its sender."
        ),
    )
    moved_at = models.DateTimeField(
        _("moved"),
        null=True,
        editable=False,
        help_text=_("When it came from another store; empty: never."),
    )
    going_since = models.DateTimeField(
        _("going since"),
        null=True,
        editable=False,
        help_text=_("When newer versions took its place; its bytes stay for a day."),
    )
    missing_since = models.DateTimeField(
        _("bytes missing since"),
        null=True,
        editable=False,
        help_text=_("When a sweep found the store without them; empty: never."),
    )

    class Meta:
        verbose_name = _("version")
        verbose_name_plural = _("versions")
        ordering = ("object", "-number")
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=("object", "number"), name="one_version_of_a_number"
            ),
            # The sweep asks for a directory's: by the start of the key.
            models.UniqueConstraint(
                fields=("store", "key"),
                name="one_version_of_a_key",
                opclasses=("varchar_pattern_ops", "varchar_pattern_ops"),
            ),
        )
        indexes = (
            models.Index(
                fields=("state", "created_at"),
                condition=~models.Q(state="stored"),
                name="version_not_stored",
            ),
        )

    def __str__(self) -> str:
        return f"{self.object} ({self.number})"

    @property
    def storage(self) -> Storage:
        """The store that holds the bytes; raises StoreGone."""
        return storage_of(self.store)


class Copy(models.Model):
    """Bytes of a version that its row does not name: of a move, done or under way, or
    that may come after it was given up.

    It is no foreign key: where the version is gone, this says what must not come back.
    """

    version_id = models.UUIDField(db_index=True, editable=False)
    store = models.CharField(max_length=100, editable=False)
    key = models.CharField(max_length=255, editable=False)
    noted_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        default_permissions = ()
        constraints = (
            models.UniqueConstraint(
                fields=("store", "key"),
                name="one_copy_of_a_key",
                opclasses=("varchar_pattern_ops", "varchar_pattern_ops"),
            ),
        )

    def __str__(self) -> str:
        return f"{self.store}: {self.key}"


class UserGrant(UserObjectPermissionBase):
    """A permission on one row of a tenant, granted to a user of the same tenant.

    Saving one across tenants raises ValidationError.
    """

    content_object: Any
    content_object_id: Any

    class Meta(UserObjectPermissionBase.Meta):
        abstract = True
        verbose_name = _("permission of a user")
        verbose_name_plural = _("permissions of users")

    def clean(self) -> None:
        if self.user_id is None or self.content_object_id is None:
            return  # Refused by the fields already.
        if self.user.tenant_id != self.content_object.tenant_id:
            raise ValidationError({"user": OTHER_TENANT})

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.clean()
        super().save(*args, **kwargs)


class GroupGrant(GroupObjectPermissionBase):
    """A permission on one row of a tenant, granted to a group of the same tenant.

    Saving one across tenants raises ValidationError.
    """

    content_object: Any
    content_object_id: Any

    class Meta(GroupObjectPermissionBase.Meta):
        abstract = True
        verbose_name = _("permission of a group")
        verbose_name_plural = _("permissions of groups")

    def clean(self) -> None:
        if self.group_id is None or self.content_object_id is None:
            return  # Refused by the fields already.
        if not TenantGroup.objects.filter(
            pk=self.group_id, tenant=self.content_object.tenant_id
        ).exists():
            raise ValidationError({"group": OTHER_TENANT})

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.clean()
        super().save(*args, **kwargs)


class UserPermission(UserGrant):
    """A permission on one object, granted to a user of its tenant."""

    content_object = models.ForeignKey(StoredObject, models.CASCADE)

    class Meta(UserGrant.Meta):
        pass


class GroupPermission(GroupGrant):
    """A permission on one object, granted to a group of its tenant."""

    content_object = models.ForeignKey(StoredObject, models.CASCADE)

    class Meta(GroupGrant.Meta):
        pass


class DefaultPermission(models.Model):
    """What a user or a group of a tenant may do to objects that are made from now on.

    Objects that are there already keep what they have. Saving one across tenants raises
    ValidationError.
    """

    class Access(models.TextChoices):
        VIEW = "view", _("view")
        EDIT = "edit", _("edit")
        ADMINISTER = "administer", _("administer")

    tenant = models.ForeignKey(
        Tenant,
        models.CASCADE,
        related_name="default_permissions",
        verbose_name=_("tenant"),
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("user"),
    )
    group = models.ForeignKey(
        TenantGroup,
        models.CASCADE,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("group"),
    )
    access = models.CharField(_("may"), max_length=10, choices=Access.choices)

    class Meta:
        verbose_name = _("default permission")
        verbose_name_plural = _("default permissions")
        ordering = ("pk",)
        constraints = (
            models.CheckConstraint(
                condition=models.Q(user__isnull=True, group__isnull=False)
                | models.Q(user__isnull=False, group__isnull=True),
                name="default_of_a_user_or_a_group",
                violation_error_message=_(
                    "Name a user or a group, and one of them only."
                ),
            ),
            models.UniqueConstraint(
                fields=("tenant", "user"), name="one_default_of_a_user"
            ),
            models.UniqueConstraint(
                fields=("tenant", "group"), name="one_default_of_a_group"
            ),
        )

    def __str__(self) -> str:
        return f"{self.access} by default"

    def clean(self) -> None:
        for name in ("user", "group"):
            holder = getattr(self, name)
            if holder is not None and holder.tenant_id != self.tenant_id:
                raise ValidationError({name: OTHER_TENANT})

    def save(self, *args: Any, **kwargs: Any) -> None:
        self.clean()
        super().save(*args, **kwargs)
