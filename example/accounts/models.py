"""Tenants, the people who belong to them, and their groups."""

from __future__ import annotations

import functools
import zoneinfo
from datetime import timedelta
from typing import Any, ClassVar, NoReturn

from django.contrib.auth.models import AbstractUser, Group
from django.contrib.auth.models import UserManager as DjangoUserManager
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils.crypto import salted_hmac
from django.utils.translation import gettext_lazy as _

from accounts.stores import check_alias, check_export_alias

MOST_UNDO_DAYS = 3650


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
    export_store = models.CharField(
        _("store of exports"),
        max_length=100,
        blank=True,
        validators=[check_export_alias],
        help_text=_("The alias of the store that exports go to; empty: the site's."),
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
        validators=[MaxValueValidator(MOST_UNDO_DAYS)],
    )
    created_at = models.DateTimeField(_("created"), auto_now_add=True)

    class Meta:
        verbose_name = _("tenant")
        verbose_name_plural = _("tenants")
        ordering = ("name", "pk")

    def __str__(self) -> str:
        return self.name

    @property
    def undo_time(self) -> timedelta:
        """For how long a deletion can be undone.

        A row of before there was a limit may have days that no date has.
        """
        return timedelta(days=min(self.undo_days, MOST_UNDO_DAYS))


class UserManager(DjangoUserManager["User"]):
    """Makes users of a tenant; a superuser is made with the super-tenant."""

    def create_superuser(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: raises TypeError that names the command to use."""
        raise TypeError("A superuser belongs to a tenant: use `createsupertenant`.")


@functools.cache
def time_zones() -> tuple[tuple[str, str], ...]:
    """Return the time zones that this host knew at first, as choices.

    Each serializer of a user asks, and the host's are hundreds of files.
    """
    # Debian has these two beside the zones.
    names = zoneinfo.available_timezones() - {"localtime", "Factory"}
    return tuple((name, name) for name in sorted(names))


class User(AbstractUser):
    """Somebody who belongs to one tenant.

    Raising ``token_version``, or another password, refuses every access and refresh
    token that was given before, at once, and ends every session.
    """

    tenant = models.ForeignKey(
        Tenant, models.PROTECT, related_name="users", verbose_name=_("tenant")
    )
    is_administrator = models.BooleanField(
        _("administrator"),
        default=False,
        help_text=_("May view and edit every object of the tenant, and its users."),
    )
    time_zone = models.CharField(
        _("time zone"),
        max_length=64,
        blank=True,
        choices=time_zones,
        help_text=_("In which pages show times. Empty: the site's."),
    )
    token_version = models.PositiveIntegerField(default=0, editable=False)

    objects: ClassVar[UserManager] = UserManager()
    REQUIRED_FIELDS: ClassVar[list[str]] = ["email", "tenant"]

    class Meta(AbstractUser.Meta):
        # The table of Django's own users: installations from before keep theirs.
        db_table = "auth_user"

    def clean(self) -> None:
        """Refuse a new name that could be an id: commands take both."""
        super().clean()
        if not (self.username.isascii() and self.username.isdecimal()):
            return
        if not User.objects.filter(pk=self.pk, username=self.username).exists():
            raise ValidationError({"username": _("A name is more than digits.")})

    def _get_session_auth_hash(self, secret: str | None = None) -> str:
        """Let sessions end with the tokens: both of Django's own methods ask this."""
        value = f"{self.token_version}:{self.password}"
        return salted_hmac(
            "accounts.sessions", value, secret=secret, algorithm="sha256"
        ).hexdigest()

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
    # Django's own Group has a manager of another type.
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
