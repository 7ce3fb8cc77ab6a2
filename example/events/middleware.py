"""What a visitor sees when the file store cannot be used."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.shortcuts import render

logger = logging.getLogger(__name__)


class StoreErrors:
    """Answers with a plain page and 503 where a store raised an OSError.

    Every storage reports an outage as one: a gateway that is down, too few storage
    servers, a full disk. The log has the reason; the visitor is asked to try again.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_exception(
        self, request: HttpRequest, exception: Exception
    ) -> HttpResponse | None:
        # A visitor who hung up in the middle of an upload is no fault of the store.
        if not isinstance(exception, OSError) or isinstance(
            exception, UnreadablePostError
        ):
            return None
        logger.error("The file store failed: %s", exception, exc_info=exception)
        response = render(request, "events/store_away.html", status=503)
        response["Retry-After"] = "30"
        return response
