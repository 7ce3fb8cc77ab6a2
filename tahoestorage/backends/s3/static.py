"""Static files in a bucket of S3."""

from __future__ import annotations

from tahoestorage.backends.manifest import HashedFirst
from tahoestorage.backends.s3.storage import S3Storage


class S3StaticStorage(S3Storage):
    """Keeps static files in a bucket that is public to read.

    Takes the options of S3Storage. URLs are not signed: all visitors get the same, and
    browsers keep what they have. A file whose content changed is replaced.
    """

    __module__ = "tahoestorage.backends.s3"
    querystring_auth = False
    file_overwrite = True


class S3ManifestStaticStorage(HashedFirst, S3StaticStorage):
    """The same, by names that follow from the content, which may be kept for ever."""

    __module__ = "tahoestorage.backends.s3"
