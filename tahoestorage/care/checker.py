"""Checks all that is below a directory on a grid, a few objects at a time."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.care.examiner import CheckedObject, CheckPlan, Examiner
from tahoestorage.care.givingway import GivingWay
from tahoestorage.care.record import CheckRecord
from tahoestorage.care.verdicts import (
    WHOLE,
    CheckSummary,
    State,
    Verdict,
    judge,
    line_of,
)
from tahoestorage.display import reason
from tahoestorage.entries import EntryKind
from tahoestorage.exceptions import (
    GatewayUnreachable,
    InvalidCap,
    NotEnoughShares,
    StoreError,
)
from tahoestorage.moving.pool import Impatient, WorkerThreads
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap, Kind
from tahoestorage.tahoe.children import Child, Node
from tahoestorage.tahoe.parsing import Server
from tahoestorage.tahoe.serverfacts import Availability, Facts, ServerRules

STREAMED = 500
"""A directory without directories, and with so many children at most, is checked by
one request. Of a larger one too much would be done twice after a kill."""
STREAM_SECONDS = 3.0  # for each object in it


class Checker:
    """Carries out a check, once. ``summary`` says what was found, however it ends.

    ``say`` gets a line for each name that is not whole, and ``tick`` is called after
    each name, both by several threads. An error of theirs ends the check.
    """

    def __init__(
        self,
        storage: TahoeStorage,
        plan: CheckPlan,
        record: CheckRecord,
        say: Callable[[str], None],
        tick: Callable[[CheckSummary], None],
    ) -> None:
        self._gateway = storage.directories.gateway
        self._gateways = storage.directories.gateways
        self._root = storage.directories.root
        options = storage.options
        self._rules = ServerRules(options.server_count, options.retired_servers)
        self._plan = plan
        self._record = record
        self._say = say
        self._tick = tick
        self._stopped = threading.Event()
        self._examiner = Examiner(storage, plan, self._stopped)
        self._giving_way = GivingWay(
            storage.directories.cache,
            self._stopped,
            record.patient_until("/".join(plan.path)),
        )
        self.summary = CheckSummary()
        self.is_busy = False
        """Whether threads still work: a second Ctrl-C ended the wait for them."""

    def carry_out(self) -> None:
        """Check everything. Raises FileMissing where there is no such path."""
        summary = self.summary
        try:
            summary.servers["start"] = self._servers()
            with WorkerThreads(self._plan.jobs, self._stopped.set) as threads:
                self._walk(threads)
            with contextlib.suppress(StoreError):
                # It is told beside the result, and the result does not depend on it.
                summary.servers["end"] = self._servers()
        except KeyboardInterrupt as interrupt:
            summary.interrupted = True
            self.is_busy = isinstance(interrupt, Impatient)
            return
        except GatewayUnreachable as error:
            self._stop(error)
        if summary.outage is None:
            is_complete = not summary.counts[State.FAILED]
            self._record.end(summary.counts_as_dict(), is_complete=is_complete)

    def _stop(self, error: Exception) -> None:
        if self.summary.outage is None:
            self.summary.outage = reason(self._gateways.by_the_first(error))
        self._stopped.set()

    def _servers(self) -> list[str] | None:
        servers = self._examiner.patiently(self._gateway.servers)
        if servers is None:
            return None
        self._examiner.names.update({s.id: s.nickname for s in servers if s.nickname})
        self._note_missing(servers)
        return sorted(s.nickname or s.id[:12] for s in servers if s.connected)

    def _note_missing(self, servers: tuple[Server, ...]) -> None:
        facts = Facts()
        try:
            known = self._examiner.patiently(
                lambda: marker.read_facts(self._gateway, self._root.best)
            )
            facts = Facts.parse(known)
        except GatewayUnreachable:
            raise
        except StoreError:
            # What is wrong with the root is told where that is checked.
            pass
        missing = Availability.of(servers, facts, self._rules).unconnected()
        self.summary.missing.update(missing)
        self._record.note_missing(missing)

    # Walking

    def _walk(self, threads: WorkerThreads) -> None:
        start = self._start()
        if start is None:
            return
        if start.kind is not EntryKind.DIRECTORY:
            threads.do(self._attend, self._check_all, [start])
            return
        # What is found by a read cap alone comes last: what is hurt of it can't be
        # repaired, and there may be a link by its write cap.
        pending, seen = [start], set[bytes]()
        read_only: list[CheckedObject] = []
        while (pending or read_only) and not self._stopped.is_set():
            here = (pending or read_only).pop()
            # A directory may be in itself.
            if here.read.storage_index in seen:
                continue
            seen.add(here.read.storage_index)
            children = self._list(here)
            if children is None:
                continue
            below = [each for each in children if each.kind is EntryKind.DIRECTORY]
            for each in reversed(below):
                if each.read.storage_index not in seen:
                    (read_only if each.write is None else pending).append(each)
            files = [each for each in children if each.kind is EntryKind.FILE]
            self._submit(threads, here, files, is_leaf=not below)

    def _start(self) -> CheckedObject | None:
        """Return what is to be checked; None where too few shares show where it is."""
        path, label, root = self._plan.path, "/".join(self._plan.path), self._root
        if not path:
            return CheckedObject("", EntryKind.DIRECTORY, root.read, root.write)

        def request() -> Node:
            return self._gateway.list(root.best, path, label=label)

        try:
            node = self._examiner.once_more(lambda: self._examiner.patiently(request))
        except NotEnoughShares:
            why = "it, or a directory on the way, can't be read"
            self._report(label, Verdict(State.LOST, why))
            return None
        read = Cap.parse(node.read or "")
        write = Cap.parse(node.write) if node.write else None
        return CheckedObject(label, node.kind, read, write)

    def _list(self, here: CheckedObject) -> list[CheckedObject] | None:
        """Return what is in a directory; None where it can't be listed."""
        found: list[Child] = []

        def request() -> object:
            found.clear()
            return self._gateway.list(here.best, (), found.append, label=here.label)

        try:
            self._examiner.once_more(lambda: self._examiner.patiently(request))
        except NotEnoughShares:
            verdict = Verdict(
                State.LOST, "it can't be listed, and nothing below it was looked at"
            )
        except GatewayUnreachable as error:
            self._stop(error)
            return None
        except StoreError as error:
            verdict = Verdict(State.FAILED, f"it can't be listed: {reason(error)}")
        else:
            return [each for child in found if (each := self._child(here, child))]
        self._settle(here, verdict)
        return None

    def _child(self, here: CheckedObject, child: Child) -> CheckedObject | None:
        """Return a child that is to be checked."""
        if marker.is_reserved_name(child.name):
            return None
        path = f"{here.path}/{child.name}" if here.path else child.name
        why = "its cap is of a kind that is not known here"
        if child.entry.leads_nowhere:
            why = (
                "its link has no cap, as other tools leave it where a file was deleted"
            )
        elif child.entry.kind is not EntryKind.UNKNOWN:
            with contextlib.suppress(InvalidCap):
                read = Cap.parse(child.entry.reference)
                write = None
                if child.write_reference is not None:
                    write = Cap.parse(child.write_reference)
                if read.kind is not Kind.UNKNOWN:
                    writable = write if write and write.is_writable else None
                    return CheckedObject(path, child.entry.kind, read, writable)
        self._report(path, Verdict(State.UNCHECKED, why))
        return None

    def _submit(
        self,
        threads: WorkerThreads,
        here: CheckedObject,
        files: list[CheckedObject],
        *,
        is_leaf: bool,
    ) -> None:
        due = [each for each in (here, *files) if not self._is_known(each)]
        is_new = len(due) == 1 + len(files)
        if is_leaf and is_new and 1 < len(due) <= STREAMED and not self._plan.verify:
            threads.do(self._attend, self._check_directory, here, due)
            return
        for each in due:
            threads.do(self._attend, self._check_all, [each])

    def _is_known(self, each: CheckedObject) -> bool:
        """Whether an object need not be looked at; if so, it is counted."""
        if each.read.kind in (Kind.LIT, Kind.DIR2_LIT):
            self._report(each.path, WHOLE)
            return True
        known = self._record.get(
            each.read.storage_index,
            self._plan.wanted,
            repair=self._plan.repair,
            since=self._plan.since,
        )
        if known is not None:
            self._report(each.path, known, reused=True)
        return known is not None

    # Looking at objects, in threads

    def _attend(self, task: Callable[..., None], *arguments: Any) -> None:
        """Carry out a task. What nobody expected ends the check, and is told.

        Nobody looks at what a thread raises, and the rest of the task would be missing.
        """
        try:
            with self._giving_way.turn():
                task(*arguments)
        except Exception as error:
            self._stop(error)

    def _check_directory(self, here: CheckedObject, due: list[CheckedObject]) -> None:
        """Check a directory and its files by one request; what is hurt, once more."""
        left: dict[bytes, list[CheckedObject]] = {}
        for each in due:
            left.setdefault(each.read.storage_index, []).append(each)
        hurt: list[CheckedObject] = []
        with contextlib.suppress(StoreError):
            for line in self._gateway.deep_check(
                here.best,
                add_lease=self._plan.add_lease,
                seconds=STREAM_SECONDS * len(due),
                label=here.label,
            ):
                if self._stopped.is_set():
                    return
                found = left.pop(line.storage_index, [])
                is_whole = line.results is not None and judge(line.results) == WHOLE
                for each in found:
                    if is_whole:
                        self._settle(each, WHOLE)
                    else:
                        hurt.append(each)
        # What was deleted meanwhile is still somebody's, by its cap or another name.
        self._check_all([*hurt, *(each for group in left.values() for each in group)])

    def _check_all(self, due: list[CheckedObject]) -> None:
        for each in due:
            if self._stopped.is_set():
                return
            try:
                verdict = self._examiner.examine(each)
            except GatewayUnreachable as error:
                self._stop(error)
                return
            except Exception as error:
                verdict = Verdict(State.FAILED, reason(error))
            if not self._stopped.is_set() or verdict == WHOLE:
                self._settle(each, verdict)

    def _settle(self, each: CheckedObject, verdict: Verdict) -> None:
        self._record.put(each.read.storage_index, verdict, self._plan.wanted)
        self._report(each.path, verdict)

    def _report(self, path: str, verdict: Verdict, *, reused: bool = False) -> None:
        self.summary.add(path, verdict, reused=reused)
        if verdict != WHOLE:
            self._say(line_of(path, verdict))
        self._tick(self.summary)
