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
    """Keeps static files on a grid, by names that follow from their content.

    Takes the options of TahoeStorage. Give it a root of its own. Its URLs are those of
    the site, below STATIC_URL: visitors get the files by a view or by nginx
    (docs/downloads.md). A file whose content changed is replaced.
    """

    def __init__(self, **options: Unpack[TahoeKeywords]) -> None:
        if not options.get("url_style") and not options.get("public_base_url"):
            options["url_style"] = "path"
            if not options.get("media_url"):
                options["media_url"] = static_url()
        if options.get("allow_overwrite") is None:
            options["allow_overwrite"] = True
        super().__init__(**options)

    def _looking_afresh(self) -> AbstractContextManager[None]:
        where = self.manifest_storage
        if isinstance(where, TahoeStorage):
            return where.prefetch(self.manifest_name)
        return nullcontext()
