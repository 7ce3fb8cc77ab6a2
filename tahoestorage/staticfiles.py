"""Static files on a grid."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Unpack

from tahoestorage.backends.manifest import HashedFirst
from tahoestorage.config.keywords import TahoeKeywords
from tahoestorage.config.settings import static_url
from tahoestorage.storage import TahoeStorage

__all__ = ["TahoeManifestStaticStorage"]


class TahoeManifestStaticStorage(HashedFirst, TahoeStorage):
    """Keeps static files on a grid, with a hash of the content in each name.

    It takes the options of TahoeStorage, and needs a root of its own. Unless options
    say otherwise its URLs are below STATIC_URL, where a view or nginx serves the files
    (docs/downloads.md), and ``allow_overwrite`` is True, so that collectstatic replaces
    what has changed. ``manifest_name`` is what the list of names is called.
    """

    def __init__(
        self, *, manifest_name: str | None = None, **options: Unpack[TahoeKeywords]
    ) -> None:
        if not options.get("url_style") and not options.get("public_base_url"):
            options["url_style"] = "path"
            if not options.get("media_url"):
                options["media_url"] = static_url()
        if options.get("allow_overwrite") is None:
            options["allow_overwrite"] = True
        super().__init__(manifest_name=manifest_name, **options)

    def _looking_afresh(self) -> AbstractContextManager[None]:
        where = self.manifest_storage
        if isinstance(where, TahoeStorage):
            return where.prefetch(self.manifest_name)
        return nullcontext()
