"""Queries of nearly every request: their SQL is made once, and then only asked again.

Django takes longer to make the SQL of such a query than the database to answer it, and
PostgreSQL longer to plan it than to do it: that it does once for a connection.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, NamedTuple, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, models
from django.db.models.expressions import Expression
from django.db.models.sql import InsertQuery, UpdateQuery

Row = TypeVar("Row", bound=models.Model)


class Parameter(Expression):
    """Stands in a query for a value of the model's field, given when it is asked."""

    def __init__(self, name: str, model: type[models.Model], field: str = "pk") -> None:
        options = model._meta
        found: Any = options.pk if field == "pk" else options.get_field(field)
        super().__init__(output_field=found)
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        return "%s", [self]


class Prepared(Generic[Row]):
    """A query that returns whole rows, with Parameters in the place of its values.

    ``make`` returns the queryset; it is called once for each kind of database.
    ``of_any_value`` is false where the best plan depends on the values: each is planned
    by itself then.
    """

    def __init__(
        self, make: Callable[[], models.QuerySet[Row]], *, of_any_value: bool = True
    ) -> None:
        self._make, self._of_any_value = make, of_any_value
        self._compiled: dict[str, _Compiled] = {}

    def all(self, **values: Any) -> list[Row]:
        """Return the rows for these values, by the parameters' names."""
        connection: Any = connections[DEFAULT_DB_ALIAS]
        compiled = self._compiled.get(connection.vendor)
        if compiled is None:
            compiled = self._compiled[connection.vendor] = _Compiled(self._make())
        with _cursor(connection, prepared=self._of_any_value) as cursor:
            cursor.execute(compiled.sql, _given(compiled.params, values, connection))
            return compiled.rows(cursor.fetchall())

    def first(self, **values: Any) -> Row | None:
        """Return the first of the rows, None where there is none."""
        return next(iter(self.all(**values)), None)


class PreparedInsert(Generic[Row]):
    """An INSERT of one row, as its ``save`` makes it but for checks and signals.

    ``found`` returns, by field, what the database finds by itself, as by a subquery;
    the row is not told what. It is called once for each kind of database.
    """

    def __init__(
        self, model: type[Row], found: Callable[[], dict[str, Any]] = dict
    ) -> None:
        self._model, self._found = model, found
        self._compiled: dict[str, _Insert] = {}

    def __call__(self, row: Row) -> None:
        """Insert the row; it gets its key and the times that it is made at."""
        connection: Any = connections[DEFAULT_DB_ALIAS]
        compiled = self._compiled.get(connection.vendor)
        if compiled is None:
            compiled = self._compiled[connection.vendor] = self._compile()
        values = {field.name: field.pre_save(row, True) for field in compiled.given}
        with _cursor(connection) as cursor:
            cursor.execute(compiled.sql, _given(compiled.params, values, connection))
            if compiled.counted is not None:
                setattr(row, compiled.counted, cursor.fetchone()[0])
        row._state.adding, row._state.db = False, DEFAULT_DB_ALIAS

    def _compile(self) -> _Insert:
        options, found = self._model._meta, self._found()
        key: Any = options.pk
        is_counted = isinstance(key, models.AutoField)
        row: Any = self._model()
        fields, given = [], []
        for field in options.local_concrete_fields:
            if field is key and is_counted:
                continue
            fields.append(field)
            if field.name not in found:
                given.append(field)
            parameter = Parameter(field.name, self._model, field.name)
            setattr(row, field.attname, found.get(field.name, parameter))
        query: Any = InsertQuery(self._model)
        query.insert_values(fields, [row], raw=True)
        compiler: Any = query.get_compiler(using=DEFAULT_DB_ALIAS)
        compiler.returning_fields = [key] if is_counted else []
        ((sql, params),) = compiler.as_sql()
        counted = key.attname if is_counted else None
        return _Insert(sql, tuple(params), given, counted)


class PreparedUpdate(Generic[Row]):
    """An UPDATE, with Parameters in the place of its values.

    ``rows`` returns which rows, ``values`` what they become; both are called once for
    each kind of database.
    """

    def __init__(
        self,
        rows: Callable[[], models.QuerySet[Row]],
        values: Callable[[], dict[str, Any]],
    ) -> None:
        self._rows, self._values = rows, values
        self._compiled: dict[str, tuple[str, tuple[Any, ...]]] = {}

    def __call__(self, **values: Any) -> int:
        """Update the rows, and return how many there were."""
        connection: Any = connections[DEFAULT_DB_ALIAS]
        compiled = self._compiled.get(connection.vendor)
        if compiled is None:
            compiled = self._compiled[connection.vendor] = self._compile()
        sql, params = compiled
        with _cursor(connection) as cursor:
            cursor.execute(sql, _given(params, values, connection))
            return int(cursor.rowcount)

    def _compile(self) -> tuple[str, tuple[Any, ...]]:
        query: Any = self._rows().query.chain(UpdateQuery)
        query.add_update_values(self._values())
        return query.get_compiler(using=DEFAULT_DB_ALIAS).as_sql()


class _Insert(NamedTuple):
    """The SQL of an INSERT, and which fields of the row are its parameters."""

    sql: str
    params: tuple[Any, ...]
    given: list[Any]
    counted: str | None
    """The key, where the database counts it and tells it."""


def _given(params: Any, values: dict[str, Any], connection: Any) -> tuple[Any, ...]:
    """Return the parameters of a statement, with the values in their places."""
    return tuple(
        one.output_field.get_db_prep_value(values[one.name], connection)
        if isinstance(one, Parameter)
        else one
        for one in params
    )


def _cursor(connection: Any, *, prepared: bool = True) -> Any:
    """Return a cursor, one by which statements are planned once where there is one."""
    make = getattr(connection, "prepared_cursor", None) if prepared else None
    return connection.cursor() if make is None else make()


class _Compiled:
    """The SQL of a queryset."""

    def __init__(self, rows: models.QuerySet[Any]) -> None:
        self._model = rows.model
        self._compiler: Any = rows.query.get_compiler(using=DEFAULT_DB_ALIAS)
        self.sql, self.params = self._compiler.as_sql()
        fields = [column[0] for column in self._compiler.select]
        converters = self._compiler.get_converters(fields)
        self._compiler.get_converters = lambda _fields: converters

    def rows(self, found: list[Any]) -> list[Any]:
        """Return the rows of what the database has found."""
        answered: Any = _Answered(self._compiler, found)
        return list(models.QuerySet(self._model, answered, DEFAULT_DB_ALIAS))


class _Answered:
    """What a queryset takes of its query and of that's compiler to make its rows."""

    def __init__(self, compiler: Any, found: list[Any]) -> None:
        self._found = found
        self.select = compiler.select
        self.klass_info = compiler.klass_info
        self.annotation_col_map = compiler.annotation_col_map
        self.results_iter = compiler.results_iter

    def get_compiler(self, using: str) -> _Answered:
        return self

    def execute_sql(self, **_how: Any) -> list[list[Any]]:
        return [self._found]
