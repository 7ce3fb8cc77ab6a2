"""Resumable uploads begin: with a key once, and with their first bytes."""

from __future__ import annotations

import hashlib
import logging
import uuid
from typing import Any

from django.db import transaction
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.access import user_of
from accounts.tokenversions import version_of
from api import documented
from api.bodies import body_of, has_body, length_of, limit
from api.idempotency import amend, forget, once_made, other, under_way
from api.problems import Problem
from api.tus import BODY, CHECKSUM, RESUMABLE, TusView, found, header, lost, take, told
from api.tusheaders import (
    BODY_TYPE,
    Described,
    checksum_in,
    described_in,
    mismatch,
    number_in,
)
from objects import access, storing
from objects.incoming import CHUNK, Truncated
from objects.models import Version
from uploads import finishing
from uploads.assembly import Lost
from uploads.bodies import RequestBody
from uploads.leases import LEASE, expiry
from uploads.models import Upload
from uploads.receiving import ChecksumMismatch, running_hash

logger = logging.getLogger(__name__)


class UploadsView(TusView):
    """Resumable uploads that begin."""

    @extend_schema(
        operation_id="uploads_create",
        request=BODY,
        responses={
            201: OpenApiResponse(description="Go on at the URL in `Location`."),
            **dict.fromkeys((404, 409, 410, 411, 412, 460, 507)),
        },
        parameters=[
            RESUMABLE,
            documented.IDEMPOTENCY_KEY,
            header("Upload-Length", required=True, description="Bytes in all."),
            header(
                "Upload-Metadata",
                description="`filename`, `filetype` and `folder`, each with its value "
                "in Base64. Without a name, the object gets the upload's id for one.",
            ),
            CHECKSUM,
        ],
    )
    def post(self, request: Request, **place: Any) -> Response:
        """Begin an upload; the body may be its first bytes."""
        size, described = number_in(request, "Upload-Length"), described_in(request)
        if size > limit():
            raise Problem(413, _("That is more than is taken."), "too_large")
        length = length_of(request) if has_body(request) else 0
        if length and request.content_type != BODY_TYPE:
            raise UnsupportedMediaType(request.content_type)
        if length > size:
            raise Problem(413, _("The body is longer than announced."), "too_large")
        checksum = checksum_in(request, length)
        begun: list[Upload] = []

        def make() -> Response:
            begun.append(self.begin(request, size, described))
            of = begun[0].version
            named = {"upload": begun[0].pk, "object": of and of.object_id}
            return Response(named | {"version": of and of.pk}, status=201)

        known = [size, request.headers.get("Upload-Metadata", "")]
        known += [length] if length else []
        made = once_made(
            request, make, parameters=known, about="object", is_over=is_over
        )
        if not begun:  # A repeat: whoever sent it goes on with what has come.
            upload = found(uuid.UUID(made.data["upload"]))
            if length:
                compare(request, upload, made.data, length, checksum)
            return created(request, upload)
        try:
            take_first(request, begun[0], length, checksum)
        except BaseException:
            forget(request)
            raise
        if length:
            amend(request, made.data | {"taken": taken(begun[0])})
        return created(request, begun[0])

    def begin(self, request: Request, size: int, described: Described) -> Upload:
        """Return a new upload; its version holds its size in the tenant's quota."""
        user, id = user_of(request), uuid.uuid4()
        name = described.name or str(id)
        if not access.may_write(user, described.folder, name):
            raise Problem(409, _("Another object has the name."), "name_taken")
        with transaction.atomic():
            version = storing.begin(
                tenant=user.tenant,
                user=user,
                folder=described.folder,
                name=name,
                size=size,
                content_type=described.content_type,
            )
            return upload_of(request, version, id=id)


def upload_of(
    request: Request,
    version: Version,
    *,
    id: uuid.UUID | None = None,
    purpose: str = "",
) -> Upload:
    """Return a new upload that becomes the pending version; see `uploads.purposes`."""
    user = user_of(request)
    return Upload.objects.create(
        id=id or uuid.uuid4(),
        kind=Upload.Kind.TUS,
        version=version,
        user=user,
        user_version=version_of(user),
        store=version.store,
        size=version.size or 0,
        metadata=request.headers.get("Upload-Metadata", ""),
        purpose=purpose,
        expires_at=expiry(),
    )


def is_over(made: dict[str, Any]) -> bool:
    """Whether the upload of an earlier request of the key came to nothing."""
    # What a release before this one kept does not name the version.
    return "version" in made and finishing.came_to_nothing(
        made["upload"], made["version"]
    )


def taken(upload: Upload) -> tuple[int, str | None]:
    """Return how many bytes have come, and the SHA-256 of these, if it is known."""
    if upload.finished_at is not None and upload.version is not None:
        return upload.size, upload.version.sha256
    return upload.offset, running_hash(upload).sha256


def compare(
    request: Request,
    upload: Upload,
    made: dict[str, Any],
    length: int,
    checksum: tuple[str, bytes] | None,
) -> None:
    """Read a repeat's body, and compare it with what was taken of the first one.

    Raises Problem: 409 while that still comes, 422 where the body is another, 460 where
    it has not its own checksum. Raises Truncated where it breaks off.
    """
    if (known := made.get("taken")) is None:
        # Not ended yet, or its process was killed.
        is_new = not upload.offset and timezone.now() < upload.created_at + LEASE
        if upload.finished_at is None and (is_new or upload.is_leased):
            raise under_way()
        known = taken(upload)
    size, sha256 = known
    part = hashlib.sha256()
    whole = hashlib.new(checksum[0]) if checksum else hashlib.sha256()
    came = 0
    with body_of(request) as stream:
        body = RequestBody(stream, length, whole)
        while not body.is_at_end:
            data = body.read(CHUNK)
            part.update(data[: max(size - came, 0)])
            came += len(data)
    if came < length:
        raise Truncated(f"{came} of {length} bytes arrived.")
    if checksum and whole.digest() != checksum[1]:
        raise mismatch()
    # Where more has come since, by PATCH, nobody knows the hash of the first alone.
    if sha256 is not None and size <= came and part.hexdigest() != sha256:
        raise other()


def take_first(
    request: Request, upload: Upload, length: int, checksum: tuple[str, bytes] | None
) -> None:
    """Take what comes along with the beginning, if anything does.

    Where that fails the upload is there all the same, unless it raises.
    """
    try:
        if length or not upload.size:
            take(request, upload, length, checksum)
    except ChecksumMismatch:
        finishing.cancel(upload)
        raise mismatch() from None
    except Lost:
        raise lost() from None
    except (storing.Deleted, storing.Refused):
        raise  # It was given up: there is nothing to go on with.
    except Exception as error:
        if not upload.size:  # Whoever uploads nothing does not come again.
            finishing.cancel(upload)
            raise
        logger.error("The first part of an upload failed: %s", error)


def created(request: Request, upload: Upload) -> Response:
    """Say where an upload goes on."""
    location = reverse("api:upload", args=[upload.pk])
    return Response(
        status=201,
        headers={"Location": request.build_absolute_uri(location), **told(upload)},
    )
