"""The response to a request for a stored file, whichever storage has it."""

from __future__ import annotations

import contextlib
import errno
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
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
from tahoestorage.serving.ranges import Unsatisfiable, is_of_this, range_of
from tahoestorage.serving.representation import (
    ObjectChanged,
    Packed,
    Representation,
    known_representation,
    open_representation,
    representation_of,
)
from tahoestorage.serving.streams import Streamed

METHODS = ("GET", "HEAD")
# What a store that sends a file itself compares with validators of its own. It may
# have an ETag that "If-None-Match" names, and then sends nothing again.
_SITES_OWN = {"If-Match", "If-Modified-Since", "If-Unmodified-Since"}
_CONDITIONS = {*_SITES_OWN, "If-None-Match", "If-Range"}
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
_STRONG_ETAG = re.compile('"[!#-~\x80-\xff]*"')


def serve(
    request: HttpRequest,
    storage: Storage,
    name: str,
    *,
    as_attachment: bool = False,
    etag: str | None = None,
    filename: str | None = None,
    max_age: int | None = None,
    redirect: bool = False,
    trusted: bool = False,
    size: int | None = None,
    modified: datetime | None = None,
) -> HttpResponseBase:
    """Return the response to a GET or HEAD of a stored file, for any storage.

    Its status is 200; 206 or 416 for one range (RFC 9110, 14); 304 or 412 where a
    condition says so (RFC 9110, 13); 405 for other methods; 302 with ``redirect``. The
    content is streamed in blocks of 64 KiB, or sent by nginx where TAHOE_ACCEL_REDIRECT
    is set and the file is on a grid.

    - ``as_attachment``: a download in any case (RFC 6266). Unless given, pictures,
      sound, film and plain text are shown, and anything else is a download.
    - ``etag``: a strong ETag, quoted (RFC 9110, 8.8.3), where the site knows a better
      one than the store's, as a version's number that stays when the file is moved.
      With ``redirect`` the stores that send the file themselves tell their own; heads
      and conditions are about this one.
    - ``filename``: the name to save it as; the last part of ``name`` unless given.
    - ``max_age``: the seconds for which a browser may reuse it (RFC 9111, 5.2.2.1).
      Unless given it asks each time, and gets a 304 while the file is the same.
    - ``redirect``: S3 and Google Cloud Storage send it themselves, by a URL that
      expires. Heads, 304 and 412 come from the site, which asks the store for no more
      than the head. So does the content for a condition that is met and names what the
      site told (If-Match, a time, its ETag in If-Range): the store has validators of
      its own. So does a file that came packed, such as ``a.tar.gz``, where the store
      would make clients unpack it: Google's, and S3 by URLs it does not sign.
    - ``trusted``: the file is the site's own, as a style sheet or script: it has the
      type of its name, may run, and shared caches may store it. Never for uploads.
    - ``modified``: when it was last changed, where the site knows better; an aware
      datetime. With ``etag`` and ``size``, the bytes of its content, an object store is
      not asked for them: a GET is one request there, also of what no cache knows.

    Raises Http404 where there is no such file or no file can have the name, and
    TahoeStorageError or what else the storage raises where the store can't be read.
    After the first byte was sent an error ends the connection. Raises ValueError for an
    ``etag`` of another form, and a ``modified`` without a time zone.
    """
    if etag is not None and not _STRONG_ETAG.fullmatch(etag):
        raise ValueError(f"etag is {etag!r}; expected a strong ETag, as '\"7.3\"'")
    if modified is not None and modified.utcoffset() is None:
        raise ValueError(f"modified is {modified}; expected one with a time zone")
    if request.method not in METHODS:
        return HttpResponseNotAllowed(METHODS)
    last = name.rpartition("/")[2]
    headers = content_headers(
        last if filename is None else filename,
        as_attachment=as_attachment,
        trusted=trusted,
    )
    try:
        lead: Lead | None = None
        if redirect and request.method == "GET" and isinstance(storage, ObjectStore):
            lead = partial(_redirected, storage, name, headers)
            # Nothing has to be known of the file, but that it is there.
            if _CONDITIONS.isdisjoint(request.headers):
                redirection = lead()
                if redirection is not None:
                    return redirection
                lead = None
        seconds = None if modified is None else int(modified.timestamp())
        known = Known(etag, size, seconds, lead)
        response = _response(request, storage, name, headers, known)
    except _NO_SUCH_FILE as missing:
        raise Http404("There is no such file.") from missing
    except OSError as error:
        if error.errno in _IMPOSSIBLE:
            raise Http404("There is no such file.") from error
        raise
    caching: dict[str, Any] = {"no_cache": True}
    if max_age is not None:
        caching = {"max_age": max_age}
    if response.has_header("Cache-Control"):
        return response  # A redirect.
    patch_cache_control(
        response, **{"public" if trusted else "private": True}, **caching
    )
    return response


