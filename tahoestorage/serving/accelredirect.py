"""X-Accel-Redirect: downloads that the site allows, and nginx sends."""

from __future__ import annotations

import re
from urllib.parse import quote

from django.http import HttpResponse

from tahoestorage.config.settings import accel_redirect
from tahoestorage.serving.ranges import Range
from tahoestorage.serving.representation import Representation
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap

# nginx decodes the path once, and does not encode it again as it was. Some caps of
# MDMF end in anything.
_PLAIN = re.compile(r"[A-Za-z0-9:-]+")


def accelerated(
    response: HttpResponse, stored: Representation, part: Range | None
) -> bool:
    """Have nginx send the content; return False where it can't, or is not set to.

    It can for files on a grid whose content is not in the cap itself, where
    TAHOE_ACCEL_REDIRECT is set. ``part`` is the range to send. nginx takes the file's
    read cap from the header X-Accel-Redirect, which it does not pass on (nginx's
    ngx_http_proxy_module, ``proxy_hide_header``); ``manage.py tahoe_nginx --accel``
    prints the location for it.

    Raises FileNotFoundError, and what the storage raises.
    """
    storage = stored.storage
    if not isinstance(storage, TahoeStorage):
        return False
    prefix = accel_redirect()
    if prefix is None:
        return False
    entry = storage.file_entry(stored.name)
    cap = Cap.parse(stored.reference or entry.reference).read_only
    if cap.literal is not None or not _PLAIN.fullmatch(cap.uri):
        return False
    query = "" if part is None else f"?bytes={part.first}-{part.last}"
    response["X-Accel-Redirect"] = f"{prefix}{quote(cap.uri, safe='')}{query}"
    return True
