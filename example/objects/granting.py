"""Rows of a tenant that are granted to its users and groups, one by one.

The one place that decides, for objects (``objects.access``) and whatever else is
granted so, as events. The anonymous and the inactive may nothing, and guardian's tables
are never asked about them. An administrator of the super-tenant may everything; a
tenant's administrator may view and edit every row of the tenant; anybody else what was
granted on the row to them or to a group of theirs. Django's own flags and permissions
of all rows (``is_superuser``, ``user_permissions``) say nothing here. A grant counts
only while the row, the user and the group are of one tenant, whatever the tables say.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeGuard, TypeVar

from django.contrib.auth.models import AnonymousUser, Group, Permission
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.db.models import Exists, ExpressionWrapper, F, OuterRef, Q, QuerySet
from django.utils.translation import gettext_lazy as _

from accounts.models import Tenant, TenantGroup, User
from accounts.prepared import Parameter, Prepared
from audit.actions import Action
from audit.recording import record
from config import locks

Row = TypeVar("Row", bound=models.Model)
Holder = User | TenantGroup
MAX_GRANTS = 1000  # on one row
MANY = 1000  # rows that are granted


class Access(enum.Enum):
    """What may be done; each includes those before it."""

    VIEW = "view_storedobject"
    EDIT = "edit_object"
    ADMINISTER = "administer_object"

    @property
    def word(self) -> str:
        """The API's word for it: ``view``, ``edit`` or ``administer``."""
        return self.name.lower()

    @classmethod
    def of_word(cls, word: str) -> Access:
        """Return the access of the API's word; raises KeyError where there is none."""
        return cls[word.upper()]


_ORDER = list(Access)


@dataclass(frozen=True)
class Grant:
    """What one user or one group may do to a row."""

    holder_id: int
    name: str
    is_group: bool
    access: Access


class NobodyAdministers(Exception):
    """The last one who administers the row would be gone."""


def may_anything(user: User | AnonymousUser) -> TypeGuard[User]:
    """Whether it is a user who is active: others are refused before all else."""
    return bool(user.is_authenticated and user.is_active)


def holder_of(
    tenant_id: int, *, user: int | None = None, group: int | None = None
) -> Holder:
    """Return the user or the group of the tenant; exactly one is given.

    Raises ValidationError, the same for one of another tenant and for none at all.
    """
    if (user is None) == (group is None):
        raise ValidationError(_("Name a user or a group, and one of them only."))
    found: Holder | None = None
    if user is not None:
        found = User.objects.filter(pk=user, tenant=tenant_id).first()
    elif group is not None:
        found = TenantGroup.objects.filter(pk=group, tenant=tenant_id).first()
    if found is None:
        raise ValidationError(_("There is no such user or group in the tenant."))
    return found


KINDS: list[Granted[Any]] = []
"""All models whose rows are granted."""


