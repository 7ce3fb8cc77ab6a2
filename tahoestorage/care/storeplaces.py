"""Whether two storages keep their files in one place, or one within the other."""

from __future__ import annotations

from django.core.files.storage import Storage

from tahoestorage.moving.resolve import store_of


def path_within(inner: Storage, outer: Storage) -> str | None:
    """Return the path in ``outer`` below which all files of ``inner`` are.

    It is ``""`` where both have one place: a folder, a root on a grid by whichever of
    its caps, a bucket at one endpoint and a location in it. None where ``inner`` is
    elsewhere, as far as the options tell: no request is made. So a bucket that has two
    endpoints counts as two, and a root on a grid is in no other. Raises
    ImproperlyConfigured where a storage's options are wrong.
    """
    there, here = store_of(outer), store_of(inner)
    if inner is outer:
        return ""
    if here.realm() == "unknown" or here.realm() != there.realm():
        return None
    if not here.base().startswith(there.base()):
        return None
    return here.base().removeprefix(there.base()).rstrip("/")
