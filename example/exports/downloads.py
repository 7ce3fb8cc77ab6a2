"""A ready export on its way to whoever may fetch it."""

from __future__ import annotations

import logging

from django.db import transaction
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _

from accounts import stores
from accounts.models import User
from audit.actions import Action
from audit.downloads import begins
from config.errors import ForPeople
from exports.models import Export
from exports.starting import note
from tahoestorage.serving import serve

logger = logging.getLogger(__name__)


class BytesMissing(ForPeople):
    """The store lacks an export that is said to be ready."""


def opened(request: HttpRequest, export: Export, user: User) -> HttpResponseBase:
    """Return the response to a GET or HEAD of a ready export.

    Ranges and conditions are honoured. Each GET is written down, but for parts that
    begin behind the first byte. Raises BytesMissing, StoreGone, and what the storage
    raises.
    """
    try:
        response = serve(
            request,
            stores.storage_of(export.store),
            export.key,
            as_attachment=True,
            etag=export.etag,
            filename=export.filename,
        )
    except Http404:
        logger.error("The store %s lacks export %s", export.store, export.pk)
        raise BytesMissing(
            _("Its bytes are missing in the store. Export it again.")
        ) from None
    if request.method == "GET" and begins(response):
        try:
            with transaction.atomic():
                note(Action.EXPORT_DOWNLOAD, export, user)
        except BaseException:
            response.close()
            raise
    return response
