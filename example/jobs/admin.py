from collections.abc import Callable
from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from accounts.access import user_of
from accounts.scoping import ReadOnlyAdmin
from jobs import control
from jobs.models import Job


@admin.register(Job)
class JobAdmin(ReadOnlyAdmin):
    """To be read, cancelled and tried again; requests start jobs."""

    tenant_field = "tenant"
    tenant_of: ClassVar = {"owner": "tenant", "tenant": "pk"}
    list_display = ("kind", "owner", "state", "done", "of", "attempts", "created_at")
    list_select_related = ("owner",)
    list_filter = ("state", "kind", "created_at")
    search_fields = ("id",)
    show_full_result_count = False
    actions = ("cancel", "try_again")

    def has_control_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("jobs.change_job")

    @admin.action(description=_("Cancel the jobs"), permissions=["control"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, control.cancel)

    @admin.action(description=_("Try the jobs again"), permissions=["control"])
    def try_again(self, request: HttpRequest, queryset: QuerySet[Job]) -> None:
        self._each(request, queryset, control.try_again)

    def _each(
        self, request: HttpRequest, jobs: QuerySet[Job], do: Callable[..., bool]
    ) -> None:
        actor = user_of(request)
        count = sum(do(job, actor=actor) for job in jobs)
        text = ngettext(
            "It was done for %(n)s job.", "It was done for %(n)s jobs.", count
        )
        self.message_user(request, text % {"n": count})
