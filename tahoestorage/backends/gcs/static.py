"""Static files in a bucket of Google Cloud Storage."""

from __future__ import annotations

from tahoestorage.backends.gcs.storage import GCSStorage
from tahoestorage.backends.manifest import HashedFirst


class GCSStaticStorage(GCSStorage):
    """Keeps static files in a bucket that is public to read.

    Takes the options of GCSStorage. URLs are not signed: all visitors get the same, and
    browsers keep what they have. A file whose content changed is replaced.
    """

    __module__ = "tahoestorage.backends.gcs"
    querystring_auth = False
    file_overwrite = True


class GCSManifestStaticStorage(HashedFirst, GCSStaticStorage):
    """The same, by names that follow from the content, which may be kept for ever."""

    __module__ = "tahoestorage.backends.gcs"
