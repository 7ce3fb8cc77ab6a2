"""The text of nginx's configuration for a site's options."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib import resources
from urllib.parse import urlsplit

from django.template import Context, Engine

from tahoestorage import mediatypes
from tahoestorage.options import Options
from tahoestorage.proxy.targets import patterns

PART = 2**20  # bytes, as the slices in public.conf
_PORTS = {"http": 80, "https": 443}
# Debian's; other systems keep it elsewhere.
AUTHORITIES = "/etc/ssl/certs/ca-certificates.crt"


@dataclass(frozen=True)
class PublicProxy:
    """What visitors are let through to, and where it is kept on the way.

    :param listen: the address and port to listen on, as nginx's `listen` takes it.
    :param server_name: the names of the host, as nginx's `server_name` takes them.
    :param cache_directory: where fetched files are kept; the last folder is made.
    :param cache_size: how much is kept, such as ``10g``.
    :param mutable: whether mutable files may be read by their read-only caps.
    :param directories: whether directories may be listed by their read-only caps.
    """

    listen: str
    server_name: str
    cache_directory: str
    cache_size: str
    access_log: str
    mutable: bool = False
    directories: bool = False


def public(options: Options, proxy: PublicProxy) -> str:
    """Return what goes inside ``http { }``."""
    gateway = urlsplit(options.base_url)
    host = gateway.hostname or ""
    port = gateway.port or _PORTS[gateway.scheme]
    prefix = urlsplit(options.public_base_url or "").path.rstrip("/")
    kinds = patterns(prefix, mutable=proxy.mutable, directories=proxy.directories)
    timeout = _seconds(options.read_timeout)
    context = {
        "proxy": proxy,
        "patterns": kinds.items(),
        "start": prefix,
        "prefix": re.escape(prefix),
        "shown": mediatypes.SHOWN.items(),
        "embedded": mediatypes.EMBEDDED.items(),
        "bytes": mediatypes.BYTES,
        "policy": mediatypes.POLICY,
        "player_policy": mediatypes.PLAYER_POLICY,
        "gateway": f"[{host}]:{port}" if ":" in host else f"{host}:{port}",
        "parts": _own_address(proxy.listen),
        "https": gateway.scheme == "https",
        "scheme": gateway.scheme,
        "path": gateway.path.rstrip("/"),
        "host": host,
        "authorities": AUTHORITIES,
        "connect_timeout": _seconds(options.connect_timeout),
        "read_timeout": timeout,
        # All of a part is fetched before the first byte of it is passed on.
        "part_timeout": timeout + _seconds(PART / options.min_rate),
    }
    return render("public.conf", common=render("common.conf", **context), **context)


def standalone(public: str, user: str | None) -> str:
    """Return a whole configuration around `public`.

    :param user: whom nginx runs as where root starts it; None: nginx's default.
    """
    return render("standalone.conf", public=public, user=user)


def render(template: str, **context: object) -> str:
    """Return the text of one of this package's templates."""
    text = resources.files(__package__).joinpath(template).read_text("utf-8")
    return Engine().from_string(text).render(Context(context, autoescape=False))


def _own_address(listen: str) -> str:
    """Return where nginx reaches itself, if it listens there."""
    address, _, port = listen.rpartition(":")
    if not port.isdecimal():
        address, port = listen, "80"
    if not address.strip("*0."):  # all of them
        address = "127.0.0.1"
    return f"{'[::1]' if address == '[::]' else address}:{port}"


def _seconds(seconds: float) -> int:
    """Return whole seconds, for nginx knows no others besides milliseconds."""
    return max(1, round(seconds))
