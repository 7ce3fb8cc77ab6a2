"""The location by which nginx carries the downloads that the site allows."""

from __future__ import annotations

import math
import re
from importlib import resources
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.template import Context, Engine

from tahoestorage.options import Options

# Debian's; what is trusted is for the machine's owner to say.
CERTIFICATES = "/etc/ssl/certs/ca-certificates.crt"
FAILED = "@tahoe_failed"
_PLAIN_URL = re.compile(r"https?://[A-Za-z0-9._~:/\[\]-]+")
_LONGEST_CONNECT = 75  # seconds; more than nginx may be told has no effect

# Of the site's answer nginx keeps Content-Type, Content-Disposition, Accept-Ranges,
# Set-Cookie, Cache-Control and Expires. The rest it has to be told.
_SAID_BY_THE_SITE = (
    "Content-Security-Policy",
    "Cross-Origin-Opener-Policy",
    "Cross-Origin-Resource-Policy",
    "ETag",
    "Last-Modified",
    "Permissions-Policy",
    "Referrer-Policy",
    "Strict-Transport-Security",
    "Vary",
    "X-Content-Type-Options",
    "X-Frame-Options",
)
_SAID_BY_THE_GATEWAY = (
    "Accept-Ranges",
    "Cache-Control",
    "Content-Disposition",
    "Content-Encoding",
    "Content-Language",
    "Content-Location",
    "Content-Type",
    "Expires",
    "Link",
    "Location",
    "Refresh",
    "Set-Cookie",
    "WWW-Authenticate",
)


def location(options: Options, prefix: str) -> str:
    """Return the internal location for TAHOE_ACCEL_REDIRECT, as text for nginx.

    It belongs into the ``server`` block of the site. Raises ImproperlyConfigured for a
    gateway whose address nginx would misread.
    """
    gateway = options.base_url
    if not _PLAIN_URL.fullmatch(gateway):
        raise ImproperlyConfigured(
            "The gateway's address (TAHOE_STORAGE_BASE_URL) has a character in it that "
            "has a meaning to nginx."
        )
    headers = []
    for header in _SAID_BY_THE_SITE:
        name = header.lower().replace("-", "_")
        headers.append((f"tahoe_{name}", header, f"upstream_http_{name}"))
    connect = min(_LONGEST_CONNECT, math.ceil(options.connect_timeout))
    values = {
        "prefix": prefix,
        "gateway": gateway,
        "verified": urlsplit(gateway).scheme == "https",
        "certificates": CERTIFICATES,
        "connect_timeout": connect,
        "read_timeout": math.ceil(options.read_timeout),
        "headers": headers,
        "hidden": sorted({*_SAID_BY_THE_SITE, *_SAID_BY_THE_GATEWAY}),
        "failed": FAILED,
    }
    text = resources.files("tahoestorage.proxy").joinpath("accel.conf").read_text()
    # Neither for HTML nor for a language: 3,600 is no number to nginx.
    template = Engine(autoescape=False).from_string(text)
    return template.render(Context(values, autoescape=False, use_l10n=False))
