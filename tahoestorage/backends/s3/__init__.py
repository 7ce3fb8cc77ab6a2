"""Django storages on Amazon S3, and on stores that are compatible with it."""

from tahoestorage.backends.s3.static import S3ManifestStaticStorage, S3StaticStorage
from tahoestorage.backends.s3.storage import S3Storage

__all__ = ["S3ManifestStaticStorage", "S3StaticStorage", "S3Storage"]
