"""Resumable uploads by the tus protocol 1.0 (https://tus.io/protocols/resumable-upload).

Extensions: creation, creation-with-upload, checksum, termination, expiration. Whoever
has an upload's URL may go on with it, without a token, while the user who began it is
active, has revoked no tokens and may edit the object: tokens are good for minutes, and
an upload takes hours.
"""

from __future__ import annotations

import logging
import uuid
from typing import Any, NoReturn, cast

from django.db import InterfaceError, OperationalError
from django.http import Http404
from django.http.response import HttpResponseBase
from django.utils.http import http_date
from django.utils.translation import gettext as _
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.exceptions import Throttled, UnsupportedMediaType
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from api.bodies import body_of, length_of, limit
from api.parsers import StreamParser
from api.problems import Problem
from api.tusheaders import (
    BODY_TYPE,
    CHECKSUMS,
    EXTENSIONS,
    VERSION,
    checksum_in,
    mismatch,
    number_in,
)
from api.uploadthrottles import (
    NoUploadThrottle,
    UploadTenantThrottle,
    UploadUserThrottle,
)
from uploads import deferring, finishing, purposes
from uploads.assembly import Lost
from uploads.authors import is_revoked
from uploads.leases import Busy, acquire
from uploads.models import Upload
from uploads.receiving import ChecksumMismatch, receive

BODY = {BODY_TYPE: OpenApiTypes.BINARY}
logger = logging.getLogger(__name__)


def header(name: str, *, required: bool = False, description: str = "") -> Any:
    """Describe a header of a request."""
    return OpenApiParameter(
        name, str, "header", required=required, description=description
    )


RESUMABLE = OpenApiParameter(
    "Tus-Resumable", str, "header", required=True, enum=[VERSION]
)
CHECKSUM = header("Upload-Checksum", description="Of the body: `sha256 Base64`.")


