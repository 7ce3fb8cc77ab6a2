"""Bodies: JSON of a bounded size, and streams that the view reads by itself."""

from __future__ import annotations

import io
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from rest_framework import parsers
from rest_framework.exceptions import APIException, ParseError

from objects.pace import watched

MAX_JSON = 1 << 20  # bytes


class TooLarge(APIException):
    """The body has more bytes than are taken."""

    status_code = 413
    default_detail = gettext_lazy("JSON may have 1 MiB at most.")
    default_code = "too_large"


class JSONParser(parsers.JSONParser):
    """Django REST framework's own, for bodies of at most 1 MiB."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        """Return the value; raises TooLarge and ParseError."""
        body = stream.read(MAX_JSON + 1)
        if len(body) > MAX_JSON:
            raise TooLarge
        try:
            return super().parse(io.BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError(_("The JSON is nested too deeply.")) from None


class MultiPartParser(parsers.MultiPartParser):
    """Django REST framework's own; the sender is watched as any body's."""

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        """Return fields and files; raises TooSlow and ParseError."""
        connection = parser_context["request"].META.get("gunicorn.socket")
        with watched(stream, connection) as body:
            return super().parse(body, media_type, parser_context)


class StreamParser(parsers.BaseParser):
    """Takes a body of any type, and leaves it unread."""

    media_type = "*/*"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        return stream
