"""Texts that each database can hold: without NUL, and without half a surrogate pair."""

from __future__ import annotations

import re
from typing import TypeGuard

_NOT_STORABLE = re.compile("[\0\ud800-\udfff]")


def is_storable(found: object) -> TypeGuard[str]:
    """Whether it is a text that each database can hold."""
    return isinstance(found, str) and not _NOT_STORABLE.search(found)


def storable(text: str) -> str:
    """Return the text with a mark in place of what some database can't hold."""
    return _NOT_STORABLE.sub("\ufffd", text)
