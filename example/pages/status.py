"""How the installation is: for those who administer it, or a tenant of it."""

from __future__ import annotations

import contextlib
import logging
import secrets
import time
import uuid
from dataclasses import dataclass
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.core.files.storage import storages
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, render
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.http import require_POST, require_safe

from accounts import stores
from accounts.access import administers, operates
from accounts.models import Tenant, User
from exports import places
from exports.models import Export
from jobs import control
from jobs.models import Job
from jobs.turns import ORDER
from objects.models import Version
from pages.grids import grid_of, spared
from pages.models import Failure
from pages.showing import SeeOther, is_part, part
from uploads.models import Upload

logger = logging.getLogger(__name__)
SHOWN = 20
"""Jobs and errors in a list at most."""


@dataclass(frozen=True)
class Check:
    """What was asked, and what came of it; ``told`` is a sentence for people."""

    name: str
    is_good: bool
    told: str


def administrator(request: HttpRequest) -> User:
    """Return who asks; raises PermissionDenied unless they administer a tenant."""
    if not administers(request.user):
        raise PermissionDenied(_("This page is for administrators."))
    return request.user


@login_required
@require_safe
def status(request: HttpRequest) -> HttpResponse:
    """Show jobs, uploads and errors of the tenant, or of all to an operator.

    The stores and the cache are asked by a request of their own: the page is there
    even where they do not answer.
    """
    user = administrator(request)
    found, _uploads, versions = rows_of(user)
    missing = versions.filter(missing_since__isnull=False)
    context = {
        "is_operator": operates(user),
        "failed": found.filter(state=Job.State.FAILED)[:SHOWN],
        "failures": failures_for(user),
        "missing": missing.select_related("object")[:SHOWN],
        **jobs_of(user),
    }
    return render(request, "pages/status.html", context)


@login_required
@require_safe
def jobs(request: HttpRequest) -> HttpResponse:
    """Show the jobs; while some wait or run, the part asks for itself again."""
    user = administrator(request)
    if not is_part(request):
        return SeeOther(reverse("pages:status"))
    return render(request, "pages/_jobs.html", jobs_of(user))


