"""The time zone in which a user is shown times; without one, the site's."""

from __future__ import annotations

import zoneinfo
from collections.abc import Callable
from datetime import UTC, tzinfo

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils import timezone

from accounts.models import User

API = "/api/"


def zone_of(user: object) -> tzinfo | None:
    """Return the zone that the user chose; None for the site's.

    So it is where this host does not know the zone.
    """
    name = user.time_zone if isinstance(user, User) else ""
    try:
        return zoneinfo.ZoneInfo(name) if name else None
    except (zoneinfo.ZoneInfoNotFoundError, ValueError):
        return None


class TimeZone:
    """Middleware: pages show times in their user's zone.

    Programs get them in UTC from the API, whoever asks; what they send without an
    offset is UTC.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if request.path_info.startswith(API):
            zone: tzinfo | None = UTC
        else:
            # A request without a session asks the database for nobody.
            zone = zone_of(request.user if request.user.is_authenticated else None)
        with timezone.override(zone or timezone.get_default_timezone()):
            return self.get_response(request)
