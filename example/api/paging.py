"""Pages of a list, each beginning where the one before it ended."""

from __future__ import annotations

from typing import Any

from rest_framework.pagination import CursorPagination


class Pages(CursorPagination):
    """Cursor paging in which every order ends in the key: equal rows come once each."""

    page_size = 100
    max_page_size = 1000
    page_size_query_param = "limit"
    ordering = "-created_at"
    # Django REST framework's own bound is 1000 equal rows; with the key there are none.
    offset_cutoff = 0

    def get_ordering(self, request: Any, queryset: Any, view: Any) -> tuple[str, ...]:
        ordering = tuple(super().get_ordering(request, queryset, view))
        if {"pk", "-pk", "id", "-id"} & set(ordering):
            return ordering
        return (*ordering, "-id" if ordering[-1].startswith("-") else "id")
