"""An export's owner is told that it is ready: on the next page, and by mail."""

from __future__ import annotations

import logging

from django.conf import settings
from django.contrib import messages
from django.core.mail import send_mail
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.translation import gettext as _

from accounts.models import User
from exports import access, retention
from exports.models import Export

logger = logging.getLogger(__name__)
AT_ONCE = 5
"""Messages on one page at most; the list of exports has all."""


def send_mail_of(export: Export) -> None:
    """Send its owner a mail, where the site sends any; a failure is only logged."""
    owner = export.owner
    if not settings.MAIL_IS_SENT or owner is None or not owner.email:
        return
    site = (settings.SITE_URL or export.site).rstrip("/")
    told = {
        "export": export,
        "link": site + export.get_absolute_url() if site else "",
        "expires_at": retention.expiry(export),
    }
    text = render_to_string("exports/ready_mail.txt", told)
    try:
        send_mail(_("Your export is ready"), text, None, [owner.email])
    except OSError as error:  # smtplib's errors are such.
        logger.error("The mail about export %s was not sent: %s", export.pk, error)


def add_messages(request: HttpRequest) -> None:
    """Add a message for each export that is ready, of which its owner knows nothing.

    One query where there is none, three where there are some.
    """
    user = request.user
    if not isinstance(user, User):
        return
    untold = Export.objects.filter(
        owner=user, state=Export.State.READY, told_at__isnull=True
    )
    found = list(untold.order_by("ready_at")[:AT_ONCE])
    if not found:
        return
    keys, now = [export.pk for export in found], timezone.now()
    told = untold.filter(pk__in=keys).update(told_at=now)
    shown = access.visible(user).filter(pk__in=keys)
    if told < len(found):
        # Of two pages at once, one tells each: this one those with its own time.
        shown = shown.filter(told_at=now)
    visible = set(shown.values_list("pk", flat=True))
    for export in found:
        if export.pk in visible:
            messages.success(request, _text(export))


def _text(export: Export) -> str:
    said = format_html(_("The export “{}” is ready."), export.label)
    if (expires := retention.expiry(export)) is not None:
        kept = _("It is kept until {} at least.")
        day = date_format(timezone.localtime(expires), "j M Y")
        said = format_html("{} {}", said, format_html(kept, day))
    link, text = export.get_absolute_url(), _("Download it")
    return format_html('{} <a href="{}">{}</a>', said, link, text)
