"""What workers do for accounts."""

from __future__ import annotations

from datetime import timedelta

from django.utils.translation import gettext as _

from accounts import passwords
from jobs.kinds import ForPeople, Work, kind

PATIENCE = timedelta(hours=1)
"""So long an outage of the mail server makes no job fail."""


class MailAway(ForPeople):
    """The mail server did not take a mail."""


@kind(passwords.KIND, retry_on=(MailAway,), patience=PATIENCE)
def mail_link(work: Work) -> dict[str, int]:
    """Send users a link to set a password; there may be none, or none any more."""
    try:
        sent = passwords.mail_links(work.arguments["users"], work.arguments["site"])
    except OSError as error:  # smtplib's errors are such.
        raise MailAway(_("The mail could not be sent.")) from error
    return {"mails": sent}
