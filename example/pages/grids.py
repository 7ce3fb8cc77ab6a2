"""What is known of a store on a grid, for operators: as ``tahoe_status`` tells it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.template.defaultfilters import filesizeformat
from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from tahoestorage.care.livecounts import live_counts
from tahoestorage.care.record import PastCheck
from tahoestorage.care.status import GridStatus, status_of
from tahoestorage.storage import TahoeStorage


@dataclass(frozen=True)
class GridSummary:
    """The status of one store, in sentences for people.

    ``gateway`` is the address of the first, by which directories are changed; all of
    ``gateways`` are pairs of whether one responds and its address. ``checks`` are pairs
    of a time and a sentence; ``problems`` of a CSS class and one.
    """

    alias: str
    gateway: str
    gateways: list[tuple[bool, str]]
    servers: list[tuple[bool, str]]
    facts: list[str]
    checks: list[tuple[datetime, str]]
    problems: list[tuple[str, str]]


def grid_of(alias: str) -> GridSummary | None:
    """Return the status of a store; None where it is on no grid.

    A few requests, which change nothing. What fails is a problem in the status.
    """
    try:
        storage = storages[alias]
        if not isinstance(storage, TahoeStorage):
            return None
        found = status_of(alias, storage)
    except (ImproperlyConfigured, OSError):
        return None  # That it does not respond, another line says.
    return GridSummary(
        alias,
        found.gateway,
        [(each.error is None, each.address) for each in found.gateways],
        [(each.connected, _server(each)) for each in found.servers or ()],
        list(_facts(found)),
        [
            (datetime.fromtimestamp(each.started, UTC), _check(each))
            for each in found.shown_checks
        ],
        [
            ("error" if level.name == "CRITICAL" else "warning", text)
            for level, text in found.problems
        ],
    )


def _server(server: Any) -> str:
    name = server.nickname or server.id[:12]
    if server.space is None:
        return str(name)
    free = filesizeformat(server.space)
    return _("%(name)s, %(free)s free") % {"name": name, "free": free}


def _facts(found: GridStatus) -> list[str]:
    facts = []
    if found.shares is not None:
        facts.append(
            _("Any %(needed)s of %(total)s shares restore a file.")
            % found.shares._asdict()
        )
    if (spare := found.spare_servers) is not None:
        text = ngettext(
            "%(count)s of the connected servers can be lost, and files still be read.",
            "%(count)s of the connected servers can be lost, and files still be read.",
            spare,
        )
        facts.append(text % {"count": spare})
    if found.may_change is not None:
        facts.append(
            _("Files can be saved and deleted.")
            if found.may_change
            else _("Nothing can be saved or deleted now.")
        )
    for tier in found.tiers:
        size = "?" if tier.bytes is None else filesizeformat(tier.bytes)
        told = {"tier": tier.tier, "place": tier.place, "size": size}
        facts.append(_("Cache: %(tier)s, %(place)s, %(size)s") % told)
    if not found.checks:
        facts.append(_("No check of the files is on record on this host."))
    return facts


def spared() -> str:
    """Return what all caches of the site have spared it, since it was started."""
    live = live_counts()
    rate = live.total.hit_rate
    if rate is None:
        return _("What the cache spares the site is not counted here.")
    text = _(
        "All caches of the site, since it was started: hit rate %(rate)s %%, "
        "requests spared: %(count)s"
    )
    counts = {"rate": number_format(100 * rate, 1), "count": live.total.hits}
    return text % counts


def _check(check: PastCheck) -> str:
    what = check.path or _("everything")
    if check.is_verifying:
        what = _("%(what)s, each share read") % {"what": what}
    result = _("has not ended") if check.summary is None else check.summary["status"]
    return _("Check of %(what)s: %(result)s") % {"what": what, "result": result}
