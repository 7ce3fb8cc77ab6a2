"""Requests as Django is given them: readable, and of the one charset.

Django reads the headers of which it makes a request before any middleware: an error
there would be nobody's to tell.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.handlers.wsgi import WSGIHandler, WSGIRequest
from django.http import QueryDict
from django.utils.datastructures import MultiValueDict
from django.utils.http import parse_header_parameters

from config.formfiles import FormParser
from config.senders import API, Application


def is_utf8(charset: str) -> bool:
    """Whether what is of the charset can be read as UTF-8; ASCII can be."""
    try:
        return codecs.lookup(charset).name in {"utf-8", "ascii"}
    except (LookupError, ValueError):
        return False


class Utf8Request(WSGIRequest):
    """A request whose query and forms are UTF-8.

    The charset of a Content-Type is the body's, which may be a file; Django would read
    the query by it, too, also where it is no text encoding.
    """

    @property
    def encoding(self) -> None:
        return None

    @encoding.setter
    def encoding(self, charset: str) -> None:
        pass

    def parse_file_upload(
        self, META: Any, post_data: Any
    ) -> tuple[QueryDict, MultiValueDict[str, UploadedFile[Any]]]:
        """Return the fields and the files of a form."""
        parser = FormParser(META, post_data, self.upload_handlers, self.encoding)
        return parser.parse()


class Handler(WSGIHandler):
    """Django's own, with requests of ours."""

    request_class = Utf8Request


class ReadableRequests:
    """A WSGI application; what Django can't read is a 400, told as other errors are."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        if not _is_readable(environ):
            return _refused(environ, start_response)
        return self._application(environ, start_response)


def _is_readable(environ: dict[str, Any]) -> bool:
    """Whether the path is UTF-8, and types' parameters can be read (RFC 2231).

    Django would take a path that is none for the one that has its bytes in percents.
    """
    accepted = environ.get("HTTP_ACCEPT", "").split(",")
    try:
        environ.get("PATH_INFO", "").encode("latin-1").decode()
        for header in (environ.get("CONTENT_TYPE", ""), *accepted):
            parse_header_parameters(header)
    except (LookupError, ValueError):
        return False
    return True


def _refused(
    environ: dict[str, Any], start_response: Callable[..., Any]
) -> Iterable[bytes]:
    status, detail = HTTPStatus.BAD_REQUEST, "The request is not valid."
    kind, body = "text/plain", f"{detail}\n"
    if environ.get("PATH_INFO", "").startswith(API):
        kind = "application/problem+json"
        body = json.dumps(
            {
                "type": "about:blank",
                "title": status.phrase,
                "status": status,
                "detail": detail,
            }
        )
    headers = [("Content-Type", kind), ("Content-Length", str(len(body)))]
    start_response(f"{status.value} {status.phrase}", headers)
    return [] if environ["REQUEST_METHOD"] == "HEAD" else [body.encode()]
