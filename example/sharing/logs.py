"""Whoever reads the logs does not get what the URLs in them let their holders do."""

from __future__ import annotations

import logging
import re
from typing import Any

_TOKEN = re.compile(
    r"(/s/|/api/v1/links/|/api/v1/uploads/(?:direct/)?(?=[0-9a-fA-F]{8})"
    r"|/accounts/set/[^/\s?\"']+/(?!set-password))[^/\s?\"']+"
)


class HideTokens(logging.Filter):
    """Puts ``***`` in the place of tokens: of share links, of links to an object, of
    uploads, of mails that set a password.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _hidden(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(map(_hidden, record.args))
        return True


def _hidden(value: Any) -> Any:
    return _TOKEN.sub(r"\1***", value) if isinstance(value, str) else value
