"""Tenants, the people who belong to them, and their groups."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

from django.contrib.auth.models import AbstractUser, Group
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.translation import gettext_lazy as _

from accounts.stores import check_alias


class Tenant(models.Model):
    """A customer: users, objects, quotas and settings are a tenant's.

    The super-tenant is the operator's own: its administrators reach every tenant.
    """

    name = models.CharField(_("name"), max_length=200, unique=True)
    slug = models.SlugField(_("short name"), unique=True)
    is_super = models.BooleanField(
        _("super-tenant"),
        default=False,
        help_text=_("Its administrators reach every tenant: the operator's own."),
    )
    store = models.CharField(
        _("store"),
        max_length=100,
        default="default",
        validators=[check_alias],
        help_text=_("The alias in STORAGES of the store that new objects go to."),
    )
    max_bytes = models.PositiveBigIntegerField(
        _("bytes at most"), null=True, blank=True, help_text=_("Empty: no limit.")
    )
    max_objects = models.PositiveBigIntegerField(
        _("objects at most"), null=True, blank=True, help_text=_("Empty: no limit.")
    )
    # What is counted against the two: stored, and reserved by uploads under way. Only
    # `quotas` changes them, by UPDATEs that the database checks.
    used_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    used_objects = models.PositiveBigIntegerField(default=0, editable=False)
    reserved_bytes = models.PositiveBigIntegerField(default=0, editable=False)
    reserved_objects = models.PositiveBigIntegerField(default=0, editable=False)
    max_versions = models.PositiveIntegerField(
        _("versions kept of an object"),
        default=10,
        validators=[MinValueValidator(1), MaxValueValidator(10_000)],
    )
    undo_days = models.PositiveIntegerField(
        _("days in which a deletion can be undone"),
        default=7,
        validators=[MaxValueValidator(3650)],
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name


class UserManager(DjangoUserManager["User"]):
    """Makes users of a tenant; a superuser is made with the super-tenant."""

    def create_superuser(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: raises TypeError that names the command to use."""
        raise TypeError("A superuser belongs to a tenant: use `createsupertenant`.")


class User(AbstractUser):
    """Somebody who belongs to one tenant.

    Raising ``token_version``, or another password, refuses every access and refresh
    token that was given before, at once.
    """

    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="users", verbose_name=_("tenant")
    )
    is_administrator = models.BooleanField(
        _("administrator"),
        default=False,
        help_text=_("May view and edit every object of the tenant, and its users."),
    )
    token_version = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[UserManager] = UserManager()
    REQUIRED_FIELDS: ClassVar[list[str]] = ["email", "tenant"]

    class Meta(AbstractUser.Meta):
        # The table of Django's own users: installations from before keep theirs.
        db_table = "auth_user"

    @property
    def is_super_administrator(self) -> bool:
        """Whether this is an administrator of the super-tenant."""
        return self.is_administrator and self.tenant.is_super


class TenantGroup(Group):
    """A group of one tenant's users; permissions may be granted to it.

    Each tenant has names of its own: what Django's ``name`` holds, which must differ
    from all others, is made of the tenant's number and the ``label``.
    """

    label = models.CharField(_("name"), max_length=100)
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="groups", verbose_name=_("tenant")
    )
    # Group types its own as one of groups.
    objects: ClassVar[models.Manager[TenantGroup]]  # type: ignore[assignment]

    class Meta:
        verbose_name = _("group of a tenant")
        verbose_name_plural = _("groups of tenants")
        constraints = (
            models.UniqueConstraint(
                fields=("tenant", "label"),
                name="one_group_of_a_name",
                violation_error_message=_("There is a group of the name already."),
            ),
        )

    def __str__(self) -> str:
        return self.label

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it with Django's name made anew."""
        self.name = f"{self.tenant_id}/{self.label}"
        super().save(*args, **kwargs)
