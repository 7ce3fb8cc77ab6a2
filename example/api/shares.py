"""Share links: made and revoked by who administers an object, opened by anybody."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, ClassVar

from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.shortcuts import render
from django.urls import reverse
from django.utils import timezone
from django.utils.cache import patch_vary_headers
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema, extend_schema_view
from rest_framework import mixins, serializers, viewsets
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response

from accounts import logins
from accounts.access import user_of
from accounts.models import User
from api import documented
from api.idempotency import makes_once
from api.problems import MEDIA_TYPE, as_problem
from api.serving import OfAnyKind
from audit.downloads import begins
from objects import access
from objects.access import Access
from objects.conditions import content_etag, content_modified
from sharing import links
from sharing.models import STATES, ShareLink
from tahoestorage.serving import serve

PAGE = "sharing/failed.html"
USUAL = timedelta(days=7)
LONGEST = timedelta(days=366)
MOST_DOWNLOADS = 1_000_000
# What a download of a counted link does not listen to: it is the whole, once.
PARTIAL = (
    "HTTP_RANGE",
    "HTTP_IF_RANGE",
    "HTTP_IF_MATCH",
    "HTTP_IF_NONE_MATCH",
    "HTTP_IF_MODIFIED_SINCE",
    "HTTP_IF_UNMODIFIED_SINCE",
)


class ShareLinkSerializer(serializers.ModelSerializer[ShareLink]):
    """A share link; what it leads to is said once only, when it is made."""

    object = serializers.UUIDField(source="object_id")
    state = serializers.ChoiceField(STATES, read_only=True)
    expires_at = serializers.DateTimeField(
        required=False, help_text="In seven days unless given, in a year at most."
    )
    max_downloads = serializers.IntegerField(
        required=False,
        allow_null=True,
        min_value=1,
        max_value=MOST_DOWNLOADS,
        help_text="No limit unless given. With one, a download is always the whole.",
    )

    class Meta:
        model = ShareLink
        fields: tuple[str, ...] = (
            "id",
            "object",
            "state",
            "created_by",
            "created_at",
            "expires_at",
            "revoked_at",
            "max_downloads",
            "downloads",
        )
        read_only_fields = (
            "created_by",
            "created_at",
            "revoked_at",
            "downloads",
        )

    def validate_expires_at(self, value: Any) -> Any:
        if not timezone.now() < value <= timezone.now() + LONGEST:
            raise serializers.ValidationError(
                _("A link expires in the future, and within a year.")
            )
        return value


class NewShareLinkSerializer(ShareLinkSerializer):
    """A share link that was made just now, and its address."""

    url = serializers.URLField(
        read_only=True, help_text="Shown this once: only a hash of it is kept."
    )

    class Meta(ShareLinkSerializer.Meta):
        fields = (*ShareLinkSerializer.Meta.fields, "url")


@extend_schema_view(
    list=extend_schema(summary="List the links of objects that one administers"),
    destroy=extend_schema(summary="Revoke a link"),
)
class ShareLinkViewSet(
    mixins.ListModelMixin,
    mixins.RetrieveModelMixin,
    mixins.DestroyModelMixin,
    viewsets.GenericViewSet[ShareLink],
):
    """The share links of objects that one administers."""

    serializer_class = ShareLinkSerializer
    queryset = ShareLink.objects.none()
    filterset_fields: ClassVar = {"object": ["exact"], "created_by": ["exact"]}
    lookup_value_regex = "[0-9a-f-]{36}"

    def get_queryset(self) -> QuerySet[ShareLink]:
        user = self.request.user
        if not isinstance(user, User):
            return ShareLink.objects.none()
        return links.visible(user)

    @extend_schema(
        request=ShareLinkSerializer,
        responses={201: NewShareLinkSerializer, 403: None, 404: None},
        parameters=[documented.IDEMPOTENCY_KEY],
    )
    @makes_once(about="object")
    def create(self, request: Request) -> Response:
        """Make a link by which anybody may download the object's newest version."""
        given = ShareLinkSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        data = given.validated_data
        found = access.find(request.user, data["object_id"], Access.ADMINISTER)
        link, token = links.create(
            found,
            user_of(request),
            expires_at=data.get("expires_at") or timezone.now() + USUAL,
            max_downloads=data.get("max_downloads"),
        )
        url = request.build_absolute_uri(reverse("share", args=[token]))
        body = ShareLinkSerializer(link).data | {"url": url}
        return Response(body, status=201)

    def perform_destroy(self, instance: ShareLink) -> None:
        links.revoke(instance, actor=user_of(self.request))


class ShareView(OfAnyKind):
    """What a share link leads to; what is refused is a page where a browser asks."""

    authentication_classes = ()
    permission_classes = (AllowAny,)

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Any:
        """Return the response, or the page in its place."""
        response = super().finalize_response(request, response, *args, **kwargs)
        return response if response.status_code < 400 else refused(request, response)

    @extend_schema(
        responses=documented.DOWNLOAD, parameters=documented.DOWNLOAD_PARAMETERS
    )
    def get(self, request: Request, token: str) -> HttpResponseBase:
        """Download the object; 404 whatever the reason why there is nothing.

        Each GET that is answered with content counts, but for parts that begin behind
        the first byte. A link with a limit listens to no range and no condition: it
        gives the whole each time.
        """
        with logins.guessing(request, links.Unknown):
            link = links.find(token)
        asked = request._request
        if link.max_downloads is not None:
            asked = whole(asked)
        response = opened(asked, link)
        if asked.method == "GET" and begins(response):
            try:
                links.count(link)
            except BaseException:
                response.close()
                raise
        return response

    @extend_schema(exclude=True)
    def head(self, request: Request, token: str) -> HttpResponseBase:
        """Say what a GET would, and count nothing."""
        return self.get(request, token)


def refused(request: Request, problem: Any) -> HttpResponse:
    """Return a problem of a share link, as a page to those who would rather have one.

    No cache keeps it, and no site that is gone to from there is told of the link.
    """
    response: HttpResponse = problem
    if request._request.get_preferred_type([MEDIA_TYPE, "text/html"]) == "text/html":
        status = problem.status_code
        # Of a link that leads nowhere the page says no word why, either.
        said = "" if status == 404 else told(problem)
        context = {"said": said}
        response = render(request._request, PAGE, context, status=status)
        for name, value in problem.items():
            response.headers.setdefault(name, value)
    response["Cache-Control"], response["Referrer-Policy"] = "no-store", "no-referrer"
    patch_vary_headers(response, ["Accept"])
    return response


def told(problem: Any) -> str:
    """Return a problem in a sentence."""
    found = (
        problem.data if isinstance(problem, Response) else json.loads(problem.content)
    )
    return str(found["detail"])


def whole(request: HttpRequest) -> HttpRequest:
    """Return the request without its range and its conditions."""
    asked = HttpRequest()
    asked.method = request.method
    asked.META = {k: v for k, v in request.META.items() if k not in PARTIAL}
    return asked


def opened(request: HttpRequest, link: ShareLink) -> HttpResponseBase:
    """Return the response with the object's content, as a download."""
    version = link.object.current
    if version is None:
        raise Http404
    response = serve(
        request,
        version.storage,
        version.key,
        filename=link.object.name,
        as_attachment=True,
        etag=content_etag(version),
        size=version.size,
        modified=content_modified(link.object, version),
    )
    response = as_problem(response)
    # Once a link is revoked, no cache goes on to serve it. And it never leads to the
    # bucket's own URL, which would be good for more than one download.
    response["Cache-Control"] = "no-store"
    if link.max_downloads is not None:
        response["Accept-Ranges"] = "none"
    return response
