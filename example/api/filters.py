"""Filters of lists that tell nothing of rows which the caller may not see."""

from __future__ import annotations

import unicodedata
from typing import Any

import django_filters
from django import forms
from django.core.validators import MaxValueValidator
from django.db.models import UUIDField
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_filters.rest_framework import DjangoFilterBackend, FilterSet
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework.exceptions import ValidationError
from rest_framework.filters import SearchFilter

from objects.finding import MOST_WORDS


@extend_schema_field(OpenApiTypes.INT)
class IdFilter(django_filters.NumberFilter):
    """Takes a whole number."""

    field_class = forms.IntegerField

    def get_max_validator(self) -> MaxValueValidator:
        return MaxValueValidator((1 << 63) - 1)  # What a column can have.


class NormalField(forms.CharField):
    """Takes a text in Unicode's form NFC, which names and folders have (`names`)."""

    def to_python(self, value: Any) -> str:
        return unicodedata.normalize("NFC", super().to_python(value) or "")


class NormalFilter(django_filters.CharFilter):
    """Finds names and folders whichever form they are asked for in."""

    field_class = NormalField


class NormalSearch(SearchFilter):
    """Searches so, for each of at most ``MOST_WORDS`` words."""

    search_description = gettext_lazy("Words, all of which are found: at most 20.")

    def get_search_terms(self, request: Any) -> list[str]:
        terms = super().get_search_terms(request)
        if len(terms) > MOST_WORDS:
            message = _("A search has at most %(count)s words.")
            raise ValidationError(
                {self.search_param: [message % {"count": MOST_WORDS}]}
            )
        return [unicodedata.normalize("NFC", term) for term in terms]


class IdFilterSet(FilterSet):
    """Filters that take related rows by id.

    An id that is another tenant's, or nobody's, leaves an empty list: the rows
    themselves are not looked up, as they are by django-filter's own.
    """

    @classmethod
    def filter_for_lookup(cls, field: Any, lookup_type: str) -> Any:
        if not field.is_relation:
            return super().filter_for_lookup(field, lookup_type)
        if isinstance(field.target_field, UUIDField):
            return django_filters.UUIDFilter, {}
        return IdFilter, {}


class Filters(DjangoFilterBackend):
    """Makes them of ``filterset_fields``."""

    filterset_base = IdFilterSet
