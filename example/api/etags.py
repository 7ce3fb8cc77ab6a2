"""ETags of users, tenants and groups: who changes one tells what they have seen."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

from django.shortcuts import get_object_or_404
from rest_framework import viewsets
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from config import locks
from objects.conditions import Conditions


class OneAtATime(viewsets.GenericViewSet[Any]):
    """A view of rows that are changed by one request at a time."""

    def row_locked(self, *, to_delete: bool = False) -> Any:
        """Return the row as it is, locked in this transaction; raises Http404.

        With ``to_delete`` nobody makes a row meanwhile that refers to it.
        """
        pk = self.get_object().pk
        rows = self.get_queryset().model._default_manager.filter(pk=pk)
        lock = locks.locked_to_delete if to_delete else locks.locked
        get_object_or_404(lock(rows))
        return self.get_object()  # As it is since nobody else changes it.


class WithETag(OneAtATime):
    """A view of rows that are changed one at a time, each with its ETag.

    The ETag is of what the API lets anybody change, and not of what changes by itself,
    as what a tenant uses: it is for ``If-Match`` alone.
    """

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        return self.shown(self.get_object())

    def shown(self, row: Any) -> Response:
        """Return the row with its ETag."""
        data = self.get_serializer(row).data
        return Response(data, headers={"ETag": self.etag_of(row)})

    def etag_of(self, row: Any) -> str:
        serializer = self.get_serializer(row)
        fields = serializer.fields
        seen = {
            name: value
            for name, value in serializer.data.items()
            if not fields[name].read_only
        }
        digest = hashlib.sha256(JSONRenderer().render(seen)).hexdigest()
        return f'"{row.pk}.{digest[:32]}"'

    def sent(self) -> set[str]:
        """Return the fields that the request would change, valid or not.

        Who may not change one is told so before its value is looked at: whether a name
        is taken, or there is such a store, is not for them to know.
        """
        fields, data = self.get_serializer().fields, self.request.data
        named = data if isinstance(data, Mapping) else {}
        return {name for name in named if name in fields and not fields[name].read_only}

    def locked(self, *, to_delete: bool = False) -> Any:
        """Return the row as it is, locked in this transaction, as `row_locked` does.

        Raises Http404, and Unmet where it is not as the request's ``If-Match`` says.
        """
        row = self.row_locked(to_delete=to_delete)
        Conditions.of(self.request.headers).check(self.etag_of(row))
        return row
