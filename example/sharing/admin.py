from typing import ClassVar

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from accounts.access import user_of
from accounts.scoping import ReadOnlyAdmin
from sharing import links
from sharing.models import ShareLink


@admin.register(ShareLink)
class ShareLinkAdmin(ReadOnlyAdmin):
    """To be read and revoked; links are made by the API, which shows the token."""

    tenant_field = "object__tenant"
    tenant_of: ClassVar = {"object": "tenant", "created_by": "tenant"}
    list_display = ("object", "created_by", "expires_at", "downloads", "revoked_at")
    list_select_related = ("object", "created_by")
    list_filter = ("expires_at",)
    exclude = ("token_sha256",)
    actions = ("revoke",)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("sharing.change_sharelink")

    @admin.action(description=_("Revoke the links"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[ShareLink]) -> None:
        for link in queryset.select_related("object"):
            links.revoke(link, actor=user_of(request))
