"""Passwords: set by a link that was sent by mail, and changed by who knows the old one.

A link is good once and for PASSWORD_RESET_TIMEOUT: it is signed over the password that
it replaces, and nothing of it is kept.
"""

from __future__ import annotations

import hashlib
import logging
import unicodedata
from collections.abc import Collection
from typing import Any

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.contrib.auth.tokens import default_token_generator
from django.core.exceptions import ValidationError
from django.core.mail import EmailMessage, get_connection
from django.db import transaction
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from accounts.counting import address_of, count
from accounts.logins import LockedOut
from accounts.models import User
from audit.actions import Action
from audit.recording import record
from config import locks
from jobs.models import Job
from jobs.starting import start

logger = logging.getLogger(__name__)

KIND = "accounts.mail_link"
HOUR = 60 * 60
RESETS_OF_ADDRESS = 20
"""Mails that one caller may ask for in an hour."""
RESETS_OF_MAIL = 3
"""Mails that one address of mail gets in an hour; more are not sent."""
CHANGES = 10
"""Attempts in an hour to change a password, by who has a user's token."""


class LinkNotValid(ValidationError):
    """The link was used, is too old, or never was one."""

    def __init__(self) -> None:
        super().__init__(gettext_lazy("The link is not valid any more."))


def send_link(user: User, request: Any, *, by: User | None) -> Job:
    """Start a job, of ``by``, that sends the user a link to set a password."""
    return _start([user.pk], request, by)


def request_reset(email: str, request: Any) -> None:
    """Have a link sent to every active user of that address of mail, if there is one.

    A job is started in any case, by the same queries, so that neither the response nor
    its time tells whether there is such a user. Raises LockedOut after too many.
    """
    if address := address_of(request):
        key = f"reset:from:{hashlib.sha256(address.encode()).hexdigest()}"
        if count(key, HOUR) > RESETS_OF_ADDRESS:
            raise LockedOut(HOUR)
    wanted = _folded(email)
    digest = hashlib.sha256(wanted.encode("utf-8", "replace")).hexdigest()
    if count(f"reset:to:{digest}", HOUR) > RESETS_OF_MAIL:
        return
    found = User.objects.filter(email__iexact=email, is_active=True)
    # Databases hold more letters alike than mail does.
    users = [
        pk for pk, has in found.values_list("pk", "email") if _folded(has) == wanted
    ]
    _start(users, request, None)


def mail_links(users: Collection[int], site: str) -> int:
    """Send links to those of the users who are active, and return how many.

    They lead to ``site``, unless the settings name another. Raises OSError where the
    mail server takes none of them.
    """
    found = User.objects.filter(pk__in=users, is_active=True).exclude(email="")
    mails = [_mail(user, site) for user in found]
    sent = 0
    with get_connection() as connection:
        for mail in mails:
            try:
                connection.send_messages([mail])
            except OSError as error:  # smtplib's errors are such.
                if not sent:
                    raise
                # Tried again, the job would send the others twice.
                logger.warning("A mail could not be sent: %s", type(error).__name__)
            else:
                sent += 1
    return sent


def set_by_link(uid: str, token: str, password: str) -> User:
    """Give the user of a link that password. Raises LinkNotValid, or ValidationError
    where the password is too weak; the link is good for another then."""
    try:
        key = int(urlsafe_base64_decode(uid))
    except (ValueError, OverflowError):
        raise LinkNotValid from None
    with transaction.atomic():
        # Locked: of two who use the link at once, one is late.
        found = locks.locked(User.objects.filter(pk=key, is_active=True)).first()
        if found is None or not default_token_generator.check_token(found, token):
            raise LinkNotValid
        set_password(found, password, by=found)
    return found


def change(user: User, current: str, new: str) -> None:
    """Give the user another password; raises ValidationError where ``current`` is not
    theirs or the new one is too weak, LockedOut after too many attempts. It ends the
    user's tokens."""
    count_change(user)
    with transaction.atomic():
        found = locks.locked(User.objects.filter(pk=user.pk)).get()
        if not found.check_password(current):
            raise ValidationError({"current": [_("This is not your password.")]})
        set_password(found, new, by=found)


def count_change(user: User) -> None:
    """Count an attempt to change the password, before the one so far is looked at;
    raises LockedOut after too many."""
    if count(f"password:{user.pk}", HOUR) > CHANGES:
        raise LockedOut(HOUR)


def set_password(user: User, password: str, *, by: User | None) -> None:
    """Give the user a password, which ends their tokens; raises ValidationError."""
    validate_password(password, user)
    user.set_password(password)
    with transaction.atomic():
        user.save(update_fields=["password"])
        record(Action.USER_PASSWORD, user, tenant_id=user.tenant_id, actor=by)


def _start(users: list[int], request: Any, by: User | None) -> Job:
    # The token is made when the mail is: nothing of it is in a row.
    site = request.build_absolute_uri("/")
    return start(KIND, owner=by, arguments={"users": users, "site": site})


def _folded(email: str) -> str:
    return unicodedata.normalize("NFKC", email).casefold()


def _mail(user: User, site: str) -> EmailMessage:
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    token = default_token_generator.make_token(user)
    page = reverse("password_reset_confirm", kwargs={"uidb64": uid, "token": token})
    link = f"{settings.SITE_URL or site}".rstrip("/") + page
    if settings.PASSWORD_PAGE_URL:
        link = settings.PASSWORD_PAGE_URL.replace("{uid}", uid).replace(
            "{token}", token
        )
    told = {
        "user": user,
        "link": link,
        "uid": uid,
        "token": token,
        "days": settings.PASSWORD_RESET_TIMEOUT // (24 * HOUR),
    }
    text = render_to_string("accounts/password_mail.txt", told)
    return EmailMessage(_("Set your password"), text, None, [user.email])
