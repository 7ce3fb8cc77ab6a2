"""Django storages on Google Cloud Storage."""

from tahoestorage.backends.gcs.static import (
    GCSManifestStaticStorage,
    GCSStaticStorage,
)
from tahoestorage.backends.gcs.storage import GCSStorage

__all__ = ["GCSManifestStaticStorage", "GCSStaticStorage", "GCSStorage"]
