"""Tenants with users of each kind and some objects, for trying the API."""

from __future__ import annotations

import io
from collections.abc import Iterator

from django.contrib.auth.hashers import make_password

from accounts.models import Tenant, TenantGroup, User
from objects import grants, storing
from objects.access import Access
from objects.incoming import IncomingFile
from objects.models import StoredObject

NEIGHBOUR = "Neighbour"
FILES = {
    ("papers", "plan.txt"): ("text/plain", b"First the foundation, then the roof.\n"),
    ("papers", "figures.csv"): ("text/csv", b"year,bytes\n2025,17\n2026,1024\n"),
    ("papers/2026", "minutes.md"): ("text/markdown", b"# Minutes\n\nAll agreed.\n"),
    ("", "empty.bin"): ("application/octet-stream", b""),
}


def fill(tenant: Tenant, password: str) -> Iterator[str]:
    """Make what is not there yet; gives the name of each user and object it made.

    The users are `demo-administrator` of the tenant, `demo-owner` whose objects they
    are, `demo-editor` and `demo-viewer` who may edit and view them, `demo-stranger`,
    `demo-inactive`, and `demo-neighbour` of another tenant.
    """
    other, _new = Tenant.objects.get_or_create(
        name=NEIGHBOUR, defaults={"slug": "neighbour"}
    )
    # Once for all: to hash it takes long on purpose.
    secret = make_password(password)
    users = {}
    for kind in (
        *("administrator", "owner", "editor", "viewer", "stranger", "inactive"),
        "neighbour",
    ):
        name = f"demo-{kind}"
        user = User.objects.filter(username=name).first()
        if user is None:
            user = User.objects.create(
                username=name,
                email=f"{name}@example.org",
                password=secret,
                tenant=other if kind == "neighbour" else tenant,
                is_administrator=kind in {"administrator", "neighbour"},
                is_active=kind != "inactive",
            )
            yield name
        users[kind] = user
    editors, new = TenantGroup.objects.get_or_create(tenant=tenant, label="Editors")
    if new:
        editors.user_set.add(users["editor"])
    for (folder, name), (media_type, content) in FILES.items():
        there = StoredObject.objects.filter(tenant=tenant, folder=folder, name=name)
        if there.exists():
            continue
        made = storing.store(
            IncomingFile(io.BytesIO(content), len(content), media_type),
            tenant=tenant,
            user=users["owner"],
            folder=folder,
            name=name,
        ).object
        grants.grant(made, editors, Access.EDIT, actor=users["owner"])
        grants.grant(made, users["viewer"], Access.VIEW, actor=users["owner"])
        yield made.path
