"""Every error of the API as a problem document (RFC 9457)."""

from __future__ import annotations

import http
import logging
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.http import Http404, HttpRequest, JsonResponse
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from accounts.quotas import QuotaExceeded
from objects.incoming import Truncated
from objects.storing import NotStored

MEDIA_TYPE = "application/problem+json"
logger = logging.getLogger(__name__)


class Problem(exceptions.APIException):
    """An error of one kind, with its status; ``detail`` is for a person."""

    def __init__(self, status: int, detail: Any, code: str) -> None:
        super().__init__(detail, code)
        self.status_code = status


def document(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """Return the members of a problem document."""
    title = http.HTTPStatus(status).phrase
    return {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    } | {key: value for key, value in more.items() if value}


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response to what a view raised, None to let Django answer with 500."""
    response = exception_handler(_translated(error), context)
    if response is None:
        return None
    detail, errors = _told(response.data)
    response.data = document(response.status_code, detail, errors=errors)
    response.content_type = MEDIA_TYPE
    return response


def _translated(error: Exception) -> Exception:
    if isinstance(error, ValidationError):
        return exceptions.ValidationError(error.messages)
    if isinstance(error, QuotaExceeded):
        return Problem(507, str(error), "quota_exceeded")
    if isinstance(error, Truncated):
        return Problem(400, str(error), "truncated")
    if isinstance(error, NotStored):
        logger.error("%s", error)
        return Problem(
            503, "The store did not take it. Please try again.", "not_stored"
        )
    if isinstance(error, OSError) and not isinstance(
        error, (Http404, PermissionDenied)
    ):
        logger.error("The store failed: %s", error)
        return Problem(503, "The store is away. Please try again later.", "store_away")
    return error


def _told(data: Any) -> tuple[str, Any]:
    """Return one sentence, and the errors by field where there are such."""
    if isinstance(data, dict) and set(data) <= {"detail", "code", "messages"}:
        return str(data.get("detail", "")), None
    if isinstance(data, list):
        return " ".join(map(str, data)), None
    return "Some fields are not valid.", data


def not_found(request: HttpRequest) -> JsonResponse:
    return _plain(404, "There is no such thing.")


def server_error(request: HttpRequest) -> JsonResponse:
    return _plain(500, "Something went wrong here. It was written down.")


def _plain(status: int, detail: str) -> JsonResponse:
    return JsonResponse(
        document(status, detail), status=status, content_type=MEDIA_TYPE
    )
