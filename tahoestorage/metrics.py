"""What this package does in a live site, for Prometheus: ``path("metrics", metrics)``.

Needs the extra ``metrics``, and TAHOE_METRICS_TOKEN. With several worker processes set
PROMETHEUS_MULTIPROC_DIR to a directory that is emptied before the site starts; the view
then tells the sums, whichever worker responds. Source: prometheus_client, "Multiprocess
Mode".
"""

from __future__ import annotations

import functools
import logging
import os
import secrets
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    REGISTRY,
    CollectorRegistry,
    Counter,
    Histogram,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

from tahoestorage.care.livecounts import PLACE
from tahoestorage.config.settings import metrics_token

_REQUESTS = Histogram(
    "tahoestorage_gateway_request_seconds",
    "Requests to a gateway, and the seconds until the response began.",
    ["verb", "status"],
)
_STORE_REQUESTS = Histogram(
    "tahoestorage_store_request_seconds",
    "Requests to S3 and Google Cloud Storage, and the seconds until the response.",
    ["store", "verb", "status"],
)
_BYTES = Counter(
    "tahoestorage_gateway_bytes",
    "Bytes of bodies that were sent to a gateway, and received from it.",
    ["direction"],
)
_LOOKUPS = Counter(
    "tahoestorage_cache_lookups",
    "Look-ups in the cache; a hit needed no request to the store.",
    ["result"],
)
_CONTENTS = Counter(
    "tahoestorage_cache_contents",
    "Reads of small files, where contents are kept; a hit needed no request for it.",
    ["result"],
)
_DROPPED = Counter(
    "tahoestorage_cache_dropped_fills",
    "Responses that were not kept, because something was changed meanwhile.",
)


P = ParamSpec("P")
logger = logging.getLogger(__name__)


def _counting(
    count: Callable[Concatenate[PrometheusMeter, P], None],
) -> Callable[Concatenate[PrometheusMeter, P], None]:
    """Let no failure to count get to who is counted, and end the counting by it."""

    @functools.wraps(count)
    def counted(
        self: PrometheusMeter, /, *arguments: P.args, **keywords: P.kwargs
    ) -> None:
        if self.is_broken:
            return
        try:
            count(self, *arguments, **keywords)
        except Exception as error:
            self.is_broken = True
            logger.warning(
                "This process counts nothing more for Prometheus (%s: %s). Is the "
                "directory PROMETHEUS_MULTIPROC_DIR there, and has it room? Restart "
                "the site's workers then.",
                type(error).__name__,
                error,
            )

    return counted


class PrometheusMeter:
    """Counts by prometheus_client. What fails there is logged once, and raises nothing.

    With several processes each keeps its counts in a file, which it opens again after
    a fork.
    """

    def __init__(self) -> None:
        self.is_broken = False
        # To look for a label takes longer than to count.
        self._hit, self._miss = _LOOKUPS.labels("hit"), _LOOKUPS.labels("miss")

    @_counting
    def requested(self, verb: str, status: str, seconds: float) -> None:
        """Count a request to a gateway."""
        _REQUESTS.labels(verb, status).observe(seconds)

    @_counting
    def asked_store(self, store: str, verb: str, status: str, seconds: float) -> None:
        """Count a request to another store."""
        _STORE_REQUESTS.labels(store, verb, status).observe(seconds)

    @_counting
    def transferred(self, direction: str, count: int) -> None:
        """Count bytes."""
        _BYTES.labels(direction).inc(count)

    @_counting
    def looked_up(self, *, hit: bool) -> None:
        """Count a look-up."""
        (self._hit if hit else self._miss).inc()

    @_counting
    def read_content(self, *, hit: bool) -> None:
        """Count a read of a small file."""
        _CONTENTS.labels("hit" if hit else "miss").inc()

    @_counting
    def dropped_fill(self) -> None:
        """Count a response that was not kept."""
        _DROPPED.inc()


@never_cache
@require_safe
def metrics(request: HttpRequest) -> HttpResponse:
    """Tell what this and all other libraries have counted, to who has the token.

    It is sent as ``Authorization: Bearer TOKEN``. 404 where no token is set, and 503
    where the directory of the counts is gone.
    """
    token = metrics_token()
    if token is None:
        return HttpResponse(status=404)
    given = request.headers.get("Authorization", "")
    if not secrets.compare_digest(given.encode(), f"Bearer {token}".encode()):
        headers = {"WWW-Authenticate": "Bearer"}
        return HttpResponse(status=401, headers=headers)
    registry = REGISTRY
    if place := os.environ.get(PLACE):
        if not os.path.isdir(place):
            logger.error(
                "Nothing is told to Prometheus: %s, %s, is no directory. Make it, and "
                "restart the site's workers.",
                PLACE,
                place,
            )
            return HttpResponse(status=503)
        registry = CollectorRegistry()
        MultiProcessCollector(registry, place)
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)
