"""All bad days, in the order of the table."""

from __future__ import annotations

from benchmarks.chaos import (
    caches,
    checks,
    clients,
    gateways,
    redises,
    servers,
    sites,
    workers,
)

DAYS = (
    *gateways.DAYS,
    *servers.DAYS,
    *workers.DAYS,
    *caches.DAYS,
    *redises.DAYS,
    *clients.DAYS,
    *checks.DAYS,
    *sites.DAYS,
)
