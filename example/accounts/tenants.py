"""A tenant's settings: changed, and written down in the audit."""

from __future__ import annotations

from typing import Any

from django import forms
from django.db import transaction
from django.utils.translation import gettext_lazy as _

from accounts import stores
from accounts.models import Tenant, User
from audit.actions import Action
from audit.recording import record


def change(tenant: Tenant, *, by: User, **fields: Any) -> None:
    """Change those fields of the row, whose values are valid.

    Raises IntegrityError where the name or the short name is taken.
    """
    with transaction.atomic():
        # Nothing else: the counts of what is used change at any time.
        Tenant.objects.filter(pk=tenant.pk).update(**fields)
        changed = ",".join(sorted(fields))
        action = Action.TENANT_CHANGE
        record(action, tenant, tenant_id=tenant.pk, actor=by, fields=changed)


# Django's class takes no type argument at run time.
class ExportStoreForm(forms.ModelForm):  # type: ignore[type-arg]
    """Where a tenant's exports are kept, among the stores that the operator allows.

    A choice that is allowed no longer counts as none, and is shown as that.
    """

    export_store = forms.ChoiceField(
        label=_("Store of new exports"),
        choices=stores.export_choices,
        required=False,
        help_text=_("Those that are there stay where they are."),
    )

    class Meta:
        model = Tenant
        fields = ("export_store",)
