"""Whoever reads the logs does not get the files of links that are in them."""

from __future__ import annotations

import logging
import re
from typing import Any

_TOKEN = re.compile(r"(/s/)[^/\s?\"']+")


class HideTokens(logging.Filter):
    """Puts ``***`` in the place of the tokens of share links."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = _hidden(record.msg)
        if isinstance(record.args, tuple):
            record.args = tuple(map(_hidden, record.args))
        return True


def _hidden(value: Any) -> Any:
    return _TOKEN.sub(r"\1***", value) if isinstance(value, str) else value
