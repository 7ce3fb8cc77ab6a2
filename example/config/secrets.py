"""Secrets of the site: in a variable, in a file, or in Google's Secret Manager.

A file that is mounted and a secret that is read by name may change while the site runs;
whoever asks here each time has the newest within `RENEWED_AFTER` seconds. That is the
database's password alone (`config.postgresql`): the settings ask for all others once,
when a process starts, for Django and what stands on it keep them.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from pathlib import Path
from typing import Any

from django.core.exceptions import ImproperlyConfigured

WAYS = ("", "_FILE", "_SECRET")
RENEWED_AFTER = 300
"""Seconds for which a secret of Secret Manager is kept."""
PATIENCE = 10
"""Seconds in which Secret Manager must respond."""
RESOURCE = re.compile(r"projects/[^/\s]+(/locations/[^/\s]+)?/secrets/[^/\s]+")
logger = logging.getLogger(__name__)
_lock = threading.Lock()
_known: dict[str, tuple[str, float]] = {}
_clients: list[Any] = []


def secret(name: str) -> str:
    """Return NAME, what the file NAME_FILE holds, or the secret that NAME_SECRET names.

    An empty text where none of them is set. Raises ImproperlyConfigured where two are,
    and where a file or a secret can't be read; the value is in no error.
    """
    ways = [way for way in WAYS if os.environ.get(name + way)]
    if len(ways) > 1:
        both = " and ".join(name + way for way in ways)
        raise ImproperlyConfigured(f"{both} are set: unset all but one of them.")
    if not ways:
        return ""
    said = os.environ[name + ways[0]]
    if ways == ["_FILE"]:
        return _in_file(name, said)
    if ways == ["_SECRET"]:
        return _in_manager(name, said)
    return said


def is_set(name: str) -> bool:
    """Whether it is somewhere; it is not read."""
    return any(os.environ.get(name + way) for way in WAYS)


def _in_file(name: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ImproperlyConfigured(
            f"{name}_FILE: {path} can't be read ({type(error).__name__}). Is the "
            "secret mounted there, and may this user read it?"
        ) from None


def _in_manager(name: str, resource: str) -> str:
    """Return the secret; a kept one, too, while Secret Manager does not respond."""
    if not re.fullmatch(RESOURCE.pattern + r"(/versions/[^/\s]+)?", resource):
        raise ImproperlyConfigured(
            f"{name}_SECRET must be like projects/PROJECT/secrets/SECRET, and may end "
            "with /versions/VERSION."
        )
    with _lock:
        kept = _known.get(resource)
        if kept and time.monotonic() < kept[1]:
            return kept[0]
        try:
            value = _asked(resource)
        except ImportError:
            raise ImproperlyConfigured(
                f"{name}_SECRET needs google-cloud-secret-manager: "
                "pip install google-cloud-secret-manager"
            ) from None
        except Exception as error:  # Those of Google's libraries have no common kind.
            said = f"{resource} can't be read ({type(error).__name__})"
            if kept is None:
                raise ImproperlyConfigured(
                    f"{name}_SECRET: {said}. Does it have a version, and may this "
                    "service account access it (roles/secretmanager.secretAccessor)?"
                ) from None
            logger.warning("%s; the value from before is used", said)
            value = kept[0]
        _known[resource] = value, time.monotonic() + RENEWED_AFTER
        return value


def _asked(resource: str) -> str:
    # Whoever names no secret imports none of it: it takes 30 MiB and half a second.
    from google.cloud import secretmanager

    if not _clients:
        options = {}
        if endpoint := os.environ.get("SECRET_MANAGER_ENDPOINT"):
            options["api_endpoint"] = endpoint
        # By plain HTTPS: gRPC has threads, which do not survive a fork.
        client = secretmanager.SecretManagerServiceClient(
            transport="rest", client_options=options
        )
        _clients.append(client)
    version = resource if "/versions/" in resource else f"{resource}/versions/latest"
    response = _clients[0].access_secret_version(
        name=version, timeout=PATIENCE, retry=None
    )
    return str(response.payload.data.decode().strip())


def _forget_lock() -> None:
    """Begin anew in a child: another thread of the parent may have held the lock."""
    global _lock
    _lock = threading.Lock()
    _clients.clear()


os.register_at_fork(after_in_child=_forget_lock)
