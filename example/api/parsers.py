"""Bodies that are read by the view itself, from the request's own stream."""

from __future__ import annotations

from typing import Any

from rest_framework.parsers import BaseParser


class StreamParser(BaseParser):
    """Takes a body of any type, and leaves it unread."""

    media_type = "*/*"

    def parse(
        self, stream: Any, media_type: str | None = None, parser_context: Any = None
    ) -> Any:
        return stream
