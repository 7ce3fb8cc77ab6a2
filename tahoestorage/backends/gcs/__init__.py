"""Google Cloud Storage with the entry cache, and creation that cannot overwrite."""

from tahoestorage.backends.gcs.static import (
    GCSManifestStaticStorage,
    GCSStaticStorage,
)
from tahoestorage.backends.gcs.storage import GCSStorage

__all__ = ["GCSManifestStaticStorage", "GCSStaticStorage", "GCSStorage"]
