"""The classic import path: ``from tahoestorage.storage import TahoeStorage``."""

from tahoestorage.backends.portable import storage_at
from tahoestorage.backends.tahoe import TahoeStorage

__all__ = ["TahoeStorage", "storage_at"]
