"""Bodies: JSON of a bounded size, and streams that the view reads by itself."""

from __future__ import annotations

import errno
import io
import json
import logging
from typing import Any

from django.http.multipartparser import MultiPartParserError
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import parsers
from rest_framework.exceptions import APIException, ParseError

from config.formbounds import OF_STRANGERS
from config.formfiles import FormParser
from config.requests import is_utf8
from objects.incoming import Truncated
from objects.pace import watched

MAX_JSON = 1 << 20  # bytes
FULL = {errno.ENOSPC, errno.EDQUOT}
logger = logging.getLogger(__name__)


class TooLarge(APIException):
    """The body has more bytes than are taken."""

    status_code = 413
    default_detail = gettext_lazy("JSON may have 1 MiB at most.")
    default_code = "too_large"


class TooLargeOfStranger(TooLarge):
    """The same of somebody who is not authenticated."""

    default_detail = gettext_lazy("JSON may have 64 KiB at most without a token.")


class NoRoom(APIException):
    """The host has no room for the files of a form, which it keeps while it reads."""

    status_code = 507
    default_detail = gettext_lazy(
        "The site has no room for a form of that size now: send the file as a body."
    )
    default_code = "no_room"


def _connection(parser_context: Any) -> Any:
    """Return the sender's connection; None where the server does not tell it."""
    request = (parser_context or {}).get("request")
    return None if request is None else request.META.get("gunicorn.socket")


def _check_charset(parser_context: Any) -> None:
    """Raise ParseError where the body is no UTF-8 by its type."""
    request = (parser_context or {}).get("request")
    params = {} if request is None else request.content_params
    if not is_utf8(params.get("charset", "utf-8")):
        raise ParseError(_("The charset must be UTF-8."))


class JSONParser(parsers.BaseParser):
    """Django REST framework's own, for bodies of at most 1 MiB; senders are watched.

    Of who is not authenticated it takes 64 KiB.

    It is no subclass: for those Django REST framework reads the body by itself.
    """

    media_type = "application/json"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        """Return the value; raises TooLarge, TooSlow and ParseError."""
        _check_charset(parser_context)
        # The view has authenticated who sends it, before it asks for the body.
        user = getattr((parser_context or {}).get("request"), "user", None)
        is_known = user is not None and user.is_authenticated
        most = MAX_JSON if is_known else OF_STRANGERS
        with watched(stream, _connection(parser_context)) as watching:
            body = watching.read(most + 1)
        if len(body) > most:
            raise TooLarge if is_known else TooLargeOfStranger
        try:
            told = io.BytesIO(body)
            found = parsers.JSONParser().parse(told, media_type, parser_context)
            # Half a surrogate pair, which no response could repeat.
            json.dumps(found, ensure_ascii=False).encode()
            return found
        except UnicodeEncodeError:
            raise ParseError(_("The JSON has half a character in it.")) from None
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None


class MultiPartParser(parsers.BaseParser):
    """Forms as the site's pages read them; the sender is watched as any body's."""

    media_type = "multipart/form-data"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        """Return fields and files.

        Raises TooSlow, NoRoom and ParseError; Truncated where the form ended early.
        """
        _check_charset(parser_context)
        request = (parser_context or {})["request"]
        meta = {**request.META, "CONTENT_TYPE": media_type}
        body: Any
        with watched(stream, _connection(parser_context)) as body:
            try:
                form = FormParser(meta, body, request.upload_handlers, "utf-8")
                found = parsers.DataAndFiles(*form.parse())
            except MultiPartParserError as error:
                raise ParseError(f"Multipart form parse error - {error}") from error
            except OSError as error:
                if error.errno not in FULL:
                    raise
                logger.exception("There is no room for what a form brings.")
                raise NoRoom from None
        # All of it was asked for. Of a form that ends between two of its parts the
        # others are lost: the file's folder and name, perhaps.
        length = int(request.META.get("CONTENT_LENGTH") or 0)
        if body.taken < length:
            for _field, files in found.files.lists():
                for file in files:
                    file.close()
            raise Truncated(f"{body.taken} of {length} bytes arrived.")
        return found


class StreamParser(parsers.BaseParser):
    """Takes a body of any type, and leaves it unread."""

    media_type = "*/*"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        return stream
