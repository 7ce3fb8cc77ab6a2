"""The Content-Security-Policy of pages: what they load is the site's own."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from csp.constants import HEADER
from csp.middleware import CSPMiddleware, PolicyParts
from django.conf import STATICFILES_STORAGE_ALIAS
from django.contrib.staticfiles.storage import HashedFilesMixin
from django.core.files.storage import storages

NAMED = "pages/icon.svg"
LOADED = ("script-src", "style-src", "img-src", "font-src")


class ContentPolicy(CSPMiddleware):
    """Django-csp's, which lets pages load static files from where they are.

    Responses that have a policy of their own keep it: uploads, the API's page.
    """

    def __init__(self, get_response: Any) -> None:
        super().__init__(get_response)
        self._origin: str | None = None

    def process_response(self, request: Any, response: Any) -> Any:
        """Add the policy; to a 304 none, whose headers replace what a browser kept.

        For a response that has one none is made: a download of a small object would
        take a twentieth longer.
        """
        if response.status_code == 304 or HEADER in response:
            return response
        return super().process_response(request, response)

    def get_policy_parts(self, *args: Any, **kwargs: Any) -> PolicyParts:
        """Return the parts of the policy, with the store of static files among them."""
        parts = super().get_policy_parts(*args, **kwargs)
        if self._origin is None:
            self._origin = origin_of_static_files()
        if self._origin:
            update = dict(parts.update or {})
            for name in LOADED:
                given = [*update.get(name, ()), self._origin]
                update[name] = given if name == "img-src" else ["'self'", *given]
            parts.update = update
        return parts


def origin_of_static_files() -> str:
    """Return what the URLs of another host's static files begin with.

    The empty string where this site has them. Of a bucket's host that is the bucket
    alone: others have theirs beside it. No store is asked, so that it is right also
    when the first request comes while that is away.
    """
    storage: Any = storages[STATICFILES_STORAGE_ALIAS]
    # Hashed names stand in a list in the store, and the plain ones lie beside them.
    if isinstance(storage, HashedFilesMixin):
        storage = super(HashedFilesMixin, storage)
    try:
        url = storage.url(NAMED)
    except (OSError, ValueError):  # Its URLs are made of caps.
        return ""
    parts = urlsplit(url)
    if not parts.netloc:
        return ""
    return f"{parts.scheme}://{parts.netloc}{parts.path.removesuffix(NAMED)}"
