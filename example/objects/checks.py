"""What `manage.py check` says about the stores that objects are kept in.

============  =====================================================================
objects.E001  two aliases lead to one place, or one to where another keeps its own
============  =====================================================================
"""

from __future__ import annotations

import contextlib
from itertools import permutations
from typing import Any

from django.core.checks import CheckMessage, Error
from django.core.files.storage import Storage, storages

from accounts import stores
from objects import keys, quarantine
from objects.sweeping import PARTS
from tahoestorage.care.storeplaces import path_within

SWEPT = (keys.PREFIX, PARTS, quarantine.PREFIX)


def check_places(**options: Any) -> list[CheckMessage]:
    """Refuse two aliases of one place: what one has lost or never had, the other has.

    So too where one keeps its files in a directory of another's that is swept. No
    request is made, so a root that is within another on a grid is not seen.
    """
    found: list[CheckMessage] = []
    made = _made()
    for (alias, storage), (other, outer) in permutations(made.items(), 2):
        path = None
        with contextlib.suppress(Exception):  # Other checks say so.
            path = path_within(storage, outer)
        if path == "" and alias < other:
            where = "lead to one place"
        elif path and path.split("/")[0] in SWEPT:
            where = f"are one within the other: {alias} in {path!r} of {other}"
        else:
            continue
        found.append(
            Error(
                f'STORAGES["{alias}"] and STORAGES["{other}"] {where}. The sweep and a '
                "move would take the bytes of one for copies, or for strays, of the "
                "other.",
                hint="Give each alias a folder, a location, a bucket or a root of its "
                "own, or leave one out.",
                id="objects.E001",
            )
        )
    return found


def _made() -> dict[str, Storage]:
    """Return the storages that can be made; of others the package's checks tell."""
    made = {}
    for alias in stores.aliases():
        with contextlib.suppress(Exception):
            made[alias] = storages[alias]
    return made
