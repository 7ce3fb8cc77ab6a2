"""``manage.py storage_cache``: inspect, clear or fill a storage's cache."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

from django.core.files.storage import Storage
from django.core.management.base import CommandError, CommandParser

from tahoestorage.cache.inspection import TierStats
from tahoestorage.care.livecounts import (
    LiveCounts,
    LookupCounts,
    is_running,
    live_counts,
)
from tahoestorage.care.status import tiers_of
from tahoestorage.config.settings import CacheOptions
from tahoestorage.display import reason, shown, shown_bytes
from tahoestorage.management.storecommand import (
    CTRL_C,
    INTERRUPTED,
    USAGE,
    StoreCommand,
    add_alias,
    add_json,
    errors_of,
)
from tahoestorage.moving.resolve import label, storage_of
from tahoestorage.moving.warming import cache_options, warm


class Command(StoreCommand):
    """Inspect, clear or fill the cache of a storage."""

    help = (
        "Inspects, clears or fills the cache of a storage, while the site runs. stats: "
        "prints where it is, how much it holds, and what it does for the live site. "
        "clear: empties it for every process that shares it, and for other storages in "
        "the same directory or Redis. warm: reads all listings of the store into it, "
        "so that the site need not wait for them. Run it as the user that the site "
        "runs as: another user has another cache."
    )
    examples = (
        "manage.py storage_cache stats",
        "manage.py storage_cache clear     # after other tools changed the store",
        "manage.py storage_cache warm new  # before the site moves to STORAGES['new']",
    )
    statuses = (
        (0, "done"),
        (1, "it is off, or not all could be cleared or read"),
        (USAGE, "wrong arguments, or no storage with a cache"),
        CTRL_C,
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "action",
            choices=["stats", "clear", "warm"],
            help="what to do with the cache, see above",
        )
        add_alias(parser, or_url=True)
        add_json(parser)

    def handle(
        self, *, action: str, alias: str, json: bool, verbosity: int, **options: Any
    ) -> None:
        with errors_of(alias, USAGE):
            storage = storage_of(alias)
            cache = cache_options(storage)
        document: dict[str, Any] = {"alias": label(alias), "action": action}
        if cache is None:
            if action != "stats":
                raise CommandError(
                    f"{label(alias)}: its cache is off. Set its option cache, or "
                    "TAHOE_STORAGE_CACHE, to have one."
                )
            document["lifetime"], document["tiers"] = None, []
            self.put(document, "The cache is off.", as_json=json)
        elif action == "warm":
            self._warm(storage, cache, document, as_json=json, verbosity=verbosity)
        else:
            tiers = tiers_of(cache)
            stats = [
                tier.stats() if action == "stats" else tier.forget() for tier in tiers
            ]
            document["lifetime"] = cache.lifetime
            document["tiers"] = [
                # "fault" is what "error" was called until 0.2.
                {**dataclasses.asdict(each), "fault": each.error}
                for each in stats
            ]
            lines = [*map(_shown, stats), f"Entries live {cache.lifetime:g} s."]
            if action == "stats":
                live = live_counts()
                document["live"] = live.as_dict()
                lines += _live_lines(live)
            self.put(document, *lines, as_json=json)
            errors = [each for each in stats if each.error is not None]
            if errors and action == "clear":
                raise CommandError(
                    "Not all could be cleared. Correct what is said above, and run it "
                    "again: until then processes may use what is in the cache."
                )

    def _warm(
        self,
        storage: Storage,
        cache: CacheOptions,
        document: dict[str, Any],
        *,
        as_json: bool,
        verbosity: int,
    ) -> None:
        started = time.monotonic()
        names, failures, interrupted = 0, [], False
        try:
            with self.progress(verbosity) as progress:
                for found in warm(storage):
                    if found.error is None:
                        names += 1
                        progress.looked(1)
                    else:
                        why = reason(found.error)
                        failures.append({"name": found.name, "reason": why})
                        progress.say(f"failed: {shown(found.name)}: {why}")
        except KeyboardInterrupt:
            interrupted = True
        seconds = time.monotonic() - started
        document.update(names=names, failures=failures, seconds=round(seconds, 3))
        self.put(
            document,
            f"{names:,} names in the cache for {cache.lifetime:g} s; {seconds:.1f} s",
            as_json=as_json,
        )
        if interrupted:
            raise CommandError(
                "Interrupted. What was read so far is in the cache.",
                returncode=INTERRUPTED,
            )
        if failures:
            raise CommandError(
                f"{len(failures):,} listings could not be read; they are named above. "
                "Run it again when the store can be reached."
            )


def _shown(stats: TierStats) -> str:
    line = f"{stats.tier}: {stats.place}"
    if stats.pages is not None:
        line += f", {stats.pages:,} pages"
    if stats.bytes is not None:
        line += f", {shown_bytes(stats.bytes)}"
    if stats.limit is not None:
        line += f" of {shown_bytes(stats.limit)} at most"
    return line if stats.error is None else f"{line}; not usable: {stats.error}"


def _live_lines(live: LiveCounts) -> list[str]:
    if live.why_none is not None:
        return [f"Not known what it does for the site: {live.why_none}."]
    lines = [f"All caches of the site, since it was started: {_counted(live.total)}"]
    for pid, each in sorted(live.processes.items()):
        ended = "" if is_running(pid) else " (ended)"
        lines.append(f"  process {pid}{ended}: {_counted(each)}")
    return lines


def _counted(counts: LookupCounts) -> str:
    rate = counts.hit_rate
    text = "no look-ups" if rate is None else f"hit rate {100 * rate:.1f} %"
    text += f", {counts.hits:,} requests spared, {counts.misses:,} misses"
    return f"{text}, {counts.dropped_fills:,} fills dropped"
