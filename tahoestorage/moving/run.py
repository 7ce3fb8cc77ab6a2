"""One run: all files of one store are copied to another."""

from __future__ import annotations

import contextlib
import resource
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tahoestorage.display import LISTED, reason, shown, shown_bytes
from tahoestorage.moving.copier import Copier, Outcome
from tahoestorage.moving.grid import Grid
from tahoestorage.moving.names import BadName, FolderMark, Names, NoFile
from tahoestorage.moving.pool import Impatient, WorkerThreads
from tahoestorage.moving.processes import (
    SMALL,
    Result,
    Totals,
    WorkerProcesses,
    worker_processes,
)
from tahoestorage.moving.space import SHARES, Space, Spread
from tahoestorage.moving.store import Found, Store
from tahoestorage.moving.summary import Summary, passes
from tahoestorage.moving.throttle import Stopped, Throttle
from tahoestorage.progress import Progress

RESTING = 248
"""So many files that were uploaded to a grid may wait to be linked together, so that
others are uploaded while ``linkqueue.MOST`` are linked. Their sources are closed."""


@dataclass(frozen=True)
class Plan:
    """What a run is to do.

    ``jobs`` is how many files are copied at a time, ``rate`` bytes per second in all,
    ``named`` how many of the files that a dry run would copy are named. What
    ``is_needed`` says of the name of a file that only the target has forbids that it is
    deleted, and is an error.
    """

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
    is_needed: Callable[[str], bool] | None = None


class Run:
    """Carries out a plan, once. ``summary`` says what was done, however it ends."""

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
        self._totals = Totals()
        # Results are counted in many threads.
        self._counting = threading.Lock()
        self._given = self._results = 0
        self.summary = Summary()
        self.is_busy = False
        """Whether threads still work: a second Ctrl-C ended the wait for them."""
        self.space: Space | None = None
        if plan.dry_run and isinstance(target, Grid):
            self.space = Space(plan.shares)

    def carry_out(self) -> None:
        """Look at all names, then copy, then delete; set ``summary.status``.

        Raises nothing: errors of files and stores are in ``summary``. After Ctrl-C
        copies under way are broken off, which leaves no part of a file in the target.
        """
        summary = self.summary
        try:
            with self._progress:
                if self._look():
                    self._copy_and_delete()
        except KeyboardInterrupt as interrupt:
            summary.status = "interrupted"
            self.is_busy = isinstance(interrupt, Impatient)
        else:
            if summary.stopping:
                summary.status = "refused"
            elif summary.failed:
                summary.status = "failed"

    def _look(self) -> bool:
        """Check all names, and count; return whether the copying may begin."""
        files = size = large = 0
        has_any = False
        for found in self._walk_before():
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
        self._totals = Totals(files, size, large)
        return not self.summary.stopping

    def _none_begins_so(self) -> str:
        return (
            f"FROM has no name that begins with {shown(self._plan.prefix)}; looked in "
            f"{self._plan.source.where()}. Correct --prefix: names begin below that, "
            "with no / in front, and capitals count"
        )

    def _walk_before(self) -> Iterator[Found]:
        with self._plan.source.keeping_listings():
            yield from self._walk(self._plan.source, self._plan.target)

    def _walk(self, store: Store, other: Store) -> Iterator[Found]:
        return store.walk(self._plan.prefix, avoid=other.place())

    def _copy_and_delete(self) -> None:
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
            processes = self._processes()
            threads = stack.enter_context(self._threads(processes))
            if processes is not None:
                # They end first, for they hold a batch back.
                stack.enter_context(processes)
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
                self._given += 1
                if processes is None or not processes.take(found):
                    threads.do(self._copy, found)
        self._require_results("copied")

    def _require_results(self, done: str) -> None:
        """Fail the run if nothing was heard again of a file that was given out."""
        lost = self._given - self._results
        if lost:
            why = f"{lost:,} files may not be {done}: their workers told no result"
            self._fail("", why, passes=True)
        self._given = self._results = 0

    def _processes(self) -> WorkerProcesses | None:
        """Return processes that copy small files; None where they gain nothing."""
        plan = self._plan
        if plan.rate or plan.verify or plan.dry_run:
            return None
        return worker_processes(
            self._copier, plan.jobs, self._totals, self._throttle.stop, self._note
        )

    def _threads(self, processes: WorkerProcesses | None) -> WorkerThreads:
        at_once = 0 if processes is None else processes.at_once
        # One at least, for what has grown since it was looked at.
        jobs = max(self._plan.jobs - at_once, 1)
        rest = 0
        if isinstance(self._plan.target, Grid):
            # Each may link in a directory of its own, by a connection of its own.
            most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            rest = RESTING if most < 0 else min(RESTING, most // 4)
        return WorkerThreads(jobs, self._throttle.stop, rest=rest)

    def _note(self, found: Found, result: Result) -> None:
        """Note what a worker process did with a file."""
        if result.outcome is None:
            self._fail(found.name, result.why, passes=result.passes)
        elif result.outcome is Outcome.COPIED:
            self._progress.bytes(result.size)
        self._count(found, result.outcome, result.size)

    def _copy(self, found: Found) -> None:
        outcome, size = None, 0
        try:
            outcome, size = self._copier.copy(found)
        except Stopped:
            return
        except Exception as error:
            self._failed(found.name, error)
        self._count(found, outcome, size)

    def _count(self, found: Found, outcome: Outcome | None, size: int) -> None:
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
        self._has_result()
        self._progress.file(0 if passed else _size(found))

    def _has_result(self) -> None:
        with self._counting:
            self._results += 1

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
        with WorkerThreads(plan.jobs, self._throttle.stop) as threads:
            for found in self._walk(plan.target, plan.source):
                if isinstance(found.error, FileNotFoundError | NoFile):
                    continue
                error = found.error
                if error is None and found.name not in self._names:
                    if self._is_spared(found.name):
                        continue
                    refused = plan.target.refuses(found.name)
                    if plan.is_needed is not None and plan.is_needed(found.name):
                        refused = "FROM has lost it, and it is still needed"
                    if refused is None:
                        self._given += 1
                        threads.do(self._delete, found.name)
                        continue
                    # Another file has the name that would be deleted; or it is the
                    # last copy.
                    error = BadName(f"it can't be deleted: {refused}")
                if error is not None:
                    self._failed(found.name, error)
        self._require_results("deleted")

    def _is_spared(self, name: str) -> bool:
        """Whether a file that only TO has is not deleted; say why."""
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
            stays = self._has_come(name)
            if not stays and not plan.dry_run:
                plan.target.delete(name)
        except Exception as error:
            self._failed(name, error)
        else:
            if not stays:
                self.summary.delete(name)
                if plan.dry_run:
                    self._progress.say(f"only in TO: {shown(name)}")
        self._has_result()

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
