"""Every error of the API as a problem document (RFC 9457)."""

from __future__ import annotations

import http
import logging
from typing import Any

from django.core.exceptions import (
    NON_FIELD_ERRORS,
    SuspiciousOperation,
    ValidationError,
)
from django.db import DataError, InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.http.request import UnreadablePostError
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from django.views import defaults
from django.views.decorators.csrf import csrf_exempt
from rest_framework import exceptions
from rest_framework.response import Response
from rest_framework.views import exception_handler

from accounts.counting import CountsAway
from accounts.logins import LockedOut
from accounts.quotas import QuotaExceeded
from api.throttles import counted
from config.conflicts import is_conflict
from config.errors import ForPeople
from objects.changing import ObjectGone, ObjectNameTaken, PathTaken
from objects.conditions import Unmet
from objects.granting import NobodyAdministers
from objects.incoming import Truncated
from objects.pace import TooSlow
from objects.storing import Deleted, NotStored, Refused
from tahoestorage.exceptions import TahoeStorageError
from uploads.purposes import Unfit

MEDIA_TYPE = "application/problem+json"
PREFIX = "/api/"
RETRY_AFTER = 30  # seconds
logger = logging.getLogger(__name__)


class Problem(exceptions.APIException):
    """An error of one kind, with its status; ``detail`` is for a person."""

    def __init__(self, status: int, detail: Any, code: str) -> None:
        super().__init__(detail, code)
        self.status_code = status


def document(status: int, detail: str, **more: Any) -> dict[str, Any]:
    """Return the members of a problem document."""
    return {
        "type": "about:blank",
        "title": phrase(status),
        "status": status,
        "detail": detail,
    } | {key: value for key, value in more.items() if value}


def phrase(status: int) -> str:
    """Return a status in words; 460 is the tus protocol's own."""
    return "Checksum Mismatch" if status == 460 else http.HTTPStatus(status).phrase


def handle(error: Exception, context: dict[str, Any]) -> Response | None:
    """Return the response to what a view raised, None to let Django answer with 500."""
    error = counted(_translated(error), context)
    response = exception_handler(error, context)
    if response is None:
        return None
    detail, errors = _told(response.data)
    response.data = document(response.status_code, detail, errors=errors)
    response.content_type = MEDIA_TYPE
    if response.status_code == 503:
        response["Retry-After"] = str(RETRY_AFTER)
    return response


def _translated(error: Exception) -> Exception:
    """Return the error as one that Django REST framework has a status for."""
    if isinstance(error, ValidationError):
        if hasattr(error, "error_dict") and NON_FIELD_ERRORS not in error.error_dict:
            return exceptions.ValidationError(error.message_dict)
        return exceptions.ValidationError(error.messages)
    if isinstance(error, LockedOut):
        return exceptions.Throttled(error.seconds, str(error))
    if isinstance(error, CountsAway):
        logger.error("%s %s", error, error.__cause__)
        return Problem(503, _("Please try again later."), "away")
    if isinstance(error, QuotaExceeded):
        return Problem(507, str(error), "quota_exceeded")
    if isinstance(error, Truncated | UnreadablePostError):
        return Problem(400, _("The body ended too early."), "truncated")
    if isinstance(error, TooSlow):
        return Problem(408, _("The body came too slowly."), "too_slow")
    if isinstance(error, PathTaken):
        return Problem(
            409,
            _("A file has the path of a folder, or a folder has the file's."),
            "path_taken",
        )
    if isinstance(error, ObjectNameTaken):
        return Problem(409, _("Another object has the name."), "name_taken")
    if isinstance(error, NobodyAdministers):
        return Problem(409, str(error), "nobody_administers")
    if isinstance(error, Deleted):
        return Problem(409, _("The object was deleted meanwhile."), "deleted")
    if isinstance(error, Unfit):
        return Problem(422, str(error), "unfit")
    if isinstance(error, Refused):
        return exceptions.PermissionDenied()
    if isinstance(error, Unmet):
        return Problem(412, _("It is not as the condition says."), "unmet")
    if isinstance(error, ObjectGone):
        return exceptions.NotFound()
    if isinstance(error, DataError | OverflowError) or _exceeds_limits(error):
        # Of a parameter that no column can have.
        logger.warning("The database does not take it: %s", type(error).__name__)
        return Problem(400, _("A number or a text is too large."), "too_large")
    if isinstance(error, SuspiciousOperation):
        return Problem(400, _("The request is not valid."), "bad_request")
    if isinstance(error, NotStored):
        logger.error("%s", error)
        return Problem(
            503, _("The store did not take it. Please try again."), "not_stored"
        )
    if is_conflict(error):
        logger.warning("Changed at the same moment: %s", type(error).__name__)
        told = _("Somebody changed the same at this moment. Please try again.")
        return Problem(503, told, "changed_meanwhile")
    if isinstance(error, OperationalError | InterfaceError):
        logger.error("The database failed: %s", error)
        return Problem(
            503, _("The database is away. Please try again later."), "database_away"
        )
    if isinstance(error, OSError | TahoeStorageError):
        logger.error("The store failed: %s", error)
        told = _("The store is away. Please try again later.")
        if isinstance(error, ForPeople):
            told = str(error)
        return Problem(503, told, "store_away")
    return error


def _exceeds_limits(error: Exception) -> bool:
    """Whether PostgreSQL is there, but can't do just this (its errors' class 54)."""
    state = getattr(error.__cause__, "sqlstate", None) or ""
    return isinstance(error, OperationalError) and state.startswith("54")


def _told(data: Any) -> tuple[str, Any]:
    """Return one sentence, and the errors by field where there are such."""
    if isinstance(data, dict) and set(data) <= {"detail", "code", "messages"}:
        return str(data.get("detail", "")), None
    if isinstance(data, list):
        return " ".join(map(str, data)), None
    return _("Some fields are not valid."), data


def as_problem(response: HttpResponseBase) -> HttpResponseBase:
    """Return a response of the package's with a problem document, if it is an error."""
    if response.status_code < 400:
        return response
    problem = _plain(response.status_code, _why(response.status_code))
    for name, value in response.items():
        if name not in {"Content-Type", "Content-Length", "Content-Disposition"}:
            problem[name] = value
    return problem


def _why(status: int) -> str:
    if status == 412:
        return _("It is not as the condition says.")
    if status == 416:
        return _("It has no such range of bytes.")
    return _("The request is not valid.")


@csrf_exempt  # Nothing is done, and a program is to be told why.
def not_found(request: HttpRequest, *args: Any, **kwargs: Any) -> JsonResponse:
    return _plain(404, _("There is no such thing."))


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler400: a problem under the API, a page elsewhere."""
    if request.path.startswith(PREFIX):
        return _plain(400, _("The request is not valid."))
    return defaults.bad_request(request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Django's handler403: a problem under the API, a page elsewhere."""
    if request.path.startswith(PREFIX):
        return _plain(403, _("That is not allowed."))
    return defaults.permission_denied(request, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django's handler500: a problem under the API, a page elsewhere."""
    if request.path.startswith(PREFIX):
        return _plain(500, _("Something went wrong here. It was written down."))
    return defaults.server_error(request)


def _plain(status: int, detail: str) -> JsonResponse:
    return JsonResponse(
        document(status, detail), status=status, content_type=MEDIA_TYPE
    )