class Granted(Generic[Row]):
    """A model whose rows are granted, with its two tables of grants.

    ``codenames`` are those of the model's permissions, ``related`` what a row that is
    asked for alone brings along. Whether a caller may grant is asked before.
    """

    def __init__(
        self,
        model: type[Row],
        of_users: type[Any],
        of_groups: type[Any],
        codenames: Mapping[Access, str],
        related: Sequence[str] = (),
    ) -> None:
        self.model, self.of_users, self.of_groups = model, of_users, of_groups
        self.codenames = dict(codenames)
        self._accesses = {name: access for access, name in codenames.items()}
        self._related = tuple(related)
        self._ones = {
            each: [
                Prepared(partial(self._one_by, granted, each))
                for granted in (self._to_users, self._to_groups)
            ]
            for each in Access
        }
        self._permissions = Prepared(self._of_model)
        KINDS.append(self)

    def visible(
        self,
        user: User | AnonymousUser,
        access: Access = Access.VIEW,
        *,
        among: Collection[Any] | None = None,
        each: bool = False,
    ) -> QuerySet[Row]:
        """Return the rows that the user has that access to, of those keys if given.

        The database decides, by subqueries: no list of ids is fetched. With ``each`` it
        asks of each row by itself, and does not go through all that the user was
        granted: where few rows come into question, as one folder's.
        """
        everything = self.model._default_manager.all()
        if among is not None:
            everything = everything.filter(pk__in=among)
        if not may_anything(user):
            return everything.none()
        if user.is_super_administrator:
            return everything
        of_tenant = everything.filter(tenant=user.tenant_id)
        if among is not None:
            # SQLite would go through the tenant's, by the index of that column.
            tenant = ExpressionWrapper(F("tenant_id") + 0, models.BigIntegerField())
            own: Any = everything.alias(own=tenant)
            of_tenant = own.filter(own=user.tenant_id)
        if user.is_administrator and access is not Access.ADMINISTER:
            return of_tenant
        granted = [
            kind(access, user.pk, user.tenant_id)
            for kind in (self._to_users, self._to_groups)
        ]
        if each or among is not None:
            key = OuterRef("pk")
            one, other = (Exists(rows.filter(content_object=key)) for rows in granted)
            return of_tenant.filter(Q(one) | Q(other))
        to_users, to_groups = (rows.values("content_object") for rows in granted)
        return of_tenant.filter(Q(pk__in=to_users) | Q(pk__in=to_groups))

    def has_many(self, user: User) -> bool:
        """Whether so many rows were granted to the user, or to groups of theirs, that
        it is quicker to ask of each row than to go through them.
        """
        return any(
            kind(Access.VIEW, user.pk, user.tenant_id)[MANY - 1 : MANY].exists()
            for kind in (self._to_users, self._to_groups)
        )

    def _to_users(self, access: Access, user: Any, tenant: Any) -> QuerySet[Any]:
        """Return the grants of that access to the user."""
        return self.of_users.objects.filter(
            user=user, permission__in=self.permissions(access)
        )

    def _to_groups(self, access: Access, user: Any, tenant: Any) -> QuerySet[Any]:
        """Return the grants of that access to the user's groups of the tenant."""
        return self.of_groups.objects.filter(
            group__in=Group.objects.filter(user=user, tenantgroup__tenant=tenant),
            permission__in=self.permissions(access),
        )

    def _included(self, access: Access) -> list[str]:
        return [self.codenames[one] for one in _ORDER[_ORDER.index(access) :]]

    def one(
        self, user: User | AnonymousUser, pk: Any, access: Access = Access.VIEW
    ) -> Row | None:
        """Return the row of the key as `visible` has it, None where it is not there."""
        if not may_anything(user) or user.is_administrator:
            rows = self.visible(user, access).filter(pk=pk)
            return self._with_related(rows).first()
        # Nearly every request asks for one. Mostly the user has a grant of their own,
        # and to look for groups, too, takes the database twice as long.
        for prepared in self._ones[access]:
            found = prepared.first(user=user.pk, tenant=user.tenant_id, pk=pk)
            if found is not None:
                return found
        return None

    def _one_by(
        self, granted: Callable[..., QuerySet[Any]], access: Access
    ) -> QuerySet[Row]:
        """Return the query of one row on which that access was granted so."""
        pk, tenant = Parameter("pk", self.model), Parameter("tenant", Tenant)
        grants = granted(access, Parameter("user", User), tenant)
        rows = self.model._default_manager.filter(
            pk__in=grants.filter(content_object=pk).values("content_object"),
            pk=pk,
            tenant=tenant,
        )
        return self._with_related(rows).order_by()

    def _with_related(self, rows: QuerySet[Row]) -> QuerySet[Row]:
        # With no name at all it would take whatever there is.
        return rows.select_related(*self._related) if self._related else rows

    def allows(
        self, user: User | AnonymousUser, found: Row, access: Access = Access.VIEW
    ) -> bool:
        """Whether the user has that access to the row."""
        return self.one(user, found.pk, access) is not None

    def permission_ids(self) -> dict[Access, int]:
        """Return the keys of Django's rows of the three permissions, by one query."""
        return {self._accesses[one.codename]: one.pk for one in self._permissions.all()}

    def permissions(self, access: Access) -> QuerySet[Permission, int]:
        """Return the keys of Django's rows that give that access, for a subquery."""
        rows = self._of_model().filter(codename__in=self._included(access))
        return rows.values_list("pk", flat=True)

    def _of_model(self) -> QuerySet[Permission]:
        return Permission.objects.filter(
            content_type__app_label=self.model._meta.app_label,
            content_type__model=self.model._meta.model_name,
            codename__in=self._accesses,
        ).order_by()

    def grants(self, found: Row) -> list[Grant]:
        """Return what is granted on the row: each holder's widest, by two queries.

        Users come first, each kind by name. What does not count is left out.
        """
        widest: dict[tuple[bool, str, int], Access] = {}
        rows: list[tuple[bool, str, int, str]] = [
            (False, name, pk, codename)
            for name, pk, codename in self.of_users.objects.filter(
                content_object=found, user__tenant=_tenant_of(found)
            ).values_list("user__username", "user", "permission__codename")
        ]
        rows += [
            (True, name, pk, codename)
            for name, pk, codename in self.of_groups.objects.filter(
                content_object=found, group__tenantgroup__tenant=_tenant_of(found)
            ).values_list("group__tenantgroup__label", "group", "permission__codename")
        ]
        for is_group, name, pk, codename in rows:
            access = self._accesses[codename]
            key = (is_group, name, pk)
            widest[key] = max(widest.get(key, access), access, key=_ORDER.index)
        return [
            Grant(pk, name, is_group, widest[is_group, name, pk])
            for is_group, name, pk in sorted(widest)
        ]

    def grant(
        self, found: Row, holder: Holder, access: Access, *, actor: User | None
    ) -> Grant:
        """Let the holder have that access, and no wider one that they had before.

        Raises ValidationError where the holder is of another tenant or the row has its
        most, and NobodyAdministers where this would take that from the last one who is
        active.
        """
        with transaction.atomic():
            self._lock(found)
            administered = self._take(found, holder)
            self._make(found, holder, self.permission_ids()[access])
            self._check(found, taken=administered)
            _record(Action.PERMISSION_GRANT, found, holder, actor, access=access.word)
        return Grant(
            holder.pk,
            holder.username if isinstance(holder, User) else holder.label,
            isinstance(holder, TenantGroup),
            access,
        )

    def revoke(self, found: Row, holder: Holder, *, actor: User | None) -> bool:
        """Take back what was granted to the holder; returns whether there was anything.

        Raises NobodyAdministers where nobody active would administer the row any more.
        """
        with transaction.atomic():
            self._lock(found)
            administered = self._take(found, holder)
            if administered is None:
                return False
            self._check(found, taken=administered)
            _record(Action.PERMISSION_REVOKE, found, holder, actor)
        return True

    def forget_elsewhere(self, user: User) -> None:
        """Take back what the user was granted in tenants they do not belong to."""
        rows = self.of_users.objects.filter(user=user)
        rows.exclude(content_object__tenant=user.tenant_id).delete()

    def _lock(self, found: Row) -> None:
        # Two who take back each other's permission: one comes second, and is told.
        locks.locked(self.model._default_manager.filter(pk=found.pk)).get()
        # Of groups whose members leave at this moment it is waited what becomes.
        held = self.of_groups.objects.filter(content_object=found).values("group")
        groups = TenantGroup.objects.filter(tenant=_tenant_of(found), pk__in=held)
        list(locks.locked(groups.order_by("pk")))

    def _held(self, found: Row, holder: Holder) -> QuerySet[Any]:
        rows: QuerySet[Any]
        if isinstance(holder, User):
            rows = self.of_users.objects.filter(user=holder)
        else:
            rows = self.of_groups.objects.filter(group=holder.pk)
        return rows.filter(content_object=found)

    def _make(self, found: Row, holder: Holder, permission: int) -> None:
        if isinstance(holder, User):
            self.of_users.objects.create(
                user=holder, permission_id=permission, content_object=found
            )
        else:
            self.of_groups.objects.create(
                group=holder, permission_id=permission, content_object=found
            )

    def _take(self, found: Row, holder: Holder) -> bool | None:
        """Take it back; returns whether the holder administered, None: had nothing."""
        held = self._held(found, holder)
        names = set(held.values_list("permission__codename", flat=True))
        held.delete()
        return self.codenames[Access.ADMINISTER] in names if names else None

    def _check(self, found: Row, *, taken: bool | None) -> None:
        """Raise where there are too many, or the last who administers was taken."""
        if len(self.grants(found)) > MAX_GRANTS:
            raise ValidationError(
                _("At most %(count)s users and groups may have permissions.")
                % {"count": MAX_GRANTS}
            )
        if taken and not self._is_administered(found):
            raise NobodyAdministers(_("Somebody has to administer it."))

    def _is_administered(self, found: Row) -> bool:
        """Whether somebody who is active administers it, by a group or themselves."""
        may = Q(
            content_object=found, permission__codename=self.codenames[Access.ADMINISTER]
        )
        active = User.objects.filter(is_active=True, tenant=_tenant_of(found))
        groups = TenantGroup.objects.filter(tenant=_tenant_of(found), user__in=active)
        return (
            self.of_users.objects.filter(may, user__in=active).exists()
            or self.of_groups.objects.filter(
                may, group__in=groups.values("pk")
            ).exists()
        )


def _tenant_of(found: Any) -> int:
    tenant: int = found.tenant_id
    return tenant


def _record(
    action: Action,
    found: models.Model,
    holder: Holder,
    actor: User | None,
    **details: str,
) -> None:
    kind = "user" if isinstance(holder, User) else "group"
    record(
        action,
        found,
        tenant_id=_tenant_of(found),
        actor=actor,
        **{kind: holder.pk},
        **details,
    )
