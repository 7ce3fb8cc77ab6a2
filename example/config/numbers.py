"""Numbers in the environment, each within what the site can do with it."""

from __future__ import annotations

import os

from django.core.exceptions import ImproperlyConfigured

MOST = 1 << 53
"""Bytes: more than any store has."""


def number(name: str, default: int, *, least: int, most: int) -> int:
    """Return a variable's number; raises ImproperlyConfigured for one out of bounds."""
    found = number_or_none(name, least=least, most=most)
    return default if found is None else found


def number_or_all(name: str, default: int, *, least: int, most: int) -> int | None:
    """As `number`; None where the variable says "all"."""
    if os.environ.get(name) == "all":
        return None
    return number(name, default, least=least, most=most)


def number_or_none(name: str, *, least: int, most: int) -> int | None:
    """As `number`; None where the variable is empty, or not there."""
    if not (text := os.environ.get(name)):
        return None
    try:
        found = int(text)
    except ValueError:
        found = None
    if found is None or not least <= found <= most:
        raise ImproperlyConfigured(
            f"{name} must be a whole number from {least} to {most}."
        )
    return found
