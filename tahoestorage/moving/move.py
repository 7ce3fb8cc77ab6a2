"""A run: all files of one store are brought to another."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from tahoestorage.moving.copying import Copier, Outcome
from tahoestorage.moving.grid import Grid
from tahoestorage.moving.helpers import SMALL, Brought, Helpers, Size, helpers
from tahoestorage.moving.names import BadName, FolderMark, Names, NoFile
from tahoestorage.moving.progress import Progress
from tahoestorage.moving.space import SHARES, Space, Spread
from tahoestorage.moving.store import Found, Store
from tahoestorage.moving.summary import (
    LISTED,
    Summary,
    passes,
    reason,
    shown,
    shown_bytes,
)
from tahoestorage.moving.throttle import Stopped, Throttle
from tahoestorage.moving.workers import Impatient, Workers


@dataclass(frozen=True)
class Plan:
    """What is to be done."""

    source: Store
    target: Store
    prefix: str = ""
    jobs: int = 8
    rate: float | None = None
    verify: bool = False
    keep_newer: bool = False
    delete_extra: bool = False
    dry_run: bool = False
    shares: Spread = SHARES
    named: int = 0
    """How many of the files that a dry run would copy are named."""


class Move:
    """Carries out a plan, once. What it did is in ``summary``, whatever happens."""

    def __init__(self, plan: Plan, progress: Progress) -> None:
        self._plan = plan
        self._progress = progress
        source, target = plan.source, plan.target
        self._throttle = Throttle(plan.rate, progress.bytes)
        self._copier = Copier(
            source,
            target,
            self._throttle,
            verify=plan.verify,
            keep_newer=plan.keep_newer,
            dry_run=plan.dry_run,
        )
        self._names = Names(
            target.rules, lambda name: target.refuses(name) or source.refuses(name)
        )
        self._size = Size()
        self.summary = Summary()
        self.is_busy = False
        """Whether threads go on, because waiting for them was interrupted too."""
        self.space: Space | None = None
        if plan.dry_run and isinstance(target, Grid):
            self.space = Space(plan.shares)

    def run(self) -> None:
        """Look at all names, then copy, then delete. Ctrl-C ends it in good order."""
        summary = self.summary
        try:
            with self._progress:
                if self._look():
                    self._bring_all()
        except KeyboardInterrupt as interrupt:
            summary.status = "interrupted"
            self.is_busy = isinstance(interrupt, Impatient)
        else:
            if summary.stopping:
                summary.status = "refused"
            elif summary.failed:
                summary.status = "failed"

    def _look(self) -> bool:
        """Return whether the target can hold all that the source has."""
        files = size = large = 0
        has_any = False
        for found in self._walk(self._plan.source, self._plan.target):
            self._progress.looked(1)
            has_any = has_any or bool(found.name)
            if found.error is None:
                error = self._names.add(found.name)
                if error is not None:
                    self._refused(found.name, error)
                files += 1
                size += _size(found)
                large += _size(found) > SMALL
            elif isinstance(found.error, FolderMark):
                self.summary.folder_marks += 1
            elif isinstance(found.error, NoFile):
                self._names.spare(found.name)
                self.summary.pass_over(found.name, str(found.error))
                self._say_refused(found.name, str(found.error))
            elif isinstance(found.error, BadName):
                self._refused(found.name, str(found.error))
            elif not found.name:
                self._failed("", found.error, "FROM can't be listed: ")
                return False
        if self._plan.prefix and not has_any:
            self._failed("", BadName(self._none_begins_so()))
            return False
        self._progress.begin(files, size)
        self._size = Size(files, size, large)
        return not self.summary.stopping

    def _none_begins_so(self) -> str:
        return (
            f"FROM has no name that begins with {shown(self._plan.prefix)}; looked in "
            f"{self._plan.source.where()}. Correct --prefix: names begin below that, "
            "with no / in front, and capitals count"
        )

    def _walk(self, store: Store, other: Store) -> Iterator[Found]:
        return store.walk(self._plan.prefix, avoid=other.place())

    def _bring_all(self) -> None:
        plan = self._plan
        with contextlib.ExitStack() as stack:
            try:
                stack.enter_context(plan.target.ready(plan.prefix))
            except Exception as error:
                self._failed("", error, "TO takes no files: ")
                return
            self._copy_all()
            if plan.delete_extra:
                self._delete_all()

    def _copy_all(self) -> None:
        with contextlib.ExitStack() as stack:
            others = self._helpers()
            workers = stack.enter_context(self._workers(others))
            if others is not None:
                # They end first, for they hold a batch back.
                stack.enter_context(others)
            for found in self._walk(self._plan.source, self._plan.target):
                if isinstance(found.error, NoFile):
                    if not isinstance(found.error, FolderMark):
                        self._names.spare(found.name)
                    continue
                if found.error is not None:
                    self._failed(found.name, found.error)
                    continue
                # What has come since the names were looked at is looked at now.
                if found.name not in self._names:
                    error = self._names.add(found.name)
                    if error is not None:
                        self._failed(found.name, BadName(error))
                        continue
                self.summary.seen += 1
                if others is None or not others.take(found):
                    workers.do(self._bring, found)

    def _helpers(self) -> Helpers | None:
        """Return processes that copy small files; None where they gain nothing."""
        plan = self._plan
        if plan.rate or plan.verify or plan.dry_run:
            return None
        stop, tell = self._throttle.stop, self._answered
        return helpers(self._copier, plan.jobs, self._size, stop, tell)

    def _workers(self, others: Helpers | None = None) -> Workers:
        at_once = 0 if others is None else others.at_once
        # One at least, for what has grown since it was looked at.
        return Workers(max(self._plan.jobs - at_once, 1), self._throttle.stop)

    def _answered(self, found: Found, brought: Brought) -> None:
        """Note what helpers say of a file."""
        if brought.outcome is None:
            self._fail(found.name, brought.why, passes=brought.passes)
        elif brought.outcome is Outcome.COPIED:
            self._progress.bytes(brought.size)
        self._brought(found, brought.outcome, brought.size)

    def _bring(self, found: Found) -> None:
        outcome, size = None, 0
        try:
            outcome, size = self._copier.bring(found)
        except Stopped:
            return
        except Exception as error:
            self._failed(found.name, error)
        self._brought(found, outcome, size)

    def _brought(self, found: Found, outcome: Outcome | None, size: int) -> None:
        name = found.name
        passed = self._plan.verify
        if outcome is not None:
            self.summary.done(name, outcome, size)
            if outcome is Outcome.KEPT:
                self._progress.say(f"kept: {shown(name)}: TO has another, newer one")
            elif outcome is Outcome.COPIED:
                if self._plan.dry_run:
                    self._would_copy(name, size)
                else:
                    passed = True
                if self.space is not None:
                    self.space.add(name, size)
        self._progress.file(0 if passed else _size(found))

    def _would_copy(self, name: str, size: int) -> None:
        count = self.summary.would_copy(name)
        if count <= self._plan.named:
            self._progress.say(f"would copy: {shown(name)} ({shown_bytes(size)})")
        elif count == self._plan.named + 1 and self._plan.named:
            self._progress.say("would copy more, which -v 2 names")

    def _delete_all(self) -> None:
        plan, summary = self._plan, self.summary
        if summary.failed:
            self._progress.say("Nothing is deleted, because not all was copied.")
            return
        if not summary.seen:
            empty = BadName("FROM has no files there; nothing is deleted")
            self._failed("", empty)
            return
        with self._workers() as workers:
            for found in self._walk(plan.target, plan.source):
                if isinstance(found.error, FileNotFoundError | NoFile):
                    continue
                error = found.error
                if error is None and found.name not in self._names:
                    if self._is_spared(found.name):
                        continue
                    refused = plan.target.refuses(found.name)
                    if refused is None:
                        workers.do(self._delete, found.name)
                        continue
                    # Another file has the name that would be deleted.
                    error = BadName(f"it can't be deleted: {refused}")
                if error is not None:
                    self._failed(found.name, error)

    def _is_spared(self, name: str) -> bool:
        """Whether a file stays that only TO has; say why."""
        if self._names.spares(name):
            # Of what FROM has lost, it may be the last copy.
            why = "what FROM has by that name was refused"
        elif self._plan.target.leads_away(name):
            why = "it is behind a link to another directory"
        else:
            return False
        self._progress.say(f"not deleted: {shown(name)}: {why}")
        return True

    def _delete(self, name: str) -> None:
        plan = self._plan
        try:
            if self._has_come(name):
                return
            if not plan.dry_run:
                plan.target.delete(name)
        except Exception as error:
            self._failed(name, error)
            return
        self.summary.delete(name)
        if plan.dry_run:
            self._progress.say(f"only in TO: {shown(name)}")

    def _has_come(self, name: str) -> bool:
        """Whether the source has a file of this name by now."""
        source = self._plan.source
        if source.refuses(name) is not None:
            return False
        try:
            return source.stat(name) is not None
        except IsADirectoryError:
            return False

    def _refused(self, name: str, why: str) -> None:
        self.summary.refuse(name, why)
        self._say_refused(name, why)

    def _say_refused(self, name: str, why: str) -> None:
        if self.summary.refused <= LISTED:
            self._progress.say(f"refused: {shown(name)}: {why}")

    def _failed(self, name: str, error: Exception, before: str = "") -> None:
        # Where a store is of no use at all, something is to be done first.
        self._fail(name, before + reason(error), passes=bool(name) and passes(error))

    def _fail(self, name: str, why: str, *, passes: bool) -> None:
        self.summary.fail(name, why, passes=passes)
        self._progress.say(
            f"failed: {shown(name)}: {why}" if name else f"failed: {why}"
        )


def _size(found: Found) -> int:
    return (found.stat.size or 0) if found.stat else 0
