"""Django finds the backend of a database in a module of this name."""

from __future__ import annotations

import select
import time
from typing import Any

from django.db.backends.postgresql import base

from config.secrets import is_set, secret

TRUSTED = 5.0  # seconds


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, but for the password and for how a kept connection is looked at.

    Where DATABASE_PASSWORD is set, that is asked for before a connection is made. So a
    password that is renewed takes no restart. Connections that there are go on.
    """

    _usable_at = 0.0

    def get_connection_params(self) -> dict[str, Any]:
        if is_set("DATABASE_PASSWORD"):
            self.settings_dict["PASSWORD"] = secret("DATABASE_PASSWORD")
        params: dict[str, Any] = super().get_connection_params()
        return params

    def is_usable(self) -> bool:
        """Whether the connection can be used; the server is asked if that is unclear.

        It is clear where the server was asked some seconds ago, nothing has failed
        since, and nothing came unasked: a server that ends says so, or hangs up. To ask
        with each request takes longer than most queries.
        """
        now = time.monotonic()
        if (
            not self.errors_occurred
            and now - self._usable_at < TRUSTED
            and _is_silent(self.connection)
        ):
            return True
        is_usable = bool(super().is_usable())
        self._usable_at = now if is_usable else 0.0
        return is_usable


def _is_silent(connection: Any) -> bool:
    """Whether there is a connection, and nothing to be read from it."""
    if connection is None or connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)
