"""A user is in groups of the own tenant only, whoever puts them there."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ValidationError
from django.db.models.signals import m2m_changed
from django.utils.translation import gettext_lazy as _

from accounts.models import TenantGroup, User


def refuse_other_tenants(
    sender: Any,
    instance: Any,
    action: str,
    reverse: bool,
    pk_set: set[int] | None,
    **kwargs: Any,
) -> None:
    """Raise ValidationError where a user and a group are not of one tenant."""
    if action != "pre_add" or not pk_set:
        return
    if reverse:
        tenant = TenantGroup.objects.filter(pk=instance.pk).values_list("tenant")
        there = User.objects.filter(pk__in=pk_set, tenant__in=tenant).count()
    else:
        there = TenantGroup.objects.filter(
            pk__in=pk_set, tenant=instance.tenant_id
        ).count()
    if there != len(pk_set):
        raise ValidationError(_("A group has users of its own tenant only."))


def connect() -> None:
    """Have it asked at each change."""
    m2m_changed.connect(refuse_other_tenants, sender=User.groups.through)
