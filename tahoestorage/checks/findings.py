"""A finding of a check."""

from __future__ import annotations

from typing import NamedTuple

from django.core.checks import Error, Info, Warning


class Finding(NamedTuple):
    """One thing that is wrong, or was looked at; which storage it is of is added later.

    ``id`` is such as E001, ``hint`` what to do about it.
    """

    level: type[Error | Warning | Info]
    id: str
    text: str
    hint: str
