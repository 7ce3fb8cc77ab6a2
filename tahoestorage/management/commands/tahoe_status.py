"""``manage.py tahoe_status``: how the storages on grids are, at a glance."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils.module_loading import import_string

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.care.status import GridStatus, status_of
from tahoestorage.config.settings import backends, storage_of_alias
from tahoestorage.display import shown_bytes
from tahoestorage.management.storecommand import StoreCommand, add_json, errors_of
from tahoestorage.management.usage import unexpected_errors_end_with

UNKNOWN = 3


class Command(StoreCommand):
    """Say how each storage on a grid is, with an exit status for monitors."""

    help = (
        "Says how the storages on grids are: the gateway, its storage servers and "
        "their free space, how many of them can be lost, the cache, the last checks. "
        "It changes nothing. The exit statuses are those of monitors such as Nagios."
    )
    examples = ("manage.py tahoe_status", "manage.py tahoe_status default --json")
    statuses = (
        (0, "all is well"),
        (1, "a warning"),
        (2, "critical: the gateway is away, or files can't be saved or read"),
        (UNKNOWN, "not known: wrong arguments, or no storage on a grid"),
    )
    usage_status = UNKNOWN

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "alias",
            nargs="?",
            metavar="ALIAS",
            help="the storage, by its alias in STORAGES (default: all on grids)",
        )
        parser.add_argument(
            "--state",
            type=Path,
            metavar="FILE",
            help="the file that tahoe_check was given as its own --state, if it was; "
            "needs ALIAS where several storages are on grids",
        )
        add_json(parser)

    @unexpected_errors_end_with(UNKNOWN)
    def handle(
        self, *, alias: str | None, state: Path | None, json: bool, **options: Any
    ) -> None:
        on_grids = {}
        for each in [alias] if alias is not None else backends():
            with errors_of(each, UNKNOWN):
                storage = _storage_on_grid(each, is_named=alias is not None)
                if storage is not None:
                    on_grids[each] = storage
        if not on_grids:
            raise CommandError("No storage here is on a grid.", returncode=UNKNOWN)
        if state is not None and len(on_grids) > 1:
            raise CommandError(
                f"Give the ALIAS whose checks {state} has: "
                f"{', '.join(on_grids)} are on a grid.",
                returncode=UNKNOWN,
            )
        found = []
        for each, storage in on_grids.items():
            with errors_of(each, UNKNOWN):
                found.append(status_of(each, storage, state))
        self._print(found, as_json=json)
        worst = max(found, key=lambda each: each.level)
        if worst.level:
            raise CommandError(
                f"{worst.level.name}: {worst.alias}: "
                + "; ".join(text for _, text in worst.problems),
                returncode=worst.level.value,
            )

    def _print(self, found: list[GridStatus], *, as_json: bool) -> None:
        document = {"storages": [each.as_dict() for each in found]}
        lines = () if as_json else (line for each in found for line in _lines(each))
        self.put(document, *lines, as_json=as_json)


def _storage_on_grid(alias: str, *, is_named: bool) -> TahoeStorage | None:
    """Return the storage with this alias, or None where it is not on a grid.

    Raises what its making raises, where it is on a grid or ``is_named``: others are not
    looked at, and may need what is not here.
    """
    try:
        storage = storage_of_alias(alias)
    except Exception:
        if is_named or _is_on_grid(backends()[alias]["BACKEND"]):
            raise
        return None
    return storage if isinstance(storage, TahoeStorage) else None


def _is_on_grid(backend: str) -> bool:
    try:
        found = import_string(backend)
    except ImportError:
        return False
    return isinstance(found, type) and issubclass(found, TahoeStorage)


def _lines(status: GridStatus) -> Iterator[str]:
    yield f"{status.alias}: {status.level.name}, by the gateway at {status.gateway}"
    for each in status.gateways[1:]:
        state = "responds" if each.error is None else "does not respond"
        yield f"  The gateway at {each.address} {state}"
    if status.servers is not None:
        yield f"  {status.connected} of {len(status.servers)} servers connected"
        for server in status.servers:
            space = (
                "" if server.space is None else f", {shown_bytes(server.space)} free"
            )
            state = "connected" if server.connected else "not connected"
            yield f"    {server.nickname or server.id[:12]}: {state}{space}"
    if status.shares is not None:
        line = f"  Any {status.shares.needed} of {status.shares.total} shares restore"
        spare = status.spare_servers
        yield f"{line} a file" + (
            "" if spare is None else f": {spare} of the connected servers can be lost"
        )
    if status.may_change is not None:
        yield f"  Files can{'' if status.may_change else 'not'} be saved and deleted"
    for tier in status.tiers:
        size = "?" if tier.bytes is None else shown_bytes(tier.bytes)
        yield f"  Cache: {tier.tier}, {tier.place}, {size}"
    if not status.checks:
        yield "  No check is on record here"
    for check in status.shown_checks:
        when = datetime.fromtimestamp(check.started).astimezone()
        word = "has not ended" if check.summary is None else check.summary["status"]
        place = (check.path or "all") + (" with --verify" if check.is_verifying else "")
        yield f"  Check of {place}, {when:%F %T %Z}: {word}"
    for level, text in status.problems:
        yield f"  {level.name}: {text}"
