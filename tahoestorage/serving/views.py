"""A view that serves the files of a storage."""

from __future__ import annotations

import posixpath
from typing import Any

from django.core.exceptions import PermissionDenied
from django.core.files.storage import Storage, storages
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.views.generic import View

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.names import normal
from tahoestorage.serving.response import serve
from tahoestorage.storage import TahoeStorage


class Download(View):
    """Serves the file ``name`` of a storage, as ``serve`` does.

    The attributes are arguments of ``serve``, and may be given to ``as_view``.
    Everybody may read every file, as with files in MEDIA_ROOT, unless
    ``has_permission`` says no.
    """

    http_method_names = ("get", "head", "options")
    storage: Storage | str = "default"
    """A storage, or its alias in STORAGES."""
    as_attachment: bool = False
    """Whether a download in any case, and never shown by the browser."""
    max_age: int | None = None
    """Seconds for which a browser may reuse it; None: it asks each time."""
    redirect: bool = False
    """Whether S3 and Google Cloud Storage send it themselves, by a URL that expires."""
    trusted: bool = False
    """Whether the file is the site's own, and may run; never so for uploads."""

    def has_permission(self, request: HttpRequest, name: str) -> bool:
        """Whether the visitor of this request may read the file; override it.

        ``name`` is normalised, so that a file has one name only. The file need not
        exist.
        """
        return True

    def get(self, request: HttpRequest, name: str, **kwargs: Any) -> HttpResponseBase:
        """Serve the file. Raises PermissionDenied, Http404, and what ``serve`` does."""
        storage = self.storage
        if isinstance(storage, str):
            storage = storages[storage]
        name = _only_form(storage, name)
        if not self.has_permission(request, name):
            raise PermissionDenied
        return serve(
            request,
            storage,
            name,
            as_attachment=self.as_attachment,
            max_age=self.max_age,
            redirect=self.redirect,
            trusted=self.trusted,
        )


def _only_form(storage: Storage, name: str) -> str:
    """Return the normalised name of a file. Raises Http404 for a detour to it.

    Else the permission for "public" would be asked for "public/../private".
    """
    detour = name.startswith(("/", "../")) or name in (".", "..") or "\\" in name
    if detour or posixpath.normpath(name) != name:
        raise Http404("There is no such file.")
    return normal(name) if isinstance(storage, TahoeStorage | Cached) else name
