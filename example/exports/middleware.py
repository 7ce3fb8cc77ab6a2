"""Whoever comes to a page is told there of exports that are ready."""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from exports import telling


class ReadyExports:
    """Adds messages to pages that a browser loads as a whole."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        is_page = (
            request.method == "GET"
            and not request.path.startswith(("/api/", "/static/", "/s/", "/admin/"))
            and "HX-Request" not in request.headers
            and request.accepts("text/html")
            # Pictures and downloads within a page are no pages.
            and request.headers.get("Sec-Fetch-Dest", "document") == "document"
        )
        if is_page:
            telling.add_messages(request)
        return self.get_response(request)
