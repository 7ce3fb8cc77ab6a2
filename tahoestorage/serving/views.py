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
    """Serves the file ``name`` of a storage; ``serve`` says how.

    The attributes are its arguments, and may be given to ``as_view``. Everybody may
    have each file, as with files in MEDIA_ROOT, unless ``has_permission`` says no.
    """

    http_method_names = ("get", "head", "options")
    storage: Storage | str = "default"
    """A storage, or its alias in STORAGES."""
    as_attachment: bool = False
    max_age: int | None = None
    redirect: bool = False
    trusted: bool = False

    def has_permission(self, request: HttpRequest, name: str) -> bool:
        """Whether this visitor may have the file, which may not be there at all.

        ``name`` is in the one form in which the storage has it.
        """
        return True

    def get(self, request: HttpRequest, name: str, **kwargs: Any) -> HttpResponseBase:
        """Serve the file. Raises PermissionDenied, and Http404."""
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
    """Return the name by which a file is known; Http404 for detours to it.

    Else "public/../private" would be asked for in the name of "public".
    """
    detour = name.startswith(("/", "../")) or name in (".", "..") or "\\" in name
    if detour or posixpath.normpath(name) != name:
        raise Http404("There is no such file.")
    return normal(name) if isinstance(storage, TahoeStorage | Cached) else name
