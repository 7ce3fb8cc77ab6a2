"""Links many files in a directory by one change of it."""

from __future__ import annotations

from typing import Literal

from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    GatewayTimeout,
    NameIsDirectory,
    NameTaken,
    NotEnoughShares,
    StoreError,
    UnexpectedResponse,
    WriteCollision,
)
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.children import Child, Link
from tahoestorage.tahoe.directories import Directory, Path
from tahoestorage.tahoe.directorychanges import DirectoryChanges
from tahoestorage.tahoe.writecollisions import pause
from tahoestorage.tahoe.writers import LockedChange

Refusal = NameTaken | NameIsDirectory | StoreError


def link_together(
    changes: DirectoryChanges,
    directory: Directory,
    parents: Path,
    links: dict[str, Link],
    since: float,
    replace: Literal["false", "only-files"] = "false",
) -> dict[str, Refusal]:
    """Link files in a directory that exists, by one change.

    ``parents`` is its path, and ``since`` when the change began. Returns what was not
    linked, with the error of each. Of a change that is refused for one taken name
    nothing is done, so the others are linked by a second one. With
    ``replace="only-files"`` files are replaced, and a directory is NameIsDirectory.
    """
    label = "/".join((*parents, f"{next(iter(links))} and others"))
    write = directory.writable("/".join(parents) or "the root directory")
    pending, taken = dict(links), dict[str, Refusal]()

    def settle(held: LockedChange) -> tuple[bool, None]:
        """Read which are there; what is not is pending again."""
        pending.clear()
        pending.update({k: v for k, v in links.items() if k not in taken})

        def look(child: Child) -> None:
            link = pending.get(child.name)
            if link is None:
                return
            name = "/".join((*parents, child.name))
            if link.is_seen_in(child):
                del pending[child.name]
            elif replace == "false":
                taken[child.name] = NameTaken(f"{name}: the name is taken")
                del pending[child.name]
            elif child.entry.kind is EntryKind.DIRECTORY:
                taken[child.name] = NameIsDirectory(f"{name} is a directory")
                del pending[child.name]

        for number in range(changes.gateway.retries):
            try:
                held.gateway.list(directory.best, (), look, label=label)
            except (NotEnoughShares, UnexpectedResponse):
                # While another gateway writes, shares seem to be missing.
                pause(number)
            else:
                return not pending, None
        held.gateway.list(directory.best, (), look, label=label)
        return not pending, None

    def put(held: LockedChange) -> None:
        failure: StoreError | None = None
        number = 0
        while number <= changes.gateway.retries:
            held.quorum.require(label, since=since)
            held.renew()
            send = held.send if replace == "false" else held.send_undoing
            change = changes.cache.change_many(directory.namespace, pending)
            try:
                send(
                    held.gateway.set_children,
                    write,
                    pending,
                    replace=replace,
                    label=label,
                )
            except (NameTaken, StoreError) as error:
                change.done({})
                known = len(taken)
                if settle(held)[0]:
                    return
                # As with one link: what is late would be refused, or is ours; but what
                # replaces could undo a later save.
                once = replace == "false" and number == 0
                if isinstance(error, GatewayTimeout) and not once:
                    raise
                failure = error if isinstance(error, StoreError) else None
                if isinstance(error, WriteCollision):
                    pause(number)
                # What was found to be taken is left out: that is no failure.
                number += len(taken) == known
            else:
                linked = {name: link.cap for name, link in pending.items()}
                change.done(
                    {name: linked_file(cap) for name, cap in linked.items()},
                    {n: cap.uri for n, cap in linked.items() if cap.is_writable},
                )
                pending.clear()
                return
        raise failure or NameTaken(f"{label}: the names come and go")

    try:
        since_ = changes.prepare(label, since=since)
        since = since if since_ is None else since_
        changes.with_lock(directory, label, put, settle)
    except (NameTaken, StoreError) as error:
        return taken | dict.fromkeys(pending, error)
    return taken


def linked_file(cap: Cap) -> Entry:
    """Return the entry of a file that was linked just now."""
    # Whoever reads an entry may not write by it.
    return Entry(EntryKind.FILE, cap.read_only.uri, cap.size)
