"""The API's schema, and the page on which people try the API."""

from __future__ import annotations

import functools
from importlib import import_module
from typing import Any

from django.http import HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularJSONAPIView, SpectacularSwaggerSplitView
from rest_framework.request import Request
from rest_framework.response import Response

# It registers itself with drf-spectacular, which commands have no use for.
import_module("api.schema")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)


@functools.cache
def schema() -> bytes:
    """Return the schema as JSON, as this process has made it once.

    It takes a quarter of a second, and anybody may ask.
    """
    # Its package is not typed.
    made = SchemaGenerator().get_schema(public=True)  # type: ignore[no-untyped-call]
    rendered: bytes = OpenApiJsonRenderer().render(made)
    return rendered


class SchemaView(SpectacularJSONAPIView):
    """The schema, in the site's language; nothing in it depends on who asks."""

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        kind = request.accepted_renderer.media_type
        headers = {"Content-Disposition": 'inline; filename="schema.json"'}
        return HttpResponse(schema(), content_type=kind, headers=headers)


class DocsView(SpectacularSwaggerSplitView):
    """Swagger UI from the site's own files, its script at an address of its own.

    So is its style, which is in the page in drf-spectacular's template.
    """

    template_name = "api/docs.html"

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        page: Any = super()
        response: Response = page.get(request, *args, **kwargs)
        response["Content-Security-Policy"] = POLICY
        return response
