"""Requests for a resumable upload's URL count as those of whoever began the upload."""

from __future__ import annotations

from typing import Any

from django.db import InterfaceError, OperationalError

from accounts.counting import address_of
from api.throttles import AnonymousThrottle, TenantThrottle, UserThrottle
from uploads.models import Upload


class UploadUserThrottle(UserThrottle):
    def who(self, request: Any) -> Any:
        return _author(request)[0]


class UploadTenantThrottle(TenantThrottle):
    def who(self, request: Any) -> Any:
        return _author(request)[1]


class NoUploadThrottle(AnonymousThrottle):
    """Counts by their address who asks for what is no upload."""

    def who(self, request: Any) -> Any:
        return address_of(request) if _author(request)[0] is None else None


def _author(request: Any) -> tuple[int | None, int | None]:
    """Return the numbers of the upload's user and tenant, None of what is no upload.

    It is looked up once for a request. Where the database is away nobody is known: the
    view tells of that.
    """
    if not hasattr(request, "upload_author"):
        rows = Upload.objects.filter(pk=request.parser_context["kwargs"]["pk"])
        try:
            found = rows.values_list("user", "user__tenant").first()
        except (OperationalError, InterfaceError):
            found = None
        request.upload_author = found or (None, None)
    author: tuple[int | None, int | None] = request.upload_author
    return author
