"""The checks of options, which ask no store."""

from __future__ import annotations

import contextlib
import shlex
import stat
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from django.contrib.staticfiles.storage import HashedFilesMixin
from django.core.checks import Error, Warning
from django.core.exceptions import ImproperlyConfigured
from django.core.files.storage import Storage, storages
from django.core.management import get_commands
from django.urls import Resolver404, resolve

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.objectstore import ObjectStore
from tahoestorage.checks.findings import Finding
from tahoestorage.config import validators
from tahoestorage.config.options import MAKE_ROOT, Options
from tahoestorage.config.settings import backends, has_urls, media_url, uses_whitenoise
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap

# What serves the files of the default storage, and static ones.
_SERVED = 'include("tahoestorage.urls")'
_SERVED_STATIC = (
    'Download.as_view(storage="staticfiles", trusted=True), with Download from '
    "tahoestorage.serving"
)


def look_at(storage: TahoeStorage, *, static: bool = False) -> list[Finding]:
    """Return what is wrong with the options of a storage on a grid."""
    try:
        options = storage.options
    except ImproperlyConfigured as error:
        hint = "Correct each option or setting that is named."
        return [Finding(Error, "E001", str(error), hint)]
    return [
        *_look_at_root(options),
        *_look_at_urls(options),
        *_look_at_style(options, static=static),
    ]


def look_at_static(storage: Storage) -> Iterator[Finding]:
    """Yield what is wrong with one of our storages as STORAGES["staticfiles"]."""
    if isinstance(storage, TahoeStorage):
        yield from _look_at_static_on_a_grid(storage)
    elif isinstance(storage, ObjectStore) and any(
        _is_in(storage, uploads) for uploads in _others()
    ):
        yield Finding(
            Error,
            "E009",
            "static files are kept where the uploads are, in one bucket: collectstatic "
            "replaces uploads of the same names, and --clear deletes all of them.",
            "Give them a bucket of their own, or a location beside the other one.",
        )
    if (
        isinstance(storage, HashedFilesMixin)
        and isinstance(storage, ObjectStore)
        and storage.signs_url(storage.key_of("site.css"))
    ):
        yield Finding(
            Error,
            "E010",
            "static files have names that follow from their content, and signed URLs: "
            "each page would name them otherwise, and no browser could keep them.",
            "Use S3ManifestStaticStorage or GCSManifestStaticStorage, or set "
            "querystring_auth to False, and let everybody read the bucket.",
        )
    if uses_whitenoise():
        yield Finding(
            Error,
            "E011",
            "static files are kept in a store, and WhiteNoise's middleware looks for "
            "them in a folder: it serves none of them, or stale ones.",
            "Remove WhiteNoise from MIDDLEWARE, or use its storage. Where it serves "
            "other files, set WHITENOISE_ROOT to their folder.",
        )
    if get_commands().get("collectstatic") == "django.contrib.staticfiles":
        yield Finding(
            Warning,
            "W011",
            "manage.py collectstatic is Django's own, which deletes files before it "
            "saves them anew, and sends them all again after a fresh checkout.",
            'Put "tahoestorage" before "django.contrib.staticfiles" in INSTALLED_APPS.',
        )


def _look_at_root(options: Options) -> Iterator[Finding]:
    if not options.has_root:
        yield Finding(Warning, "W001", "no root cap is set.", MAKE_ROOT)
        return
    try:
        root = options.root
    except ImproperlyConfigured as error:
        hint = "Put the root directory's cap into that file, readable by this user."
        yield Finding(Error, "E001", str(error), hint)
        return
    if options.base_cap is None and options.base_cap_file is not None:
        yield from look_at_secret_file(options.base_cap_file, label="cap")
    if not root.is_writable:
        yield Finding(
            Error,
            "E002",
            "the root cap is read-only: nothing can be stored.",
            f"Use the directory's write cap, or another root. {MAKE_ROOT}",
        )


def look_at_secret_file(file: Path, *, label: str = "secret") -> Iterator[Finding]:
    """Yield a warning where others on this machine may read or write the file."""
    try:
        mode = file.stat().st_mode
    except OSError:
        return
    if mode & (stat.S_IROTH | stat.S_IWOTH | stat.S_IWGRP):
        yield Finding(
            Warning,
            "W006",
            f"the {label} file {file} may be read or written by others on this machine "
            f"(mode {stat.S_IMODE(mode):04o}): whoever reads it can destroy all files.",
            f"chmod 600 {shlex.quote(str(file))}",
        )


