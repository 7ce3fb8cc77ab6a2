"""Rendering of this package's templates, and what they say of the gateway."""

from __future__ import annotations

import math
import re
from importlib import resources
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Engine

from tahoestorage.config.options import Options

# The path on Debian. The owner of the machine decides what is trusted.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"
_PORTS = {"http": 80, "https": 443}
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9._~:/\[\]-]+")
_LONGEST_CONNECT = 75  # seconds; more has no effect in nginx


def render(template: str, **context: object) -> str:
    """Return the text of one of this package's templates."""
    text = resources.files(__package__).joinpath(template).read_text("utf-8")
    # Neither for HTML nor for a language: 3,600 is no number to nginx.
    plainly = Context(context, autoescape=False, use_l10n=False)
    return Engine().from_string(text).render(plainly)


def plain_url(url: str, setting: str) -> str:
    """Return a URL without a character that means something to nginx.

    Raises ImproperlyConfigured, with the name of the ``setting``.
    """
    if not _PLAIN_URL.fullmatch(url):
        raise ImproperlyConfigured(
            f"{setting} has a character in it that has a meaning to nginx."
        )
    return url


def gateway(options: Options) -> dict[str, Any]:
    """Return the templates' variables for the gateway; time-outs are in seconds.

    Raises ImproperlyConfigured for an address that nginx would misread.
    """
    parts = urlsplit(plain_url(options.base_url, "TAHOE_STORAGE_BASE_URL"))
    host = parts.hostname or ""
    port = parts.port or _PORTS[parts.scheme]
    return {
        "gateway": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "scheme": parts.scheme,
        "path": parts.path.rstrip("/"),
        "https": parts.scheme == "https",
        "host": host,
        "authorities": AUTHORITIES,
        "connect_timeout": min(_LONGEST_CONNECT, math.ceil(options.connect_timeout)),
        "read_timeout": math.ceil(options.read_timeout),
    }
