"""The page on which people try the API."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

# It registers itself with drf-spectacular, which commands have no use for.
import_module("api.schema")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from the site's own files, its script at an address of its own."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page: Any = super()
        response: Response = page.get(request, *args, **kwargs)
        response["Content-Security-Policy"] = POLICY
        return response
