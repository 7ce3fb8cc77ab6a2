"""``manage.py storage_copy``: copy all files of one store to another."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from typing import Any, TypeVar

from django.core.management.base import CommandError, CommandParser

from tahoestorage.display import shown_bytes
from tahoestorage.management.storecommand import (
    CTRL_C,
    INTERRUPTED,
    USAGE,
    StoreCommand,
    add_jobs,
    add_json,
    errors_of,
)
from tahoestorage.moving.resolve import label, storage_of, store_of
from tahoestorage.moving.run import Plan, Run
from tahoestorage.moving.space import SHARES, Spread
from tahoestorage.moving.store import Store
from tahoestorage.moving.summary import Summary
from tahoestorage.moving.throttle import parse_rate

NAMED = 50
"""How many of the files to be copied a dry run names, unless -v 2 asks for all."""
REFUSED = (
    "{count:,} names can't be kept in TO as they are, and nothing was copied. Rename "
    "those files in FROM, and where they are referred to, or delete them."
)
T = TypeVar("T")


class Command(StoreCommand):
    """Copy what TO does not have yet; a second run copies what has changed since."""

    help = (
        "Copies the files of one store to another, if they are not there yet or have "
        "changed. FROM and TO are aliases in STORAGES, or URLs such as "
        "s3://BUCKET/PREFIX or file:///DIR. Never put a secret into them, for "
        "everybody on this machine can read a command line: let the URL name a file "
        "that holds it, or set up an alias. Whatever ends a run, the next one goes on "
        "where it was."
    )
    examples = (
        "manage.py storage_copy default new --dry-run  # what would be done",
        "manage.py storage_copy default new            # again: what has changed since",
        "manage.py storage_copy default new --verify   # compare all contents",
    )
    statuses = (
        (0, "all is copied"),
        (1, "a file failed, or a name was refused; they are named"),
        (USAGE, "wrong arguments, or a store that can't be used"),
        CTRL_C,
    )

    # For call_command alone: a function of a name, whether --delete-extra has to spare
    # it. What was spared counts as failed.
    stealth_options = ("is_needed",)

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("source", metavar="FROM", help="the store to copy from")
        parser.add_argument("target", metavar="TO", help="the store to copy to")
        parser.add_argument(
            "--prefix",
            default="",
            metavar="P",
            help="only the names that begin with P, in FROM and in TO",
        )
        add_jobs(parser, "how many files to copy at a time", default=8, most=256)
        parser.add_argument(
            "--verify",
            action="store_true",
            help="compare contents, and not sizes and times; read back what was copied",
        )
        parser.add_argument(
            "--keep-newer",
            action="store_true",
            help="do not replace files that differ and are newer in TO; name them",
        )
        parser.add_argument(
            "--delete-extra",
            action="store_true",
            help="when all is copied, delete the files that only TO has; nothing is "
            "deleted where a file could not be copied",
        )
        parser.add_argument(
            "--dry-run",
            action="store_true",
            help="only say what would be done, and what space it would take; with -v 2 "
            "name all files that would be copied",
        )
        parser.add_argument(
            "--bwlimit",
            type=_checked(parse_rate),
            metavar="RATE",
            help="bytes per second to read in all, such as 10M",
        )
        parser.add_argument(
            "--shares",
            type=_checked(Spread.parse),
            default=SHARES,
            metavar="K/N",
            help="for the estimate of space on a grid: the gateway's shares.needed and "
            "shares.total (default: 3/10)",
        )
        add_json(parser)

    def handle(
        self,
        *,
        source: str,
        target: str,
        prefix: str,
        jobs: int,
        bwlimit: float | None,
        verify: bool,
        keep_newer: bool,
        delete_extra: bool,
        dry_run: bool,
        shares: Spread,
        json: bool,
        verbosity: int,
        is_needed: Callable[[str], bool] | None = None,
        **options: Any,
    ) -> None:
        _check_prefix(prefix)
        if keep_newer and delete_extra:
            raise CommandError(
                "--keep-newer is for a TO that is in use already; --delete-extra would "
                "delete what was saved there.",
                returncode=USAGE,
            )
        plan = Plan(
            *_stores(source, target),
            prefix=prefix,
            jobs=jobs,
            rate=bwlimit,
            verify=verify,
            keep_newer=keep_newer,
            delete_extra=delete_extra,
            dry_run=dry_run,
            shares=shares,
            named=(0, NAMED, sys.maxsize)[min(verbosity, 2)],
            is_needed=is_needed,
        )
        run = Run(plan, self.progress(verbosity, times=2 if verify else 1))
        run.carry_out()
        self._print(source, target, run, plan, as_json=json)
        self._end(run)

    def _print(
        self, source: str, target: str, run: Run, plan: Plan, *, as_json: bool
    ) -> None:
        lines = [run.summary.text(dry_run=plan.dry_run)]
        document: dict[str, Any] = {
            "from": label(source),
            "to": label(target),
            "prefix": plan.prefix,
            "dry_run": plan.dry_run,
            "verify": plan.verify,
            **run.summary.as_dict(),
        }
        if run.space is not None:
            lines.append(
                f"On the grid's servers, with {plan.shares} shares (--shares): about "
                f"{shown_bytes(run.space.bytes)}"
            )
            document["space"] = {"shares": str(plan.shares), "bytes": run.space.bytes}
        self.put(document, *lines, as_json=as_json)

    def _end(self, run: Run) -> None:
        summary = run.summary
        if summary.status == "interrupted":
            if run.is_busy:
                self.exit_at_once()
            raise CommandError(
                "Interrupted. The next run goes on from here.", returncode=INTERRUPTED
            )
        if summary.stopping:
            raise CommandError(REFUSED.format(count=summary.stopping))
        if summary.failed:
            raise CommandError(_advice(summary))


def _advice(summary: Summary) -> str:
    """Return what to do about what has failed."""
    text = f"{summary.failed:,} failed. "
    if not summary.lasting:
        return f"{text}The next run tries again."
    if summary.lasting < summary.failed:
        text += f"{summary.lasting:,} of these will fail again. "
    return f"{text}Correct what is said above, and run it again."


def _checked(parse: Callable[[str], T]) -> Callable[[str], T]:
    def parsed(text: str) -> T:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parsed


def _check_prefix(prefix: str) -> None:
    parts = prefix.split("/")
    if prefix.startswith("/") or ".." in parts or "." in parts or "" in parts[:-1]:
        raise CommandError(
            f"--prefix {prefix!r} can't begin a name; give one such as photos/2026/",
            returncode=USAGE,
        )


def _stores(*arguments: str) -> tuple[Store, Store]:
    """Return the stores to copy from and to. Raises CommandError."""
    stores = []
    for argument in arguments:
        with errors_of(argument, USAGE):
            stores.append(store_of(storage_of(argument)))
    source, target = stores
    if source.overlaps(target):
        raise CommandError(
            "FROM and TO are one store, or one is in the other.", returncode=USAGE
        )
    return source, target
