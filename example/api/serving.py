"""Contents on their way to the client, by what the package serves files with."""

from __future__ import annotations

import logging
from typing import Any

from django.conf import settings
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.utils.translation import gettext as _
from rest_framework.request import Request
from rest_framework.views import APIView

from api.problems import Problem, as_problem
from objects.conditions import content_etag, content_modified
from objects.models import StoredObject, Version
from tahoestorage.serving import serve

logger = logging.getLogger(__name__)


class OfAnyKind(APIView):
    """A view that responds with a file; errors are problems all the same."""

    def perform_content_negotiation(self, request: Request, force: bool = False) -> Any:
        """Refuse nobody for it: a file is of the kind that it is."""
        return super().perform_content_negotiation(request, force=True)


def download(
    request: HttpRequest, found: StoredObject, version: Version
) -> HttpResponseBase:
    """Return the response to a GET or HEAD of a version's content.

    Ranges and conditions are honoured. It is sent by X-Accel-Redirect, by the bucket
    itself, or as a stream: whatever the site is set to, and always as a download.
    Raises Problem 500 where the store lacks it, and what the storage raises.
    """
    try:
        response = serve(
            request,
            version.storage,
            version.key,
            as_attachment=True,
            etag=content_etag(version),
            filename=found.name,
            redirect=settings.PUBLIC_LINKS,
            size=version.size,
            modified=content_modified(found, version),
        )
    except Http404:
        logger.error("The store %s lacks version %s", version.store, version.pk)
        raise Problem(500, _("The content is missing."), "missing") from None
    return as_problem(response)
