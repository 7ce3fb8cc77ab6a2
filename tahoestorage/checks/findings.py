"""What a check finds."""

from __future__ import annotations

from typing import NamedTuple

from django.core.checks import Error, Info, Warning


class Finding(NamedTuple):
    """What is wrong with a storage, whichever storage it is."""

    level: type[Error | Warning | Info]
    id: str
    text: str
    hint: str
