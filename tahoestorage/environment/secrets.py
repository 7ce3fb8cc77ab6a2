"""Where pickles of storages by builds before 0.2.0 look for their key files.

Nothing else looks here: the path was never published. So there is no warning, which
nobody could act on: whoever unpickles has written no import that could be changed.
"""

from tahoestorage.config.secrets import KeyFile

__all__ = ["KeyFile"]
