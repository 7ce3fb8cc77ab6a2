"""The classic import path: ``from tahoestorage.storage import TahoeStorage``."""

from tahoestorage.backends.tahoe import TahoeStorage

__all__ = ["TahoeStorage"]
