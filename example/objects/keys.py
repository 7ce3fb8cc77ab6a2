"""The name of a version's bytes in its store, which says whose they are.

Were the database restored from yesterday, the bytes of today would have no rows. So a
key carries what a row can't be made without, and the path for people to know it by:

    tenants/7/8f/VERSION~OBJECT~12~10485760~cGhvdG9zL2EuanBn

The tenant, a directory by a hash, the ids of version and object, the user who uploaded
it, how many bytes were to come, and the folder and name of then in base64url. A path
that is too long is left out, all but the name, or altogether. Bytes that were moved
from another store, or came in parts, have a random end besides. A key is at most 250
characters long, none of which any store folds or refuses.

All but an object's first version are in a share of the tenant's, ``tenants/7/v3/8f``,
of as many as it keeps versions. Of those that it keeps an object has one in each: the
directories stay as small as with one version of each object.

Files that were a field's, before they were objects, keep the names that they had until
they are moved to another store. Such names say nothing of the row.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
import uuid
from dataclasses import dataclass

from django.core.exceptions import ValidationError

from objects import names
from objects.models import Version
from tahoestorage.naming import hashed_directory

PREFIX = "tenants"
MAX_KEY = 250  # characters
MOST_SHARES = 200  # beside 256 directories by a hash
_END = 17  # of what was moved, or came in parts
_KEY = re.compile(
    PREFIX + r"/(\d+)/(?:v\d+/)?[0-9a-f/]+/([0-9a-f]{32})~([0-9a-f]{32})~(\d*)~(\d+)"
    r"~([\w-]*)(~[0-9a-f]{16})?",
    re.ASCII,
)


@dataclass(frozen=True)
class KeyParts:
    """What a key says. ``path`` is ``""`` where it was too long."""

    tenant_id: int
    version_id: uuid.UUID
    object_id: uuid.UUID
    user_id: int | None
    size: int
    path: str


def key_of(version: Version) -> str:
    """Return the key under which a new version's bytes are to be stored."""
    found = version.object
    directory = hashed_directory(version.id.hex)
    if version.number > 1:
        share = version.number % min(max(found.tenant.max_versions, 1), MOST_SHARES)
        directory = f"v{share}/{directory}"
    start = (
        f"{PREFIX}/{found.tenant_id}/{directory}/{version.id.hex}~{found.id.hex}"
        f"~{version.created_by_id or ''}~{version.size or 0}~"
    )
    for path in (found.path, found.name):
        text = base64.urlsafe_b64encode(path.encode()).decode().rstrip("=")
        if len(start) + len(text) <= MAX_KEY - _END:
            return start + text
    return start


def moved_key(version: Version) -> str:
    """Return another key for the version's bytes, which nobody else uses.

    One from before there were such keys, a file field's, becomes one of ours.
    """
    key = version.key
    if read_key(key) is None:
        key = key_of(version)
    start = key[:-_END] if is_moved(key) else key
    return f"{start}~{secrets.token_hex(8)}"


def is_moved(key: str) -> bool:
    """Whether `moved_key` made the key."""
    return key[-_END:].startswith("~") and key.count("~") == 5


def read_key(key: str) -> KeyParts | None:
    """Return what a key says; None where it is none of ours."""
    found = _KEY.fullmatch(key)
    if found is None:
        return None
    tenant, version, of, user, size, text, _ = found.groups()
    try:
        path = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode()
        if path:
            path = "/".join(filter(None, names.clean_path(path)))
    except (binascii.Error, UnicodeDecodeError, ValidationError):
        return None
    return KeyParts(
        int(tenant),
        uuid.UUID(version),
        uuid.UUID(of),
        int(user) if user else None,
        int(size),
        path,
    )