@login_required
@require_POST
def cancel_job(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Have a job end without a result."""
    user = administrator(request)
    job = get_object_or_404(rows_of(user)[0], pk=pk)
    if control.cancel(job, actor=user):
        messages.success(request, _("It is cancelled, within seconds if it runs."))
    else:
        messages.info(request, _("It had ended already."))
    if is_part(request):
        return part(request, "pages/_jobs.html", jobs_of(user))
    return SeeOther(reverse("pages:status"))


@login_required
@require_POST
def try_again(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Begin a job anew that has failed."""
    user = administrator(request)
    job = get_object_or_404(rows_of(user)[0], pk=pk)
    if control.try_again(job, actor=user):
        messages.success(request, _("It is tried again."))
    else:
        messages.info(request, _("It has not failed, or is tried again already."))
    return SeeOther(reverse("pages:status"))


def jobs_of(user: User) -> dict[str, Any]:
    """Return what the page shows of jobs and uploads that the user administers."""
    found, uploads, _versions = rows_of(user)
    counts = found.aggregate(
        **{state: Count("pk", filter=Q(state=state)) for state in Job.State.values}
    )
    waiting = found.filter(finished_at__isnull=True)
    ended = found.filter(state__in=(Job.State.DONE, Job.State.CANCELLED))
    under_way = uploads.filter(finished_at=None, expires_at__gt=timezone.now())
    return {
        "counts": [(Job.State(state).label, counts[state]) for state in counts],
        # Those that run, and then those that wait, in the order in which they begin.
        "open_jobs": waiting.order_by("state", *ORDER)[:SHOWN],
        "jobs": ended[:SHOWN],
        "uploads": under_way.count(),
    }


def failures_for(user: User) -> QuerySet[Failure]:
    """Return what failed lately, for operators: it may name files of any tenant."""
    failures = Failure.objects.order_by("-at", "-pk")
    return failures[:SHOWN] if operates(user) else failures.none()


def rows_of(user: User) -> tuple[QuerySet[Job], QuerySet[Upload], QuerySet[Version]]:
    """Return the jobs, uploads and versions that the user administers."""
    found = Job.objects.select_related("owner").order_by("-created_at")
    uploads, versions = Upload.objects.all(), Version.objects.all()
    if operates(user):
        return found, uploads, versions
    tenant = user.tenant_id
    return (
        found.filter(tenant=tenant),
        uploads.filter(version__object__tenant=tenant),
        versions.filter(object__tenant=tenant),
    )


@login_required
@require_safe
def checks(request: HttpRequest) -> HttpResponse:
    """Ask the stores and the cache, and show what they answer."""
    user = administrator(request)
    found = [check_store(alias) for alias in aliases(user)]
    if operates(user):
        found.append(check_cache())
    context = {"checks": found, "part": "pages/_checks.html", "title": ""}
    if is_part(request):
        return part(request, "pages/_checks.html", context)
    context["title"] = _("Stores and cache")
    return render(request, "pages/dialog.html", context)


@login_required
@require_safe
def grids(request: HttpRequest) -> HttpResponse:
    """Show operators how each store on a grid is; its gateway is asked for it."""
    user = administrator(request)
    if not operates(user):
        raise PermissionDenied(_("This page is for operators."))
    found = [grid for alias in aliases(user) if (grid := grid_of(alias)) is not None]
    context = {
        "grids": found,
        "spared": spared(),
        "part": "pages/_grids.html",
        "title": "",
    }
    if is_part(request):
        return part(request, "pages/_grids.html", context)
    context["title"] = _("Grids")
    return render(request, "pages/dialog.html", context)


def aliases(user: User) -> list[str]:
    """Return the stores of the user's files and exports; to an operator, all tenants'.

    Those too that are not set any more: a row names them.
    """
    exports = Export.objects.order_by()
    if operates(user):
        tenants = Tenant.objects.all()
        used = {"default", stores.site_export_alias()}
        used.update(tenants.values_list("store", flat=True))
        used.update(tenants.values_list("export_store", flat=True))
    else:
        exports = exports.filter(tenant=user.tenant_id)
        used = {user.tenant.store, places.store_for(user.tenant)}
    used.update(exports.values_list("store", flat=True).distinct())
    return sorted(used - {""})


def check_store(alias: str) -> Check:
    """Ask a store for a name that nothing has, which no cache answers."""
    began = time.monotonic()
    if alias not in settings.STORAGES:
        told = _("It is not set any more, and a tenant or an export names it.")
        return Check(_("Store “%(alias)s”") % {"alias": alias}, False, told)
    try:
        storage: Any = storages[alias]
        # On a grid `exists` may say no from a directory that the cache knows.
        with contextlib.suppress(FileNotFoundError):
            storage.size(f"status/{secrets.token_hex(8)}")
    except Exception as error:  # Whatever it is, the page says it.
        logger.warning("The store %s does not respond: %s", alias, error)
        told = _("It does not respond. What it said is in the site's log.")
        return Check(_("Store “%(alias)s”") % {"alias": alias}, False, told)
    return Check(_("Store “%(alias)s”") % {"alias": alias}, True, responded(began))


def check_cache() -> Check:
    """Write to the cache of the processes, and read it again."""
    began, key = time.monotonic(), f"status:{secrets.token_hex(8)}"
    try:
        cache.set(key, 1, 10)
        is_good = cache.get(key) == 1
    except Exception as error:  # Each cache has errors of its own, of no common kind.
        logger.warning("The cache does not respond: %s", error)
        is_good = False
    told = responded(began) if is_good else _("It does not keep what is put into it.")
    return Check(_("Cache"), is_good, told)


def responded(began: float) -> str:
    milliseconds = max(1, round(1000 * (time.monotonic() - began)))
    return _("It responds in %(count)s ms.") % {"count": milliseconds}
