"""Users: invited, changed, deactivated. Each change is written down in the audit."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import IntegrityError, transaction
from django.db.models import F
from django.utils.translation import gettext_lazy as _

from accounts import access
from accounts.models import Tenant, TenantGroup, User
from audit.actions import Action
from audit.recording import record
from config import locks
from objects.administering import still_administered


def invite(
    *,
    by: User | None,
    tenant: Tenant,
    groups: Iterable[TenantGroup] = (),
    **fields: Any,
) -> User:
    """Make a user who has no password yet; ``passwords.send_link`` has a mail sent.

    Raises ValidationError where a field is not valid or the name is taken.
    """
    user = User(tenant=tenant, **fields)
    user.email = User.objects.normalize_email(user.email)
    user.set_unusable_password()
    with transaction.atomic():
        user.full_clean()
        _save(user)
        user.groups.set(groups)
        record(Action.USER_INVITE, user, tenant_id=tenant.pk, actor=by)
    return user


def record_invitation(user: User, *, by: User | None) -> None:
    """Write down that the user is sent another link to set a password."""
    with transaction.atomic():
        record(Action.USER_INVITE, user, tenant_id=user.tenant_id, actor=by, again=True)


def lock(user: User, *, by: User) -> User:
    """Lock the rows of a user and of who is about to change them, in this transaction.

    Returns the latter as they are now: of two administrators who demote each other the
    later is none any more. Raises PermissionDenied where they are inactive, or may not
    change the user; read that one anew after this.
    """
    # In one order, so that two who do this wait for each other, and not both.
    rows = User.objects.filter(pk__in={user.pk, by.pk}).order_by("pk")
    locked = {row.pk: row for row in locks.locked(rows)}
    now = locked.get(by.pk)
    if now is None or not access.users(now).filter(pk=user.pk).exists():
        raise PermissionDenied
    return now


def change(
    user: User,
    *,
    by: User | None,
    groups: Iterable[TenantGroup] | None = None,
    **fields: Any,
) -> None:
    """Change a user's fields and groups.

    Both were locked (`lock`) in this transaction. Who is an administrator no longer
    leaves the admin too; who is deactivated loses all tokens. Raises ValidationError
    where a field is not valid, and where somebody would deactivate or demote
    themselves: so an administrator is left; NobodyAdministers where an object is left
    by who goes out of a group.
    """
    for name in ("is_active", "is_administrator"):
        if by is not None and by.pk == user.pk and fields.get(name) is False:
            raise ValidationError(
                {name: _("Ask another administrator: nobody does this to oneself.")}
            )
    if "email" in fields:
        fields["email"] = User.objects.normalize_email(fields["email"])
    if fields.get("is_administrator") is False:
        fields |= {"is_staff": False, "is_superuser": False}
    elif fields.get("is_staff"):
        fields["is_superuser"] = user.tenant.is_super
    before = {name: getattr(user, name) for name in fields}
    for name, value in fields.items():
        setattr(user, name, value)
    changed = [name for name, value in before.items() if getattr(user, name) != value]
    with transaction.atomic():
        # Of what is not changed nothing is asked: a zone that this host does not know
        # keeps nobody from being refused.
        others = {field.name for field in User._meta.fields} - set(fields)
        user.full_clean(exclude=others)
        if groups is not None:
            # First: who changes a group holds it, and waits for users of a new name.
            # Django's own groups, of before there were tenants, are the admin's.
            kept = user.groups.filter(tenantgroup=None)
            with still_administered(user.tenant_id):
                user.groups.set([*groups, *kept])
        if changed:
            # Nothing else: another request may have changed the password just now.
            _save(user, update_fields=changed)
        if "is_active" in changed and not user.is_active:
            User.objects.filter(pk=user.pk).update(token_version=F("token_version") + 1)
        if groups is not None:
            changed.append("groups")
        if changed:
            record(
                Action.USER_CHANGE,
                user,
                tenant_id=user.tenant_id,
                actor=by,
                fields=",".join(sorted(changed)),
            )


def deactivate(user: User, *, by: User | None) -> None:
    """Refuse the user and all tokens from now on; what they made stays."""
    change(user, by=by, is_active=False)


def _save(user: User, **options: Any) -> None:
    try:
        with transaction.atomic():
            user.save(**options)
    except IntegrityError:  # Somebody took the name since it was looked for.
        raise ValidationError({"username": _("The name is taken.")}) from None