Lead = Callable[[], HttpResponseBase | None]


@dataclass(frozen=True)
class Known:
    """What the site knows of a file: ETag, bytes, and seconds since 1970.

    ``lead`` returns the redirect to the store, where that may send it.
    """

    etag: str | None
    size: int | None
    modified: int | None
    lead: Lead | None


def _response(
    request: HttpRequest,
    storage: Storage,
    name: str,
    headers: Mapping[str, str],
    known: Known,
) -> HttpResponseBase:
    etag, size, modified = known.etag, known.size, known.modified
    # That there is such a file is shown by reading: not by a HEAD, or of an empty one.
    if request.method == "GET" and etag and size and modified is not None:
        given = known_representation(storage, name, size, etag, modified)
        if given is not None:
            with contextlib.suppress(ObjectChanged):
                return _respond_with(request, given, headers, known)
    # Another host may have replaced it since the cache was filled, and reading
    # shows that. What is found to have changed is looked up anew.
    packed = False
    for _ in range(2):
        try:
            stored = representation_of(storage, name, packed=packed)
            return _respond_with(request, stored, headers, known)
        except ObjectChanged as found:
            packed = packed or isinstance(found, Packed)
    stored = open_representation(storage, name)
    return _respond_with(request, stored, headers, known)


def _respond_with(
    request: HttpRequest,
    stored: Representation,
    headers: Mapping[str, str],
    known: Known,
) -> HttpResponseBase:
    with contextlib.closing(stored):
        stored.etag = known.etag or stored.etag
        if known.modified is not None:
            stored.modified = known.modified
        base = HttpResponse(headers=dict(headers))
        if stored.etag is not None:
            base["ETag"] = stored.etag
        if stored.modified is not None:
            base["Last-Modified"] = http_date(stored.modified)
        response = get_conditional_response(request, stored.etag, stored.modified, base)
        if response is not None and response is not base:
            return response
        if known.lead is not None and _is_of_the_store(request, stored):
            redirection = known.lead()
            if redirection is not None:
                return redirection
        return _whole_or_part(request, stored, base)


def _whole_or_part(
    request: HttpRequest, stored: Representation, base: HttpResponse
) -> HttpResponseBase:
    part, size = None, stored.size
    if size is not None:
        base["Accept-Ranges"] = "bytes"
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
            base["Content-Length"] = str(size)
        return base
    if accelerated(base, stored, part):
        return base
    content = stored.part() if part is None else stored.part(part.first, part.end)
    response = Streamed(content, headers=dict(base.items()))
    if part is not None:
        response.status_code = 206
        response["Content-Range"] = str(part)
        size = part.end - part.first
    if size is not None:
        response["Content-Length"] = str(size)
    return response


def _is_of_the_store(request: HttpRequest, stored: Representation) -> bool:
    """Whether the store understands the conditions of a request that are met."""
    same = request.headers.get("If-Range", "")
    return _SITES_OWN.isdisjoint(request.headers) and not (
        same and is_of_this(same, stored.etag, stored.modified)
    )


def _redirected(
    storage: ObjectStore, name: str, headers: Mapping[str, str]
) -> HttpResponseBase | None:
    """Return a redirect to the store; None where clients would unpack what it sends."""
    # The URL would be made of any name.
    storage.size(name)
    url = storage.download_url(
        name,
        method="GET",
        content_type=headers["Content-Type"],
        disposition=headers.get("Content-Disposition", "inline"),
    )
    if url is None:
        return None
    response = HttpResponseRedirect(url)
    response["Cache-Control"] = "private, no-store"
    response["Referrer-Policy"] = "no-referrer"
    return response
