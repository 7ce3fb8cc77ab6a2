"""Admins of rows that belong to tenants: the staff see, and choose, their own's."""

from __future__ import annotations

from itertools import islice
from typing import Any, ClassVar, NoReturn

from django.contrib import admin, messages
from django.contrib.admin.widgets import ForeignKeyRawIdWidget
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils.text import smart_split

from accounts.models import User
from objects.finding import MOST_WORDS
from objects.granting import NobodyAdministers


# Django's class takes no type argument at run time.
class FilteredAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    """Lists that are limited by their own filters alone.

    By itself Django takes every lookup of every column, as the hash of a password: by
    what is found it could be guessed at, letter by letter.
    """

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        """Whether a filter of the list may ask so. An expression is not matched."""
        filters: Any = self.list_filter
        columns = {one if isinstance(one, str) else one[0] for one in filters}
        column, _, kind = lookup.partition("__")
        is_asked = column in columns and not kind.endswith("regex")
        return is_asked and super().lookup_allowed(lookup, value, request)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        """Search for at most ``MOST_WORDS`` words: databases bound the conditions."""
        # As Django does: what is in quotes is one.
        words = islice(smart_split(search_term), MOST_WORDS)
        return super().get_search_results(request, queryset, " ".join(words))

    def get_view_on_site_url(self, obj: Any = None) -> str | None:
        """Return the address of the row's page: Django's own leads to it by a view."""
        address = getattr(obj, "get_absolute_url", None)
        return address() if address else None


class RefusingAdmin(FilteredAdmin):
    """Forms that say in the list why nothing was changed, where a change is refused."""

    def changeform_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        return self._unless_refused(super().changeform_view, request, *args, **kwargs)

    def delete_view(
        self, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        return self._unless_refused(super().delete_view, request, *args, **kwargs)

    def _unless_refused(
        self, view: Any, request: HttpRequest, *args: Any, **kwargs: Any
    ) -> HttpResponse:
        try:
            response: HttpResponse = view(request, *args, **kwargs)
        except NobodyAdministers as error:
            self.message_user(request, str(error), messages.ERROR)
        except ValidationError as error:
            self.message_user(request, " ".join(error.messages), messages.ERROR)
        else:
            return response
        meta = self.opts
        return redirect(f"admin:{meta.app_label}_{meta.model_name}_changelist")


def view_on_site(request: HttpRequest, **_row: Any) -> NoReturn:
    """Raise Http404 in the place of Django's view, which tells all staff of any row."""
    raise Http404


class OwnTenantAdmin(FilteredAdmin):
    """Rows of the staff's own tenant; the super-tenant's administrators see all.

    What a form offers and takes is of the tenant too: every field that leads to other
    rows stands in ``tenant_of``, or the form fails.
    """

    tenant_field: ClassVar[str]
    """The lookup that leads from a row to its tenant."""
    tenant_of: ClassVar[dict[str, str | None]] = {}
    """The same from the rows of each related field; None for rows of no tenant."""

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return _own(request, super().get_queryset(request), self.tenant_field)

    def formfield_for_foreignkey(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        if db_field.name in self.raw_id_fields:
            kwargs["widget"] = _OwnRawId(db_field.remote_field, self.admin_site)
        found = super().formfield_for_foreignkey(db_field, request, **kwargs)
        return self._offering_own(found, db_field, request)

    def formfield_for_manytomany(
        self, db_field: Any, request: HttpRequest, **kwargs: Any
    ) -> Any:
        found = super().formfield_for_manytomany(db_field, request, **kwargs)
        return self._offering_own(found, db_field, request)

    def _offering_own(self, field: Any, db_field: Any, request: HttpRequest) -> Any:
        lookup = self.tenant_of[db_field.name]
        if field is not None and lookup is not None:
            field.queryset = _own(request, field.queryset, lookup)
            if isinstance(field.widget, _OwnRawId):
                field.widget.rows = field.queryset
        return field


class ReadOnlyAdmin(OwnTenantAdmin):
    """The same, to be looked at: what changes them are actions, or nothing here."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


class _OwnRawId(ForeignKeyRawIdWidget):
    """A row's id, with the names of those in ``rows`` only."""

    rows: QuerySet[Any]

    def label_and_url_for_value(self, value: Any) -> tuple[str, str]:
        label, url = super().label_and_url_for_value(value)
        if label and not self.rows.filter(pk=value).exists():
            return "", ""
        return label, url


def _own(request: HttpRequest, rows: QuerySet[Any], lookup: str) -> QuerySet[Any]:
    user = request.user
    if isinstance(user, User) and user.is_super_administrator:
        return rows
    return rows.filter(**{lookup: getattr(user, "tenant_id", None)})
