"""Counts of attempts and requests, for all processes that share Django's cache."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any

from django.core.cache import cache
from rest_framework.throttling import BaseThrottle


class CountsAway(OSError):
    """The cache that holds the counts cannot be used now."""


def asked(question: Callable[..., Any], *args: Any) -> Any:
    """Return what a method of the cache answers; raises CountsAway where none comes."""
    try:
        return question(*args)
    except ValueError:
        raise
    except Exception as error:  # Each cache has errors of its own, of no common kind.
        raise CountsAway("The cache is away.") from error


def count(key: str, seconds: int) -> int:
    """Add one to a count and return it; it is forgotten so long after its first."""
    try:
        return int(asked(cache.incr, key))
    except ValueError:  # It is the first; others may be so at the same moment.
        asked(cache.add, key, 0, seconds)
    try:
        return int(asked(cache.incr, key))
    except ValueError:  # It was forgotten just now.
        asked(cache.set, key, 1, seconds)
        return 1


def address_of(request: Any) -> str:
    """Return the caller's address, that of the network of 64 bits for IPv6.

    ``X-Forwarded-For`` is believed as far as PROXIES says. Empty where there is none,
    as within a process.
    """
    text = BaseThrottle().get_ident(request) or ""
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return str(text)
    if address.version == 6 and address.ipv4_mapped is None:
        return str(ipaddress.ip_network(f"{text}/64", strict=False))
    return str(address)