class TusView(APIView):
    """What all of the protocol's responses have in common."""

    parser_classes = (StreamParser,)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        if request.method != "OPTIONS" and (
            request.headers.get("Tus-Resumable") != VERSION
        ):
            raise Problem(412, _("This is version 1.0.0 of tus."), "tus_version")

    def finalize_response(
        self, request: Request, response: Any, *args: Any, **kwargs: Any
    ) -> Response:
        response = super().finalize_response(request, response, *args, **kwargs)
        response["Tus-Resumable"] = VERSION
        response["Cache-Control"] = "no-store"
        if response.status_code == 412:
            response["Tus-Version"] = VERSION
        return response

    def get_permissions(self) -> Any:
        if self.request.method == "OPTIONS":
            return [AllowAny()]
        return super().get_permissions()

    def options(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Say what the server can do."""
        return Response(
            status=204,
            headers={
                "Tus-Version": VERSION,
                "Tus-Extension": EXTENSIONS,
                "Tus-Checksum-Algorithm": ",".join(CHECKSUMS),
                "Tus-Max-Size": str(limit()),
            },
        )


class UploadView(TusView):
    """A resumable upload, by its URL."""

    # Whoever has the URL; an expired token that comes along is not looked at.
    authentication_classes = ()
    permission_classes = (AllowAny,)
    throttle_classes = (UploadUserThrottle, UploadTenantThrottle, NoUploadThrottle)

    def throttled(self, request: Request, wait: float) -> NoReturn:
        """Raise Throttled; as 423 to HEAD, after any other 4xx clients begin anew."""
        error = Throttled(wait)
        if request.method == "HEAD":
            error.status_code = 423
        raise error

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Take the method from a header, for clients that know GET and POST only."""
        asked = request.headers.get("X-HTTP-Method-Override", "").upper()
        if request.method == "POST" and asked in {"PATCH", "DELETE", "HEAD"}:
            request.method = asked
        return super().dispatch(request, *args, **kwargs)

    def head(self, request: Request, pk: uuid.UUID) -> Response:
        """Say how much has come; 423 while somebody works on it.

        It is 423 too while the store or the database is away: clients take any other
        error for the end of the upload, and begin anew. Where all has come and nobody
        stores it, a job is started that does.
        """
        try:
            upload = found(pk)
            if upload.finished_at is None and not deferring.is_under_way(upload):
                if upload.is_leased:
                    raise Busy
                if upload.is_complete:
                    deferring.start(upload)
        except Busy:
            return Response(status=423)
        except (OperationalError, InterfaceError) as error:
            logger.error("The database failed: %s", error)
            return Response(status=423)
        headers = told(upload) | {"Upload-Length": str(upload.size)}
        if upload.metadata:
            headers["Upload-Metadata"] = upload.metadata
        return Response(status=200, headers=headers)

    @extend_schema(
        operation_id="uploads_continue",
        request=BODY,
        responses={
            204: OpenApiResponse(description="`Upload-Offset` says how much has come."),
            **dict.fromkeys((409, 410, 411, 412, 423, 460)),
        },
        parameters=[
            RESUMABLE,
            header("Upload-Offset", required=True, description="As HEAD has it."),
            CHECKSUM,
        ],
        auth=[],
    )
    def patch(self, request: Request, pk: uuid.UUID) -> Response:
        """Add the body to what has come; with the last byte the object is stored.

        Where that takes long a job does it, and `Job-Id` says which. Where the body
        breaks off, what came of it is kept.
        """
        if request.content_type != BODY_TYPE:
            raise UnsupportedMediaType(request.content_type)
        offset, length = number_in(request, "Upload-Offset"), length_of(request)
        checksum, upload = checksum_in(request, length), found(pk)
        if offset != upload.offset:
            raise Problem(409, _("Another number of bytes has come."), "offset")
        if length > upload.size - offset:
            raise Problem(413, _("The body is longer than announced."), "too_large")
        if upload.finished_at is None:
            try:
                take(request, upload, length, checksum)
            except Busy:
                raise busy() from None
            except Lost:
                raise lost() from None
            except ChecksumMismatch:
                raise mismatch() from None
        return Response(status=204, headers=told(upload))

    @extend_schema(
        operation_id="uploads_delete",
        responses={204: None, **dict.fromkeys((410, 412, 423))},
        parameters=[RESUMABLE],
        auth=[],
    )
    def delete(self, request: Request, pk: uuid.UUID) -> Response:
        """Give the upload up; what it has become, if it is finished, stays."""
        upload = found(pk)
        try:
            finishing.terminate(upload, actor=upload.user)
        except Busy:
            raise busy() from None
        return Response(status=204)


def take(
    request: Request, upload: Upload, length: int, checksum: tuple[str, bytes] | None
) -> None:
    """Keep what comes, and finish the upload if that is all of it, or have it done."""
    if upload.is_complete and not deferring.is_quick(upload):
        deferring.start(upload)
        return
    lease = acquire(upload)
    with finishing.returned(lease), finishing.or_settled(lease):
        if length:
            with body_of(request) as stream:
                receive(lease, stream, length, checksum)
        if upload.is_complete and not deferring.is_under_way(upload):
            finishing.finish(lease)


def found(pk: uuid.UUID) -> Upload:
    """Return an upload that may be gone on with, or was finished lately.

    There is none for a URL whose user may not edit the object any more, or whose tokens
    were revoked since.
    """
    upload = (
        Upload.objects.select_related("version__object__tenant", "user", "job")
        .filter(pk=pk, kind=Upload.Kind.TUS)
        .first()
    )
    if upload is None or is_revoked(upload, upload.user):
        raise Http404
    is_finished = upload.finished_at is not None
    # One all of which has come waits for whoever stores it.
    is_expired = upload.is_expired and (is_finished or not upload.is_complete)
    if is_expired or (upload.version is None and not is_finished):
        raise Problem(410, _("The upload has expired."), "expired")
    if upload.is_given_up:
        # Its rows wait for a store that could not delete: nobody goes on with it.
        raise Problem(410, _("The upload was given up."), "given_up")
    if upload.version is not None and not purposes.of(upload).may_edit(
        cast(User, upload.user), upload.version
    ):
        raise Http404
    return upload


def busy() -> Problem:
    return Problem(423, _("The upload is being worked on."), "busy")


def lost() -> Problem:
    return Problem(410, _("The store has lost what had come of it."), "lost")


def told(upload: Upload) -> dict[str, str]:
    """Return the headers that say how far an upload is, and what it becomes."""
    headers = {
        "Upload-Offset": str(upload.offset),
        "Upload-Expires": http_date(upload.expires_at.timestamp()),
    }
    if upload.version is not None:
        headers["Object-Id"] = str(upload.version.object_id)
    if upload.finished_at is None and deferring.is_under_way(upload):
        headers["Job-Id"] = str(upload.job_id)
    return headers
