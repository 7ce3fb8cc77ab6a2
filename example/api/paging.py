"""Pages of a list, each beginning behind the last row of the one before it."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.core import signing
from django.core.exceptions import ImproperlyConfigured
from django.db.models import BooleanField, F, Func, Model, QuerySet, Value
from django.utils.translation import gettext as _
from rest_framework.exceptions import ValidationError
from rest_framework.pagination import BasePagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param


class Cursor(NamedTuple):
    """A place in a list: behind the row of this value and key, in this order.

    ``backward`` cursors lead to the page that ends before that row. Values are texts.
    """

    order: str
    backward: bool
    value: str
    key: str


class Pages(BasePagination):
    """Keyset paging in which every order ends in the key: equal rows come once each.

    A page is found by one comparison of (field, key), which an index on both answers,
    so that the last page costs what the first does. A view lists what may be ordered by
    in ``ordering_fields``, columns that are never null, and its usual order in
    ``ordering``.

    Django REST framework's CursorPagination compares the first field alone, and counts
    the rows that are equal in it one by one, up to a bound.
    """

    page_size = 100
    max_page_size = 1000
    ordering = "-created_at"

    def paginate_queryset(
        self, queryset: QuerySet[Any], request: Request, view: Any = None
    ) -> list[Any]:
        """Return a page; raises ValidationError where a parameter is not valid."""
        self._url = request.build_absolute_uri()
        self._order = self._ordering_of(request, view)
        limit = self._limit_of(request)
        cursor = self._cursor_of(request, queryset.model)
        is_back = cursor is not None and cursor.backward
        descending = self._order.startswith("-") != is_back
        name = self._order.lstrip("-")
        if cursor is not None:
            queryset = queryset.filter(_beyond(queryset.model, cursor, descending))
        sign = "-" if descending else ""
        rows = list(queryset.order_by(f"{sign}{name}", f"{sign}pk")[: limit + 1])
        more, rows = len(rows) > limit, rows[:limit]
        if is_back:
            rows.reverse()
        self._next = self._previous = None
        if rows and (more or is_back):
            self._next = self._link(rows[-1], backward=False)
        if rows and (more if is_back else cursor is not None):
            self._previous = self._link(rows[0], backward=True)
        return rows

    def _ordering_of(self, request: Request, view: Any) -> str:
        usual = str(getattr(view, "ordering", None) or self.ordering)
        wanted = request.query_params.get("ordering") or usual
        if wanted != usual and wanted not in orders(view):
            raise ValidationError({"ordering": [_("It can't be ordered by that.")]})
        return wanted

    def _limit_of(self, request: Request) -> int:
        wanted = request.query_params.get("limit", str(self.page_size))
        if wanted.isascii() and wanted.isdecimal() and len(wanted) < 9:
            limit = int(wanted)
            if 1 <= limit <= self.max_page_size:
                return limit
        message = _("A page has 1 to %(most)s rows.") % {"most": self.max_page_size}
        raise ValidationError({"limit": [message]})

    def _cursor_of(self, request: Request, model: type[Model]) -> Cursor | None:
        text = request.query_params.get("cursor")
        if not text:
            return None
        try:
            cursor = Cursor(*signing.loads(text, salt=_salt(model)))
        except (signing.BadSignature, ValueError):
            cursor = None
        if cursor is None or cursor.order != self._order:
            raise ValidationError({"cursor": [_("It is no cursor of this list.")]})
        return cursor

    def _link(self, row: Model, *, backward: bool) -> str:
        value = _field(type(row), self._order).value_to_string(row)
        cursor = Cursor(self._order, backward, str(value), str(row.pk))
        text = signing.dumps(cursor, salt=_salt(type(row)))
        return str(replace_query_param(self._url, "cursor", text))

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {"next": self._next, "previous": self._previous, "results": data}
        )

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": ["string", "null"], "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: Any) -> list[dict[str, Any]]:
        bounds = {"minimum": 1, "maximum": self.max_page_size}
        found: list[dict[str, Any]] = [
            {
                "name": "limit",
                "description": str(_("Rows of a page.")),
                "schema": {"type": "integer", "default": self.page_size} | bounds,
            },
            {
                "name": "cursor",
                "description": str(_("Where a page begins, as `next` has it.")),
                "schema": {"type": "string"},
            },
        ]
        if allowed := orders(view):
            found.append(
                {
                    "name": "ordering",
                    "description": str(_("What to order by; `-` for descending.")),
                    "schema": {"type": "string", "enum": allowed},
                }
            )
        return [{"in": "query", "required": False} | one for one in found]


def orders(view: Any) -> list[str]:
    """Return the orders that the view allows, both ways."""
    fields = getattr(view, "ordering_fields", None) or ()
    return [f"{sign}{name}" for name in fields for sign in ("", "-")]


def _salt(model: type[Model]) -> str:
    return f"api.paging:{model._meta.label}"


def _field(model: type[Model], order: str) -> Any:
    name = order.lstrip("-")
    field = model._meta.pk if name == "pk" else model._meta.get_field(name)
    if field.null:
        # Nothing is greater or less than NULL: such rows would be on no page.
        raise ImproperlyConfigured(f"{field} may be null, so no list has its order.")
    return field


def _beyond(model: type[Model], cursor: Cursor, descending: bool) -> Func:
    """Return the condition that a row lies behind the cursor's."""
    field, key = _field(model, cursor.order), model._meta.pk
    row, place = "(%(expressions)s)", []
    for column, text in ((field, cursor.value), (key, cursor.key)):
        place.append(Value(column.to_python(text), output_field=column))
    return Func(
        Func(F(field.name), F("pk"), template=row, output_field=BooleanField()),
        Func(*place, template=row, output_field=BooleanField()),
        template="%(expressions)s",
        arg_joiner=" < " if descending else " > ",
        output_field=BooleanField(),
    )