def _look_at_style(options: Options, *, static: bool) -> Iterator[Finding]:
    if options.url_style == "cap" and options.public_base_url is None:
        yield Finding(
            Warning,
            "W004",
            "its files have no URL: whatever asks for it fails, Django's admin too.",
            'Set TAHOE_STORAGE_URL_STYLE = "path" and MEDIA_URL, and include '
            "tahoestorage.urls in the site's URLs; or set TAHOE_PUBLIC_BASE_URL. Where "
            "neither is wanted, use tahoestorage.widgets in forms and the admin, and "
            "silence this check.",
        )
    if options.url_style == "path":
        try:
            prefix = urlsplit(options.media_url or media_url())
        except ValueError:
            hint = 'Set MEDIA_URL to such as "/media/".'
            yield Finding(Warning, "W005", "MEDIA_URL is not a URL.", hint)
            return
        if prefix.path in ("", "/") and not prefix.netloc:
            yield Finding(
                Warning,
                "W005",
                "the URLs of its files begin with /, as those of all other pages do.",
                'Set MEDIA_URL = "/media/" (or the option media_url), and include '
                "tahoestorage.urls below it in the site's URLs.",
            )
        elif not prefix.netloc and not _is_routed(f"{prefix.path}folder/name.txt"):
            below = prefix.path.lstrip("/")
            pattern = f'"{below}", {_SERVED}'
            if static:
                pattern = f'"{below}<path:name>", {_SERVED_STATIC}'
            yield Finding(
                Warning,
                "W005",
                f"the URLs of its files begin with {prefix.path}, and no pattern of "
                "the site's URLs is for them: they are not found.",
                f"Add path({pattern}) to the urlpatterns, or a view of your own "
                "(docs/downloads.md).",
            )


def _is_routed(path: str) -> bool:
    """Whether the site has a view for a path; True where nobody can tell."""
    if not has_urls():
        return True
    try:
        resolve(path)
    except Resolver404:
        return False
    except Exception:
        return True  # Django's own check of the URLs says what is wrong with them.
    return True


def _look_at_static_on_a_grid(storage: TahoeStorage) -> Iterator[Finding]:
    if not isinstance(storage, HashedFilesMixin):
        yield Finding(
            Error,
            "E009",
            "static files are kept by their bare names on a grid: style sheets and "
            "scripts would be offered as downloads, or not be found.",
            "Use tahoestorage.staticfiles.TahoeManifestStaticStorage, a folder or "
            "WhiteNoise.",
        )
    root = _root(storage)
    if root is not None and any(root == _root(uploads) for uploads in _others()):
        yield Finding(
            Error,
            "E009",
            "static files are kept in the same root directory as the uploads: "
            "either could take the other's names.",
            "Give them a root of their own: manage.py tahoe_create_root --output.",
        )


def _others() -> Iterator[Storage]:
    """Yield the storages of STORAGES that are not for static files."""
    for alias in backends():
        if alias != "staticfiles":
            # What is wrong with one that can't be made is said by itself.
            with contextlib.suppress(Exception):
                yield storages[alias]


def _is_in(static: ObjectStore, uploads: Storage) -> bool:
    """Whether the uploads are in the bucket and below the location of static files."""
    try:
        return (
            isinstance(uploads, Cached)
            and isinstance(static, Cached)
            and uploads.identity() == static.identity()
            and uploads.key_prefix.startswith(static.key_prefix)
        )
    except Exception:
        return False  # What is wrong with either is said by itself.


def _root(storage: Storage) -> Cap | None:
    try:
        if isinstance(storage, TahoeStorage) and storage.options.has_root:
            return storage.options.root.read_only
    except ImproperlyConfigured:
        pass  # Said already.
    return None


def _look_at_urls(options: Options) -> Iterator[Finding]:
    for url in options.base_urls:
        yield from _look_at_gateway(url, options)


def _look_at_gateway(url: str, options: Options) -> Iterator[Finding]:
    scheme, host, _ = gateway = _origin(url)
    if scheme == "http" and not (
        _is_loopback(host) or _is_among(host, options.trusted_hosts)
    ):
        yield Finding(
            Error,
            "E003",
            f"the gateway at {url} is spoken to over plain http: whoever "
            "listens on the way learns caps, and can read and destroy files.",
            "Use https, or a gateway on this machine; or, where the network between is "
            "safe, name the host or network in TAHOE_STORAGE_TRUSTED_HOSTS.",
        )
    public = options.public_base_url
    if public and _origin(public) == gateway and not _is_loopback(host):
        yield Finding(
            Error,
            "E004",
            f"the public base URL {public} is the gateway itself: every visitor could "
            "store files on the grid.",
            "Put a proxy before the gateway that lets only GET and HEAD of /named/ "
            "pass, and give its address as TAHOE_STORAGE_PUBLIC_BASE_URL.",
        )


def _origin(url: str) -> tuple[str, str | validators.Network, int | None]:
    """Return scheme, host and port of a URL that is in its normal form."""
    parts = urlsplit(url)
    return parts.scheme, validators.host(parts.hostname or ""), parts.port


def _is_loopback(host: str | validators.Network) -> bool:
    if isinstance(host, str):
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761, 6.3
    return host.is_loopback


def _is_among(
    host: str | validators.Network, trusted: tuple[str | validators.Network, ...]
) -> bool:
    if isinstance(host, str):
        return host in trusted
    return any(
        host.network_address in network
        for network in trusted
        if not isinstance(network, str)
    )
