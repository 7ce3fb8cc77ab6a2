"""What the views of the pages share: parts of pages, and where to go on."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.utils.http import url_has_allowed_host_and_scheme

from pages.templatetags.pages import UNDO


class SeeOther(HttpResponseRedirect):
    """Go on with GET (RFC 9110, 15.4.4), a script's request too."""

    status_code = 303


def is_part(request: HttpRequest) -> bool:
    """Whether htmx asks for a part of a page, and not for the page as it was before."""
    htmx: Any = getattr(request, "htmx", None)
    return bool(htmx) and not htmx.history_restore_request


def wants_dialog(request: HttpRequest) -> bool:
    """Whether what comes is to be shown in the page's dialog."""
    htmx = getattr(request, "htmx", None)
    return is_part(request) and getattr(htmx, "target", None) == "dialog"


def part(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    target: str | None = None,
    status: int = 200,
) -> HttpResponse:
    """Return a part of a page, and the messages with it.

    With a ``target`` (an element's id) it takes that element's place, whatever asked
    for it, and the dialog is closed: it is where a form that was sent leads to.
    """
    response = render(
        request,
        "pages/_part.html",
        {"part": template, **context},
        status=status,
    )
    response["Cache-Control"] = "no-store"
    response["Vary"] = "HX-Request"
    if target is not None:
        response["HX-Retarget"] = f"#{target}"
        response["HX-Reswap"] = "outerHTML"
        response["HX-Trigger-After-Swap"] = "close-dialog"
    return response


def shown(
    request: HttpRequest,
    template: str,
    context: dict[str, Any],
    *,
    target: str | None = None,
    status: int = 200,
) -> HttpResponse:
    """Return ``pages/NAME.html``, or ``pages/_NAME.html`` where htmx asks."""
    if is_part(request):
        return part(
            request, f"pages/_{template}.html", context, target=target, status=status
        )
    response = render(request, f"pages/{template}.html", context, status=status)
    response["Vary"] = "HX-Request"
    return response


def in_dialog(
    request: HttpRequest, template: str, context: dict[str, Any], *, status: int = 200
) -> HttpResponse:
    """Return ``pages/_NAME.html`` for the dialog, else a page of its own with it."""
    context = {**context, "part": f"pages/_{template}.html", "next": next_of(request)}
    if wants_dialog(request):
        return part(request, context["part"], context, status=status)
    return render(request, "pages/dialog.html", context, status=status)


def next_of(request: HttpRequest) -> str:
    """Return the path that the request says to go on at, one of this site's, or ""."""
    given = request.POST.get("next") or request.GET.get("next") or ""
    safe = url_has_allowed_host_and_scheme(
        given, {request.get_host()}, require_https=request.is_secure()
    )
    return given if safe else ""


def tell_undo(request: HttpRequest, text: str, url: str) -> None:
    """Say what was done, with a button that undoes it."""
    messages.success(request, text, extra_tags=f"{UNDO}{url}")
