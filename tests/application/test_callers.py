"""The callers that other tests build on are what they are called."""

from __future__ import annotations

import pytest
from django.urls import reverse

from objects import access
from objects.access import Access
from tests.application.callers import (
    ADMINISTRATOR,
    CONTENT,
    EDITOR,
    KINDS,
    SUPER_TENANT,
    TENANT_ADMINISTRATOR,
    VIEWER,
    Callers,
)

MAY = {
    VIEWER: {Access.VIEW},
    EDITOR: {Access.VIEW, Access.EDIT},
    TENANT_ADMINISTRATOR: {Access.VIEW, Access.EDIT},
    ADMINISTRATOR: set(Access),
    SUPER_TENANT: set(Access),
}


@pytest.mark.parametrize("kind", KINDS[1:])
def test_each_kind_of_caller_has_the_access_of_its_name(
    callers: Callers, kind: str
) -> None:
    caller = callers[kind]

    allowed = {a for a in Access if access.allows(caller.user, callers.object, a)}

    assert allowed == MAY.get(kind, set())


@pytest.mark.parametrize(("kind", "status"), [("nobody", 401), ("inactive", 401)])
def test_the_anonymous_and_the_inactive_are_refused(
    callers: Callers, kind: str, status: int
) -> None:
    assert callers[kind].api.get(reverse("api:object-list")).status_code == status


def test_the_object_is_stored(callers: Callers) -> None:
    url = reverse("api:object-content", args=[callers.object.pk])
    assert b"".join(callers[VIEWER].api.get(url).streaming_content) == CONTENT
