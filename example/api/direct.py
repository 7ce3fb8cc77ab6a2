"""Uploads past the site: a signed request to the bucket, believed once hashed."""

from __future__ import annotations

import uuid
from typing import Any, cast

from django.db import transaction
from django.http import Http404
from django.shortcuts import get_object_or_404
from django.utils.translation import gettext as _
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.tokenversions import version_of
from api import documented
from api.bodies import limit
from api.idempotency import forget, once_made
from api.problems import Problem
from api.serializers import NamedSerializer
from objects import access, mediatypes, storing
from objects.models import Version
from uploads import deferring, direct, finishing
from uploads.leases import Busy, expiry
from uploads.models import Upload


class NewDirectSerializer(NamedSerializer):
    """An object to be uploaded directly."""

    size = serializers.IntegerField(min_value=0, help_text="Bytes, exactly.")
    content_type = serializers.CharField(default=mediatypes.UNKNOWN)

    def validate_size(self, value: int) -> int:
        if value > limit():
            raise Problem(413, _("That is more than is taken."), "too_large")
        return value

    def validate_content_type(self, value: str) -> str:
        if (kind := mediatypes.cleaned(value)) is None:
            raise serializers.ValidationError(_("That is no media type."))
        return kind


class DirectSerializer(serializers.Serializer[Any]):
    """The one request that uploads it: anybody may send it, and nothing else by it."""

    id = serializers.UUIDField()
    object = serializers.UUIDField()
    method = serializers.ChoiceField(("PUT", "POST"))
    url = serializers.URLField()
    headers = serializers.DictField(child=serializers.CharField())
    form = serializers.DictField(
        child=serializers.CharField(),
        help_text="With POST: a form's fields, before that of the file.",
    )
    expires_at = serializers.DateTimeField(help_text="Until then the URL is good.")


class FinishedSerializer(serializers.Serializer[Any]):
    """Whether the object is stored, or its bytes are still to be hashed by a job."""

    object = serializers.UUIDField()
    state = serializers.ChoiceField(("stored", "pending"))
    job = serializers.UUIDField(allow_null=True)


class DirectUploadsView(APIView):
    """Direct uploads that begin."""

    @extend_schema(
        request=NewDirectSerializer,
        responses={201: DirectSerializer, **dict.fromkeys((404, 409, 507))},
        parameters=[documented.IDEMPOTENCY_KEY],
    )
    def post(self, request: Request) -> Response:
        """Get the request that uploads an object to the bucket, past this site.

        The object stays pending until the upload is finished, by the other operation or
        by the site itself within an hour, and its bytes were hashed. 409 where the
        tenant's store takes no such uploads, as a grid, and where a repeat under an
        Idempotency-Key comes once the upload is finished.
        """
        given = NewDirectSerializer(data=request.data)
        given.is_valid(raise_exception=True)
        data, user = given.validated_data, cast(User, request.user)

        def begin() -> Response:
            if not access.may_write(user, data["folder"], data["name"]):
                raise Problem(409, _("Another object has the name."), "name_taken")
            with transaction.atomic():
                version = storing.begin(
                    tenant=user.tenant,
                    user=user,
                    folder=data["folder"],
                    name=data["name"],
                    size=data["size"],
                    content_type=data["content_type"],
                )
                upload = Upload.objects.create(
                    kind=Upload.Kind.DIRECT,
                    version=version,
                    user=user,
                    user_version=version_of(user),
                    store=version.store,
                    size=data["size"],
                    expires_at=expiry(),
                )
            known = {
                "id": upload.pk,
                "object": version.object_id,
                "version": version.pk,
            }
            return Response(known, status=201)

        def is_over(made: dict[str, Any]) -> bool:
            # What a release before this one kept does not name the version.
            return "version" in made and finishing.came_to_nothing(
                made["id"], made["version"]
            )

        response = once_made(request, begin, about="object", is_over=is_over)
        # Not before: stores are asked for it, while nobody's row is locked. And each
        # time: who has the URL may upload, so it is kept nowhere.
        response.data = signed(request, own(request, response.data["id"]))
        response["Cache-Control"] = "no-store"
        return response


