"""The guide to pages: the page of one's own that it shows is one."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import AnonymousUser
from django.template import engines
from django.test import RequestFactory

from tests.application.browser import PICTURES
from tests.support.documents import block


@pytest.mark.django_db
def test_a_page_of_ones_own_has_the_sites_look() -> None:
    request = RequestFactory().get("/loans/")
    request.user = AnonymousUser()

    page = engines["django"].from_string(block("docs/application/pages.md", "html", 1))

    shown = page.render({"user": request.user}, request)
    assert "<title>Loans</title>" in shown
    assert "Nothing is lent" in shown
    assert 'class="skip"' in shown


def test_the_pictures_of_the_guide_are_small() -> None:
    sizes = {path.name: path.stat().st_size for path in PICTURES.glob("*.png")}

    assert sizes
    assert max(sizes.values()) < 200_000, sizes
