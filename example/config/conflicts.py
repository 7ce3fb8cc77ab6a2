"""What somebody else changed at the same moment: nothing is done then, and is told so.

Rows are locked in one order (``config/locks.py``). What remains is a row that was
deleted before another that refers to it was there, and whatever the database gives up.
"""

from __future__ import annotations

from collections.abc import Callable

from django.db import IntegrityError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render

REFERS = ("23503", "SQLITE_CONSTRAINT_FOREIGNKEY")
"""A row refers to one that is gone: PostgreSQL's code, and SQLite's."""
GIVEN_UP = ("40001", "40P01", "55P03")
"""PostgreSQL's, of transactions that waited for each other."""


def is_conflict(error: BaseException) -> bool:
    """Whether the same may be tried again at once: others changed what it needs."""
    cause = error.__cause__
    if isinstance(error, IntegrityError):
        name = getattr(cause, "sqlite_errorname", None)
        return name in REFERS or getattr(cause, "sqlstate", None) in REFERS
    state = getattr(cause, "sqlstate", None)
    return isinstance(error, OperationalError) and state in GIVEN_UP


class ConflictErrors:
    """Answers with a page that says so, with status 503."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        """Return the page; None for other errors."""
        if not is_conflict(exception):
            return None
        response = render(request, "pages/conflict.html", status=503)
        response["Retry-After"] = "1"
        return response
