"""Django's storage on S3, and on what speaks as S3 does."""

from tahoestorage.backends.s3.static import S3ManifestStaticStorage, S3StaticStorage
from tahoestorage.backends.s3.storage import S3Storage

__all__ = ["S3ManifestStaticStorage", "S3StaticStorage", "S3Storage"]
