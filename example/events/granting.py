"""The page that says who may do what to an event, and changes it."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.utils.translation import gettext as _
from django.views.decorators.http import require_http_methods, require_POST

from accounts.access import user_of
from events import access
from events.access import EVENTS, Access
from events.forms import WORDS, EventGrantForm
from objects.granting import NobodyAdministers, holder_of


@require_http_methods(["GET", "HEAD", "POST"])
@login_required
def grants(request: HttpRequest, slug: str) -> HttpResponse:
    event = access.find(request.user, slug, Access.ADMINISTER)
    form = EventGrantForm(event, request.POST or None)
    if form.is_valid():
        wanted = Access.of_word(form.cleaned_data["access"])
        try:
            EVENTS.grant(event, form.holder, wanted, actor=user_of(request))
        except NobodyAdministers as error:
            form.add_error(None, str(error))
        except ValidationError as error:
            form.add_error(None, error)
        else:
            messages.success(request, _("Saved."))
            return redirect("events:access", event.slug)
    rows = [(one, WORDS[one.access]) for one in EVENTS.grants(event)]
    context = {"event": event, "form": form, "grants": rows}
    status = 422 if form.is_bound else 200
    return render(request, "events/access.html", context, status=status)


@require_POST
@login_required
def revoke(request: HttpRequest, slug: str) -> HttpResponse:
    """Take back what a user or a group was granted."""
    event = access.find(request.user, slug, Access.ADMINISTER)
    kind, holder = request.POST.get("kind"), request.POST.get("holder", "")
    try:
        found = holder_of(
            event.tenant_id,
            **{"group" if kind == "group" else "user": int(holder or 0)},
        )
        EVENTS.revoke(event, found, actor=user_of(request))
    except (ValueError, ValidationError):
        messages.error(request, _("There is no such user or group in the tenant."))
    except NobodyAdministers as error:
        messages.error(request, str(error))
    else:
        messages.success(request, _("Saved."))
    if access.allows(request.user, event, Access.ADMINISTER):
        return redirect("events:access", event.slug)
    return redirect("events:list")
