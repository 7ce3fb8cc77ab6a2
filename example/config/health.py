"""``/healthz``: whether this process can serve, for a load balancer."""

from __future__ import annotations

import logging
from collections.abc import Callable

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse

PATH = "/healthz"
logger = logging.getLogger(__name__)


class Health:
    """Answers 200 ``{"database": "ok"}``, or 503 where the database does not answer.

    The store is not asked: where that is away, no other process could do better. It
    stands before what checks the host and redirects to https.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        if request.path_info != PATH or request.method not in {"GET", "HEAD"}:
            return self.get_response(request)
        try:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
        except Error as error:
            logger.error("The database does not answer: %s", error)
            said, status = "away", 503
        else:
            said, status = "ok", 200
        return JsonResponse(
            {"database": said}, status=status, headers={"Cache-Control": "no-store"}
        )
