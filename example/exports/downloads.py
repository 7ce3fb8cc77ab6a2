"""A ready export on its way to whoever may fetch it."""

from __future__ import annotations

import re

from django.db import transaction
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from accounts.models import User
from audit.actions import Action
from exports import places
from exports.models import Export
from exports.starting import note
from tahoestorage.serving import serve

_LATER = re.compile(r"bytes=0*[1-9][0-9]*-[0-9]*")


def opened(request: HttpRequest, export: Export, user: User) -> HttpResponseBase:
    """Return the response to a GET or HEAD of a ready export.

    Ranges and conditions are honoured. Each GET is written down, but for ranges that
    begin behind the first byte. Raises Http404 where the store lacks it, StoreGone, and
    what the storage raises.
    """
    response = serve(
        request,
        places.storage_of(export.store),
        export.key,
        as_attachment=True,
        etag=export.etag,
        filename=export.filename,
    )
    is_later = _LATER.fullmatch(request.headers.get("Range", ""))
    if request.method == "GET" and response.status_code in (200, 206) and not is_later:
        try:
            with transaction.atomic():
                note(Action.EXPORT_DOWNLOAD, export, user)
        except BaseException:
            response.close()
            raise
    return response
