"""How much a user, a tenant and an anonymous address may ask for.

The counts are in Django's cache, one number for each window of the clock: right under
concurrency, and shared by all processes where the cache is a Redis.
"""

from __future__ import annotations

import logging
import math
import time
from typing import Any

from rest_framework.exceptions import (
    AuthenticationFailed,
    NotAuthenticated,
    PermissionDenied,
    Throttled,
)
from rest_framework.settings import api_settings
from rest_framework.throttling import SimpleRateThrottle

from accounts.counting import CountsAway, address_of, count

REFUSED = (AuthenticationFailed, NotAuthenticated, PermissionDenied)
logger = logging.getLogger(__name__)


def counted(error: Exception, context: dict[str, Any]) -> Exception:
    """Return the error, or Throttled where its request was one too many.

    Who is refused before the throttles are asked, by a token that is none or for what
    they are, counts as well.
    """
    request: Any = context.get("request")
    view: Any = context.get("view")
    is_counted = request is None or getattr(request, "is_counted", False)
    if is_counted or not isinstance(error, REFUSED):
        return error
    try:
        view.check_throttles(request)
    except Throttled as refused:
        return refused
    return error


class CountedThrottle(SimpleRateThrottle):
    """Admits so many requests in each second, minute, hour or day of the clock."""

    def get_rate(self) -> str | None:
        rate: str | None = api_settings.DEFAULT_THROTTLE_RATES[self.scope]
        return rate

    def get_cache_key(self, request: Any, view: Any) -> str | None:
        who = self.who(request)
        return None if who is None else f"throttle:{self.scope}:{who}"

    def who(self, request: Any) -> Any:
        """Return whose requests are counted together, None where not by this one."""
        raise NotImplementedError

    def allow_request(self, request: Any, view: Any) -> bool:
        request.is_counted = True
        key = None if self.rate is None else self.get_cache_key(request, view)
        if key is None:
            return True
        window = int(time.time() // self.duration)
        try:
            number = count(f"{key}:{window}", self.duration)
        except CountsAway as error:
            # A throttle keeps neighbours from each other; no reason to serve nobody.
            logger.warning("Requests are not throttled: %s", error.__cause__)
            return True
        return number <= self.num_requests

    def wait(self) -> float:
        """Return the seconds until the next window."""
        return math.ceil(self.duration - time.time() % self.duration)


class UserThrottle(CountedThrottle):
    scope = "user"

    def who(self, request: Any) -> Any:
        return request.user.pk


class TenantThrottle(CountedThrottle):
    scope = "tenant"

    def who(self, request: Any) -> Any:
        return getattr(request.user, "tenant_id", None)


class AnonymousThrottle(CountedThrottle):
    scope = "anonymous"

    def who(self, request: Any) -> Any:
        return None if request.user.is_authenticated else address_of(request)
