"""Messages to workers by a broker, where there is one. Each is a hint and no more.

It carries the row's id: lost ones are sent again by the sweep, and doubled ones find
that the job is taken.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from django.conf import settings

logger = logging.getLogger(__name__)
# Requests send messages: they wait for a broker that hangs this long at most, and then
# all of this process leave it alone for a while.
IMPATIENT = {
    "max_retries": 0,
    "connect_retries_timeout": 1,  # seconds, as the next two
    "socket_connect_timeout": 1,
    "socket_timeout": 1,
}
PAUSE = 10.0  # seconds
_away_until = 0.0


def has_broker() -> bool:
    """Whether workers wait for messages; others ask the database."""
    return bool(settings.CELERY_BROKER_URL)


def send(pk: Any) -> bool:
    """Tell a worker that there is that job; False where it could not be told."""
    global _away_until
    if not has_broker():
        return True
    if time.monotonic() < _away_until:
        return False
    from jobs.messages import publish

    try:
        publish(str(pk), IMPATIENT)
    except Exception as error:  # Of kombu, of the broker's client, of the network.
        _away_until = time.monotonic() + PAUSE
        # The text might name the broker's address.
        name = type(error).__name__
        logger.warning("The broker was not told of job %s: %s", pk, name)
        return False
    return True
