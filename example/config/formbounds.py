"""Forms: how much is taken of whom, before any of it is read.

Django reads a form to look for the token against forgery, before a view asks who sends
it; it keeps large files of it in temporary ones.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit, urlunsplit

from django.conf import settings
from django.contrib.auth.views import redirect_to_login
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme
from django.utils.translation import gettext as _

from accounts import access, quotas
from accounts.models import User
from config.requests import is_utf8
from config.senders import API, FORMS

OF_STRANGERS = 64 << 10
"""Bytes of a form, or of JSON, at most, of who is not signed in."""
OPEN = ("/accounts/", "/admin/")
"""Below these are the pages that take forms of those who are not signed in."""


class FormBounds:
    """Middleware that refuses forms unread; the API bounds its own.

    Of a stranger: what is larger than a name and a password, and all but to sign in or
    to set a password. Of a user: more than ``UPLOAD_LIMIT``, and what the tenant has no
    room for. Of anybody: what is no UTF-8 by its type. It stands before the
    middleware that looks for the token.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_view(
        self, request: HttpRequest, *_view: object
    ) -> HttpResponseBase | None:
        """Return the refusal; None lets the view have the form."""
        is_form = request.method == "POST" and request.content_type in FORMS
        if not is_form or request.path_info.startswith(API):
            return None
        if not is_utf8((request.content_params or {}).get("charset", "utf-8")):
            return _refused(request, 400, _("Forms are UTF-8 here."))
        length = _length(request)
        if isinstance(request.user, User):
            return _of_user(request, request.user, length)
        if not request.path_info.startswith(OPEN):
            return redirect_to_login(_page_of(request))
        return _too_large(request) if length > OF_STRANGERS else None


def _page_of(request: HttpRequest) -> str:
    """Return the path of this site's page that the form is on, "/" where none is told.

    Where the form is sent to may take nothing else, and what was in it is gone.
    """
    page = request.headers.get("Referer", "")
    is_ours = url_has_allowed_host_and_scheme(
        page, {request.get_host()}, require_https=request.is_secure()
    )
    if not is_ours:
        return "/"
    parts = urlsplit(page)
    return urlunsplit(("", "", parts.path, parts.query, "")) or "/"


def _length(request: HttpRequest) -> int:
    """Return the announced bytes: 0 where Django takes them so, and reads nothing."""
    try:
        return int(request.META.get("CONTENT_LENGTH") or 0)
    except ValueError:
        return 0


def _of_user(request: HttpRequest, user: User, length: int) -> HttpResponse | None:
    # Django takes as much beside files, and keeps no file so small.
    files = length - (settings.DATA_UPLOAD_MAX_MEMORY_SIZE or 0)
    if files <= 0:
        return None
    if files > quotas.MOST_BYTES or files > (settings.UPLOAD_LIMIT or files):
        return _too_large(request)
    try:
        # What operators send may be for another tenant.
        if not access.operates(user):
            quotas.check_room(user.tenant_id, files)
    except quotas.QuotaExceeded as error:
        return _refused(request, 507, str(error))
    return None


def _too_large(request: HttpRequest) -> HttpResponse:
    why = _("What was sent is too large. Several files may be sent one by one.")
    return _refused(request, 413, why)


def _refused(request: HttpRequest, status: int, why: str) -> HttpResponse:
    return render(request, "413.html", {"why": why}, status=status)
