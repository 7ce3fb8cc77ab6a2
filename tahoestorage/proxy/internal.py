"""The internal location by which nginx sends the downloads that the site allows."""

from __future__ import annotations

from tahoestorage.config.options import Options
from tahoestorage.proxy.templates import gateway, render

FAILED = "@tahoe_failed"

# Of the site's response nginx itself keeps Content-Type, Content-Disposition,
# Accept-Ranges, Set-Cookie, Cache-Control and Expires (ngx_http_upstream). These it
# does not, so the location sets them again.
_FROM_THE_SITE = (
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
_NOT_FROM_THE_GATEWAY = (
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
    """Return nginx's ``internal`` location below ``prefix``, for X-Accel-Redirect.

    It goes inside the ``server`` block of the site; ``prefix`` is the value of
    TAHOE_ACCEL_REDIRECT. Raises ImproperlyConfigured for a gateway whose address nginx
    would misread.
    """
    headers = []
    for header in _FROM_THE_SITE:
        name = header.lower().replace("-", "_")
        headers.append((f"tahoe_{name}", header, f"upstream_http_{name}"))
    return render(
        "internal.conf",
        **gateway(options),
        address=options.base_url,
        prefix=prefix,
        headers=headers,
        hidden=sorted({*_FROM_THE_SITE, *_NOT_FROM_THE_GATEWAY}),
        failed=FAILED,
    )
