"""``manage.py tahoe_nginx``: print a configuration of nginx before a gateway."""

from __future__ import annotations

import argparse
import os
import re
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import storages
from django.core.management.base import BaseCommand, CommandError, CommandParser

from tahoestorage.backends.tahoe import TahoeStorage
from tahoestorage.config.settings import Options, accel_redirect, read_options
from tahoestorage.proxy import public
from tahoestorage.proxy.internal import location

# What nginx's grammar would read as more than one word, or as a variable.
_WORD = re.compile(r"[^\s;{}'\"\\$#]+")


class Command(BaseCommand):
    """Print a configuration by which visitors can read files, and nothing else."""

    help = (
        "Prints a configuration of nginx for a read-only proxy before the gateway of "
        "the settings: GET and HEAD of files by their read caps pass, and nothing "
        "else. It goes inside `http { }`; with --standalone it is a whole file, for "
        "`nginx -p DIR -c FILE`. TAHOE_PUBLIC_BASE_URL is the address that visitors "
        "have."
    )
    # It changes nothing, and a site may want it before all else is well.
    requires_system_checks = ()

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--listen",
            type=listen,
            default="127.0.0.1:8080",
            metavar="ADDRESS:PORT",
            help="where nginx listens (default: 127.0.0.1:8080)",
        )
        parser.add_argument(
            "--server-name",
            type=word,
            nargs="+",
            metavar="NAME",
            help="the host's names (default: that of TAHOE_PUBLIC_BASE_URL)",
        )
        parser.add_argument(
            "--cache",
            type=cache,
            metavar="DIR:SIZE",
            help="where nginx keeps what it fetched, and how much at most, such as 10g "
            "(default: /var/lib/nginx/tahoe:1g; with --standalone cache:1g, below DIR)",
        )
        parser.add_argument(
            "--access-log",
            type=word,
            metavar="FILE",
            help="where nginx writes who fetched something, without caps: a file, "
            "/dev/stdout in a container, or off (default: /var/log/nginx/tahoe.log; "
            "with --standalone access.log, below DIR)",
        )
        parser.add_argument(
            "--mutable",
            action="store_true",
            help="let mutable files pass too, by their read-only caps",
        )
        parser.add_argument(
            "--directories",
            action="store_true",
            help="let directories pass too, by their read-only caps: whoever has one "
            "can then list and read all that is below it",
        )
        form = parser.add_mutually_exclusive_group()
        form.add_argument(
            "--standalone",
            action="store_true",
            help="print a whole file, for an nginx of its own in the foreground",
        )
        form.add_argument(
            "--accel",
            action="store_true",
            help="print, instead of all that, the location for downloads that the site "
            "allows and nginx carries (TAHOE_ACCEL_REDIRECT); it goes inside the "
            "site's own `server { }`",
        )

    def handle(
        self,
        *,
        listen: str,
        server_name: list[str] | None,
        cache: tuple[str, str] | None,
        access_log: str | None,
        mutable: bool,
        directories: bool,
        standalone: bool,
        accel: bool,
        **options: Any,
    ) -> None:
        try:
            site = site_options()
            if accel:
                self.stdout.write(accel_location(site), ending="")
                return
            host = urlsplit(site.public_base_url or "").hostname
            kept, size = cache or (
                ("cache", "1g") if standalone else ("/var/lib/nginx/tahoe", "1g")
            )
            proxy = public.PublicProxy(
                listen=listen,
                server_name=" ".join(server_name or [host or "_"]),
                cache_directory=kept,
                cache_size=size,
                access_log=access_log
                or ("access.log" if standalone else "/var/log/nginx/tahoe.log"),
                mutable=mutable,
                directories=directories,
            )
            text = public.configuration(site, proxy)
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from error
        if standalone:
            text = public.standalone(text, as_root=os.geteuid() == 0)
        self.stdout.write(text, ending="")
        if site.public_base_url is None:
            self.stderr.write(
                "Set TAHOE_PUBLIC_BASE_URL to the address that visitors have: without "
                "it the site has no URLs that lead to this proxy.",
                self.style.WARNING,
            )


def site_options() -> Options:
    """Return the options of the default storage, or of the settings alone.

    The latter where the default storage is not on a grid.
    """
    storage = storages["default"]
    return storage.options if isinstance(storage, TahoeStorage) else read_options({})


def accel_location(site: Options) -> str:
    """Return the location for the site's X-Accel-Redirect. Raises CommandError."""
    prefix = accel_redirect()
    if prefix is None:
        raise CommandError(
            "TAHOE_ACCEL_REDIRECT is not set: set it to a path of the site's that "
            'nothing else uses, such as "/_tahoe/".'
        )
    return location(site, prefix)


def word(text: str) -> str:
    """Return a name that is one word to nginx. Raises ArgumentTypeError."""
    if not _WORD.fullmatch(text):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no name here: it must not be empty, nor have a space, quote, "
            "brace, backslash, semicolon, # or $ in it"
        )
    return text


def listen(text: str) -> str:
    """Return ADDRESS:PORT, of which either may be left out.

    Raises ArgumentTypeError.
    """
    address, _, port = text.rpartition(":")
    if address.startswith("[") != address.endswith("]") or not port.isdecimal():
        address, port = text, "80"
    if not _WORD.fullmatch(text) or not 0 < int(port) < 65536:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no address and port, such as 127.0.0.1:8080 or [::]:80"
        )
    return text


def cache(text: str) -> tuple[str, str]:
    """Return the folder and the size in DIR:SIZE. Raises ArgumentTypeError."""
    folder, _, size = text.rpartition(":")
    if not _WORD.fullmatch(folder) or not re.fullmatch("[1-9][0-9]*[kmgKMG]?", size):
        raise argparse.ArgumentTypeError(
            f"{text!r} is no DIR:SIZE, such as /var/cache/tahoe:10g; a folder's name "
            "has no space, quote, brace, backslash, semicolon, # or $ here"
        )
    return folder, size
