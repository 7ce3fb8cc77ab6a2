"""Log-in by password, locked out by degrees: by name, and by the caller's address.

Whoever tries tokens of share links and of mails is locked out likewise, by the address.

After some attempts that failed, each further one must wait, twice as long as the one
before. What is locked is the name as it was given, whether somebody has it or not, so
that the response tells nothing of who exists.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import math
import time
import unicodedata
from collections.abc import Iterator
from typing import Any

from django.contrib.auth.backends import BaseBackend, ModelBackend
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.utils.translation import gettext_lazy as _

from accounts.counting import CountsAway, address_of, asked, count
from accounts.models import User

logger = logging.getLogger(__name__)
FREE_OF_NAME = 5
"""Attempts with one name before the first wait."""
FREE_OF_ADDRESS = 20
"""Attempts from one address before the first wait: many people may share it."""
FIRST_WAIT = 60
LONGEST_WAIT = 60 * 60
FORGOTTEN_AFTER = 24 * 60 * 60  # seconds, as the two above
IN_ADMIN = (
    "audit.view_entry",
    "sharing.view_sharelink",
    "sharing.change_sharelink",
    "jobs.view_job",
    "jobs.change_job",
    "objects.view_storedobject",
    "objects.view_defaultpermission",
    "objects.add_defaultpermission",
    "objects.delete_defaultpermission",
)


class LockedOut(PermissionDenied):
    """Too many attempts failed; the next may be made in ``seconds``."""

    def __init__(self, seconds: int) -> None:
        super().__init__(_("Too many attempts failed. Please wait."))
        self.seconds = seconds


class PasswordBackend(ModelBackend):
    """Django's, which counts the attempts. It works as long for names nobody has."""

    def authenticate(
        self,
        request: Any,
        username: str | None = None,
        password: str | None = None,
        **kwargs: Any,
    ) -> User | None:
        """Return the user; raises LockedOut, which Django takes as a refusal."""
        name = username if username is not None else kwargs.get(User.USERNAME_FIELD)
        if name is None or password is None:
            return None
        gates = _gates(name, request)
        for key, _free in gates:
            _check(key)
        # Counted first: of a hundred attempts at once, no more are let through.
        for key, free in gates:
            _enter(key, free)
        user = super().authenticate(request, name, password)
        if user is not None:
            _succeeded(gates)
        return user


class AdministratorBackend(BaseBackend):
    """What a tenant's administrators may do in the admin, where they are staff.

    The pages show them what is their tenant's. Tenants, users and groups are shown to
    them by `accounts.admin` itself.
    """

    def get_user_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        """Return them; none for others, and none on single objects."""
        if obj is not None or not isinstance(user_obj, User):
            return set()
        may = user_obj.is_active and user_obj.is_staff and user_obj.is_administrator
        return set(IN_ADMIN) if may else set()

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        """Whether the user may anything there."""
        apps = {name.partition(".")[0] for name in self.get_user_permissions(user_obj)}
        return app_label in apps


@contextlib.contextmanager
def guessing(request: Any, *wrong: type[Exception]) -> Iterator[None]:
    """Lock an address out by degrees that tries tokens; raises LockedOut.

    The block raises one of ``wrong`` where a token is one that nobody has, or not any
    more. While the counts are away nobody is locked out: tokens are random.
    """
    address = address_of(request)
    key = _key("token", address) if address else None
    try:
        if key is not None:
            _check(key)
    except CountsAway as error:
        logger.warning("Tokens are not counted: %s", error.__cause__)
    try:
        yield
    except wrong:
        if key is not None:
            with contextlib.suppress(CountsAway, LockedOut):
                _enter(key, FREE_OF_ADDRESS)
        raise


def check(name: str, request: Any) -> None:
    """Raise LockedOut where an attempt with the name would be refused unread."""
    for key, _free in _gates(name, request):
        _check(key)


def _gates(name: str, request: Any) -> list[tuple[str, int]]:
    folded = unicodedata.normalize("NFKC", name).casefold()
    gates = [(_key("name", folded), FREE_OF_NAME)]
    if request is not None and (address := address_of(request)):
        gates.append((_key("address", address), FREE_OF_ADDRESS))
    return gates


def _key(kind: str, text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()
    return f"login:{kind}:{digest}"


def _check(key: str) -> None:
    until = asked(cache.get, f"{key}:until")
    if until is not None:
        raise LockedOut(max(1, math.ceil(until - time.time())))


def _enter(key: str, free: int) -> None:
    attempt = count(key, FORGOTTEN_AFTER)
    if attempt < free:
        return
    wait = min(FIRST_WAIT * 2 ** min(attempt - free, 20), LONGEST_WAIT)
    if not asked(cache.add, f"{key}:until", time.time() + wait, wait):
        raise LockedOut(wait)  # Another attempt of this moment was let through.


def _succeeded(gates: list[tuple[str, int]]) -> None:
    (name, _free), *addresses = gates
    asked(cache.delete_many, [name, f"{name}:until"])
    # Whoever has one account must not wipe out what they tried with other names.
    for key, _free in addresses:
        asked(cache.delete, f"{key}:until")
        try:
            asked(cache.decr, key)
        except ValueError:
            continue  # Forgotten in between.
