"""What `manage.py check --deploy` says about accounts."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning


def check_mail(**options: Any) -> list[CheckMessage]:
    """Warn where no mail server is set: links that set passwords would be printed."""
    if settings.MAIL_IS_SENT:
        return []
    return [
        Warning(
            "No mail is sent: EMAIL_URL is not set. Invitations and links to set a "
            "password are printed instead, where whoever reads the log can use them.",
            hint="Set EMAIL_URL, such as smtp+tls://USER:PASSWORD@mail.example.org:587.",
            id="accounts.W001",
        )
    ]
