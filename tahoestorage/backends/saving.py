"""The names by which files are saved: in NFC, and free."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from django.core.exceptions import SuspiciousFileOperation
from django.core.files.storage import Storage
from django.core.files.utils import validate_file_name

from tahoestorage.backends.content import file_of
from tahoestorage.backends.names import normal
from tahoestorage.exceptions import NameTaken

if TYPE_CHECKING:
    from tahoestorage.backends.savingmany import Sender

ALTERNATIVES = 100
# Django tells save() how long a name may be, and not _save(), which may need another.
_longest: ContextVar[int | None] = ContextVar("max_length", default=None)


def is_ours(storage: Storage, *methods: str) -> bool:
    """Whether a storage has these methods of this package, and none of a subclass."""
    return all(
        getattr(type(storage), method).__module__.startswith("tahoestorage.")
        for method in methods
    )


class Saving(Storage):
    """A storage whose store refuses a taken name: a save goes on with another."""

    @property
    def _overwrites(self) -> bool:
        """Whether a save replaces what has its name."""
        raise NotImplementedError

    def generate_filename(self, filename: str | os.PathLike[str]) -> str:
        """Return the name that ``filename`` is saved by, in NFC."""
        return normal(super().generate_filename(normal(str(filename))))

    def get_available_name(self, name: str, max_length: int | None = None) -> str:
        """Return a name that is free, no longer than ``max_length`` in NFC."""
        free = normal(super().get_available_name(normal(str(name)), max_length))
        if max_length is not None and len(free) > max_length:
            raise SuspiciousFileOperation(f"{name!r} has no name so short in NFC")
        return free

    def get_alternative_name(self, file_root: str, file_ext: str) -> str:
        """Return another name to try; the same one where a save may overwrite."""
        if self._overwrites:
            return f"{file_root}{file_ext}"
        return super().get_alternative_name(file_root, file_ext)

    def is_name_available(self, name: str, max_length: int | None = None) -> bool:
        """Whether a save may use this name."""
        if max_length and len(name) > max_length:
            return False
        return self._overwrites or not self.exists(name)

    def save(
        self, name: str | None, content: Any, max_length: int | None = None
    ) -> str:
        """Save content under a free name, and return that name."""
        before = _longest.set(max_length)
        try:
            return super().save(name, content, max_length)
        finally:
            _longest.reset(before)

    def save_many(
        self, pairs: Iterable[tuple[str | None, Any]], *, jobs: int = 8
    ) -> Iterator[str]:
        """Save pairs of name and content, ``jobs`` at a time; yield the names.

        As ``save``, each file gets a free name, for None by its content's own, and is
        yielded once it is safe, in the order of the pairs. On a grid many files of a
        directory are linked at once. ``pairs`` may be a generator: a few contents for
        each job are held at a time.
        Raises NotAllSaved where files could not be saved: what was saved stays, and its
        ``errors`` name the others. What ``pairs`` raises is raised once all that came
        before it is saved and yielded; it is NotAllSaved's cause where there are both.
        Ctrl-C begins nothing more and waits for what is under way; its note says what
        is saved besides, and what is not. Whoever stops iterating keeps what was
        yielded, and maybe some more.
        """
        # Few processes save many files.
        from tahoestorage.backends.savingmany import Sender

        sender = Sender(jobs)
        with sender.running():
            yield from self._save_all(pairs, sender)

    def _save_all(
        self, pairs: Iterable[tuple[str | None, Any]], sender: Sender
    ) -> Iterator[str]:
        from tahoestorage.backends.savingmany import save_each

        return save_each(self.save, pairs, sender)

    def delete_many(self, names: Iterable[str], *, jobs: int = 8) -> Iterator[str]:
        """Delete files, ``jobs`` at a time; yield each name once the file is gone.

        In the order of the names, and each as ``delete`` does it: a name that is not
        there is no error. ``names`` may be a generator. Raises NotAllDeleted where
        files could not be deleted, whose ``errors`` name them; those after them that
        were not begun stay. What ``names`` raises, and Ctrl-C, end it as they end
        ``save_many``. Whoever stops iterating may have deleted some more than were
        yielded. On a grid each file is a change of its directory: a gateway
        unlinks one name by a request.
        """
        from tahoestorage.backends.savingmany import Sender, delete_each

        sender = Sender(jobs)
        with sender.running():
            yield from delete_each(self.delete, map(str, names), sender)

    def create(self, name: str, content: Any, *, unique: bool = False) -> str:
        """Save content by just this name, and return the name, in NFC.

        Raises NameTaken, a FileExistsError, where the name is taken: nothing is
        overwritten, whatever the options say, and no other name is tried. So content
        that can be read once, such as the body of a request, goes to the store as it
        comes: ``save`` keeps it in a temporary file while it is sent. What reading the
        content raises is raised as it is, and then nothing was saved.

        ``unique`` is the caller's word that nobody else writes this name, as where it
        holds a random id. A store of objects that is not known to refuse (Amazon's and
        Google's own are, and by ``conditional_writes`` any) is then asked whether the
        name is free, and need not be able to. On S3 it is asked only about more than 1
        MiB, where a trial has shown that it refuses. Without ``unique``, one that can
        refuse small files only (SeaweedFS) is sent a large one from a temporary file.
        """
        name = normal(str(name))
        validate_file_name(name, allow_relative_path=True)
        return self._create_file(name, file_of(content), unique=unique)

    def _create_file(self, name: str, content: Any, *, unique: bool) -> str:
        raise NotImplementedError

    def _by_free_name(self, name: str, attempt: Callable[[str], None]) -> str:
        """Return the first name for which ``attempt`` does not raise NameTaken.

        ``name`` is tried first, then what ``get_available_name`` gives for it, within
        the ``max_length`` that ``save`` was given. A name that was refused is tried
        once more where it is free again by then, and never a third time in a row.
        """
        refused = ""
        for _ in range(ALTERNATIVES):
            try:
                attempt(name)
            except NameTaken:
                following = self.get_available_name(name, _longest.get())
                # A method of a subclass's own may not look for another one.
                if following == name and (name == refused or self.exists(name)):
                    raise
                refused, name = name, following
            else:
                return name
        raise NameTaken(f"{name}: the name is taken, as were {ALTERNATIVES} others")
