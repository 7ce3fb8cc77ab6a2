"""Where pickles of storages by 0.2, in queues and caches, look for their key files."""

from tahoestorage.config.secrets import KeyFile

__all__ = ["KeyFile"]
