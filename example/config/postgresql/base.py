"""Django finds the backend of a database in a module of this name."""

from __future__ import annotations

import select
import time
from typing import Any, Self

from django.db.backends.postgresql import base
from psycopg import Cursor
from psycopg.errors import FeatureNotSupported
from psycopg.pq import TransactionStatus

from config.secrets import is_set, secret

TRUSTED = 5.0  # seconds


class PreparedCursor(Cursor[Any]):
    """Has the server plan a statement once for a connection, whatever its values."""

    def execute(self, query: Any, params: Any = None, **_options: Any) -> Self:
        try:
            return super().execute(query, params, prepare=True)
        except FeatureNotSupported:
            # A migration has changed the type of a column since. Where a transaction
            # has failed, its end makes the server forget what it has planned.
            if self.connection.info.transaction_status != TransactionStatus.IDLE:
                raise
            self.connection.execute("DEALLOCATE ALL")
            return super().execute(query, params, prepare=True)


class DatabaseWrapper(base.DatabaseWrapper):
    """Django's own, but for the password, for how a kept connection is looked at, and
    for a cursor by which statements are planned once.

    Where DATABASE_PASSWORD is set, that is asked for before a connection is made. So a
    password that is renewed takes no restart. Connections that there are go on.
    """

    _usable_at = 0.0

    @property
    def _keeps_plans(self) -> bool:
        # Where it is set, a pooler gives each transaction another connection.
        return not self.settings_dict.get("DISABLE_SERVER_SIDE_CURSORS")

    def prepared_cursor(self) -> Any:
        """Return a cursor for the same statements again and again.

        Not for one whose best plan depends on the values, as on the start of a name.
        """
        if not self._keeps_plans:
            return self.cursor()
        self.close_if_health_check_failed()
        self.ensure_connection()
        wrapper: Any = self
        with self.wrap_database_errors:
            return wrapper._prepare_cursor(PreparedCursor(self.connection))

    def get_connection_params(self) -> dict[str, Any]:
        if is_set("DATABASE_PASSWORD"):
            self.settings_dict["PASSWORD"] = secret("DATABASE_PASSWORD")
        params: dict[str, Any] = super().get_connection_params()
        if self._keeps_plans:
            # Any number: with None psycopg would prepare nothing. Django's own cursors
            # do not.
            params["prepare_threshold"] = 0
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
