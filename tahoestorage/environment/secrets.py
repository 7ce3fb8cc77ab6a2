"""Where pickles of storages by builds before 0.2.0 look for their key files."""

from tahoestorage.config.secrets import KeyFile

__all__ = ["KeyFile"]
