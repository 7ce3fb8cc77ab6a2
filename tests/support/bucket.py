"""A store of objects in memory, with our storages' class: any key is possible in it."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Iterable, Iterator
from hashlib import md5
from typing import Any

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.names import path_of
from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import FileMissing, NameTaken
from tahoestorage.parts import Part

PAGE = 3


class _Parent:
    """What django-storages would be: it takes the options."""

    def __init__(self, location: str = "", file_overwrite: bool = False) -> None:
        self.bucket_name = "bucket"
        self.location = location.strip("/")
        self.file_overwrite = file_overwrite


class Bucket(Cached, _Parent):
    """Objects by key; ``asked`` is what was asked of it, a word a request."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"cache": False, **options})
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.asked: list[str] = []
        self.lock = threading.Lock()

    def put(self, key: str, content: bytes, modified: float | None = None) -> None:
        """Put an object there, as somebody else would."""
        self.objects[key] = content, modified or time.time()

    def _entry_of(self, key: str) -> Entry:
        content, modified = self.objects[key]
        tag = md5(content, usedforsecurity=False).hexdigest()
        return Entry(EntryKind.FILE, tag, len(content), modified=modified)

    def identity(self) -> list[str]:
        return ["memory", str(id(self.objects)), self.bucket_name]

    def key_of(self, name: str) -> str:
        return "/".join([*([self.location] if self.location else []), *path_of(name)])

    def stat_object(self, key: str, label: str) -> Entry:
        self.asked.append("stat")
        if key not in self.objects:
            raise FileMissing(f"{label}: there is no such file")
        return self._entry_of(key)

    def fetch_object(
        self, key: str, first: int, last: int, reference: str | None, label: str
    ) -> Part:
        self.asked.append("fetch")
        if key not in self.objects:
            raise FileMissing(f"{label}: there is no such file")
        content = self.objects[key][0]
        return Part(self._entry_of(key), io.BytesIO(content[first : last + 1]))

    def put_object(self, key: str, content: Any, label: str, *, replace: bool) -> Entry:
        self.asked.append("put")
        whole = b"".join(content.chunks())
        with self.lock:
            if key in self.objects and not replace:
                raise NameTaken(f"{label}: the name is taken")
            self.put(key, whole)
        return self._entry_of(key)

    def delete_object(self, key: str, label: str, *, only: str | None = None) -> bool:
        self.asked.append("remove")
        self.objects.pop(key, None)
        return True

    def list_pages(self, prefix: str) -> Iterator[Iterable[tuple[str, Entry]]]:
        keys = sorted(key for key in list(self.objects) if key.startswith(prefix))
        for start in range(0, len(keys) or 1, PAGE):
            self.asked.append("page")
            yield [(key, self._entry_of(key)) for key in keys[start : start + PAGE]]
