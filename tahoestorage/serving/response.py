"""A stored file as a response, whichever storage has it."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import Storage
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response, patch_cache_control
from django.utils.http import http_date

from tahoestorage.backends.objectstore import ObjectStore
from tahoestorage.serving.accelredirect import accelerated
from tahoestorage.serving.headers import content_headers
from tahoestorage.serving.ranges import Unsatisfiable, range_of
from tahoestorage.serving.representation import (
    ObjectChanged,
    Packed,
    Representation,
    open_representation,
    representation_of,
)
from tahoestorage.serving.streams import Streamed

METHODS = ("GET", "HEAD")
_NO_SUCH_FILE = (
    FileNotFoundError,
    IsADirectoryError,
    NotADirectoryError,
    SuspiciousFileOperation,
    # InMemoryStorage has it where a file stands in the way of a directory.
    FileExistsError,
    # A name that is no Unicode.
    UnicodeEncodeError,
)
# Names that no file of a file system can have.
_IMPOSSIBLE = (errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)


def serve(
    request: HttpRequest,
    storage: Storage,
    name: str,
    *,
    as_attachment: bool = False,
    filename: str | None = None,
    max_age: int | None = None,
    redirect: bool = False,
    trusted: bool = False,
) -> HttpResponseBase:
    """Return the response to a GET or HEAD of a stored file, for any storage.

    All of it or one range, or that it was not modified; streamed in blocks, or by
    nginx where TAHOE_ACCEL_REDIRECT is set and the file is on a grid. Pictures, sound,
    film, PDF and plain text are shown unless it is to be an attachment, anything else
    is a download. ``filename`` is what it is saved as, the last part of ``name``
    unless given. A browser may keep it for ``max_age`` seconds; unless given it asks
    each time, and gets a 304.

    With ``redirect`` S3 and Google Cloud Storage send it themselves, by a URL that
    expires. ``trusted`` files are the site's own, such as style sheets and scripts:
    they are what their names say, may be run, and caches may share them.

    Raises Http404 where there is no such file, or the name can't be one; and before
    anything was sent, what the storage raises where the store can't be asked.
    """
    if request.method not in METHODS:
        return HttpResponseNotAllowed(METHODS)
    last = name.rpartition("/")[2]
    headers = content_headers(
        last if filename is None else filename,
        as_attachment=as_attachment,
        trusted=trusted,
    )
    try:
        if redirect and isinstance(storage, ObjectStore):
            return _redirected(request, storage, name, headers)
        response = _response(request, storage, name, headers)
    except _NO_SUCH_FILE as missing:
        raise Http404("There is no such file.") from missing
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            raise Http404("There is no such file.") from error
        raise
    kept: dict[str, Any] = {"no_cache": True}
    if max_age is not None:
        kept = {"max_age": max_age}
    patch_cache_control(response, **{"public" if trusted else "private": True}, **kept)
    return response


def _response(
    request: HttpRequest, storage: Storage, name: str, headers: Mapping[str, str]
) -> HttpResponseBase:
    # Another host may have replaced it since the cache was filled, and reading
    # shows that. What is found to have changed is looked up anew.
    packed = False
    for _ in range(2):
        try:
            stored = representation_of(storage, name, packed=packed)
            return _respond_with(request, stored, headers)
        except ObjectChanged as found:
            packed = packed or isinstance(found, Packed)
    return _respond_with(request, open_representation(storage, name), headers)


def _respond_with(
    request: HttpRequest, stored: Representation, headers: Mapping[str, str]
) -> HttpResponseBase:
    with contextlib.closing(stored):
        cached = HttpResponse(headers=dict(headers))
        if stored.etag is not None:
            cached["ETag"] = stored.etag
        if stored.modified is not None:
            cached["Last-Modified"] = http_date(stored.modified)
        response = get_conditional_response(
            request, stored.etag, stored.modified, cached
        )
        if response is not None and response is not cached:
            return response
        return _whole_or_part(request, stored, cached)


def _whole_or_part(
    request: HttpRequest, stored: Representation, cached: HttpResponse
) -> HttpResponseBase:
    part, size = None, stored.size
    if size is not None:
        cached["Accept-Ranges"] = "bytes"
        try:
            part = range_of(request, size, stored.etag, stored.modified)
        except Unsatisfiable:
            if stored.may_be_packed:
                raise Packed from None
            return HttpResponse(
                status=416,
                headers={"Content-Range": f"bytes */{size}", "Accept-Ranges": "bytes"},
            )
    if request.method == "HEAD":
        if stored.may_be_packed:
            raise Packed
        if size is not None:
            cached["Content-Length"] = str(size)
        return cached
    if accelerated(cached, stored, part):
        return cached
    content = stored.part() if part is None else stored.part(part.first, part.end)
    response = Streamed(content, headers=dict(cached.items()))
    if part is not None:
        response.status_code = 206
        response["Content-Range"] = str(part)
        size = part.end - part.first
    if size is not None:
        response["Content-Length"] = str(size)
    return response


def _redirected(
    request: HttpRequest, storage: ObjectStore, name: str, headers: Mapping[str, str]
) -> HttpResponseBase:
    # The URL would be made of any name.
    storage.size(name)
    url = storage.download_url(
        name,
        method=request.method or "GET",
        content_type=headers["Content-Type"],
        disposition=headers.get("Content-Disposition", "inline"),
    )
    response = HttpResponseRedirect(url)
    response["Cache-Control"] = "private, no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
