"""The read-only proxy, by which visitors read files by caps in URLs."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import urlsplit

from tahoestorage.config.options import Options
from tahoestorage.proxy.targets import patterns
from tahoestorage.proxy.templates import gateway, plain_url, render
from tahoestorage.serving import mediatypes

PART = 2**20  # bytes, as the slices in public.conf


@dataclass(frozen=True)
class PublicProxy:
    """What the proxy lets visitors read, and where it caches that.

    :param listen: the address and port to listen on, as nginx's `listen` takes it.
    :param server_name: the names of the host, as nginx's `server_name` takes them.
    :param cache_directory: where fetched files are kept; the last folder is made.
    :param cache_size: how much is kept, such as ``10g``.
    :param access_log: the file to log to, or ``off``.
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


def configuration(options: Options, proxy: PublicProxy) -> str:
    """Return the configuration, which goes inside nginx's ``http { }``.

    Raises ImproperlyConfigured for an address that nginx would misread.
    """
    start = ""
    if options.public_base_url is not None:
        address = plain_url(options.public_base_url, "TAHOE_PUBLIC_BASE_URL")
        start = urlsplit(address).path.rstrip("/")
    targets = patterns(start, mutable=proxy.mutable, directories=proxy.directories)
    variables = gateway(options)
    context = {
        **variables,
        "proxy": proxy,
        "patterns": targets.items(),
        "start": start,
        "prefix": re.escape(start),
        "shown": mediatypes.SHOWN.items(),
        "embedded": mediatypes.EMBEDDED.items(),
        "bytes": mediatypes.BYTES,
        "policy": mediatypes.POLICY,
        "player_policy": mediatypes.PLAYER_POLICY,
        "parts": _own_address(proxy.listen),
        # All of a part is fetched before the first byte of it is passed on.
        "part_timeout": variables["read_timeout"] + math.ceil(PART / options.min_rate),
    }
    return render("public.conf", common=render("common.conf", **context), **context)


def standalone(configuration: str, *, as_root: bool) -> str:
    """Return a whole nginx.conf around what goes inside ``http { }``.

    :param as_root: whether workers stay root where root starts it.
    """
    return render("standalone.conf", public=configuration, as_root=as_root)


def _own_address(listen: str) -> str:
    """Return where nginx reaches itself, if it listens there."""
    address, _, port = listen.rpartition(":")
    if not port.isdecimal():
        address, port = listen, "80"
    if not address.strip("*0."):  # all of them
        address = "127.0.0.1"
    return f"{'[::1]' if address == '[::]' else address}:{port}"
