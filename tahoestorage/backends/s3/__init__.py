"""Django's storage on S3, and on what speaks as S3 does."""

from tahoestorage.backends.s3.storage import S3Storage

__all__ = ["S3Storage"]
