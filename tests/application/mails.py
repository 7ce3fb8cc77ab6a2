"""Mails, which a worker sends."""

from __future__ import annotations

from django.core import mail
from django.core.mail import EmailMessage

from jobs.running import run_waiting


def sent() -> list[EmailMessage]:
    """Do what is due, and return all mails that were sent so far."""
    run_waiting()
    return list(mail.outbox)