def signed(request: Request, upload: Upload) -> dict[str, Any]:
    """Return the request that uploads it, until whose end the upload does not expire.

    Raises Problem where it is finished or the store takes none, and what the store
    raises. In the latter two cases the upload is given up, unless the same may be asked
    again.
    """
    version = upload.version
    if version is None:
        raise Http404
    if upload.finished_at is not None:
        raise Problem(409, _("The upload is finished."), "finished")
    try:
        found = direct.sign(version)
    except BaseException as error:
        is_over = isinstance(error, direct.NotDirect)
        if is_over or "Idempotency-Key" not in request.headers:
            storing.abandon(version)
            finishing.remove(upload)
            forget(request)
        if is_over:
            raise Problem(
                409, _("The store takes no direct uploads."), "not_direct"
            ) from None
        raise
    try:
        end = direct.keep_for(upload, found)
    except Busy:
        raise Http404 from None
    known = {
        "id": upload.pk,
        "object": version.object_id,
        "method": found.method,
        "url": found.url,
        "headers": found.headers,
        "form": found.fields,
        "expires_at": end,
    }
    return dict(DirectSerializer(known).data)


class DirectUploadView(APIView):
    """A direct upload of the user's own."""

    @extend_schema(
        operation_id="uploads_direct_finish",
        request=None,
        responses={
            200: FinishedSerializer,
            202: FinishedSerializer,
            **dict.fromkeys((409, 422, 423)),
        },
    )
    def post(self, request: Request, pk: uuid.UUID) -> Response:
        """Say that it was uploaded: it is hashed now, or by a job where it is large.

        409 where nothing was uploaded yet. 422 where the bucket holds another number of
        bytes than was announced: the upload is given up then.
        """
        upload = own(request, pk)
        if upload.finished_at is not None:
            return finished(upload)
        try:
            if deferring.is_quick(upload):
                direct.verify(upload)
            elif not deferring.is_under_way(upload):
                direct.check(upload)
                deferring.start(upload)
        except Busy:
            raise Problem(423, _("The upload is being worked on."), "busy") from None
        except direct.NotThere:
            raise Problem(409, _("Nothing was uploaded yet."), "not_there") from None
        except direct.WrongSize:
            raise Problem(
                422, _("Another number of bytes was uploaded."), "wrong_size"
            ) from None
        return finished(upload)

    @extend_schema(
        operation_id="uploads_direct_delete", responses={204: None, 423: None}
    )
    def delete(self, request: Request, pk: uuid.UUID) -> Response:
        """Give the upload up; what it has become, if it is finished, stays.

        Its URL is good until it expires, and its size is reserved for as long.
        """
        upload = own(request, pk)
        try:
            finishing.terminate(upload, actor=upload.user)
        except Busy:
            raise Problem(423, _("The upload is being worked on."), "busy") from None
        return Response(status=204)


def own(request: Request, pk: uuid.UUID) -> Upload:
    """Return a direct upload that the user began."""
    uploads = Upload.objects.select_related("version__object__tenant", "user", "job")
    uploads = uploads.filter(kind=Upload.Kind.DIRECT)
    uploads = uploads.exclude(version__state=Version.State.GIVEN_UP)
    return get_object_or_404(uploads, pk=pk, user=cast(User, request.user))


def finished(upload: Upload) -> Response:
    """Say that the object is stored, or which job is to see to that."""
    is_stored = upload.finished_at is not None
    found = {
        "object": upload.version.object_id if upload.version else None,
        "state": "stored" if is_stored else "pending",
        "job": None if is_stored else upload.job_id,
    }
    return Response(FinishedSerializer(found).data, status=200 if is_stored else 202)
