"""Which caller is answered what by which endpoint: one table, for tests and docs.

``python -m tests.application.matrix`` writes it into docs/application/permissions.md.
An endpoint that the schema has and the table lacks fails a test: add a line to TABLE.
A line says the method, the path, and the answer to each kind of caller, in the order of
``callers.KINDS``: a status, or for a list that is answered with 200 a ``+`` where the
thing is in it and a ``-`` where it is not. Each line of a GET is one of a HEAD as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.application.scene import Scene

PAGE = Path(__file__).resolve().parents[2] / "docs/application/permissions.md"
BEGIN, END = "<!-- matrix: begin -->\n", "<!-- matrix: end -->\n"
COLUMNS = (
    "nobody",
    "inactive",
    "stranger",
    "other tenant",
    "viewer",
    "editor",
    "administrator",
    "super-tenant",
    "tenant's administrator",
)
SHOWN = {"+": "200, with it", "-": "200, without it"}


@dataclass(frozen=True)
class Endpoint:
    """A method of a path, what is sent there, and what each kind of caller is told."""

    method: str
    path: str
    answers: tuple[str, ...]
    body: Callable[[Scene, str], Any] | None = None
    """Makes the body for the scene and the kind of caller."""
    format: str = "json"
    """``json``, ``multipart``, or a media type of bytes that are sent as they are."""
    headers: Mapping[str, str] = field(default_factory=dict)
    things: Mapping[str, str] = field(default_factory=dict)
    """What stands for the path's parameters, by the names of ``Scene``'s things."""
    lists: str = ""
    """The thing that a list has, or has not."""
    anybody: bool = False
    """Whether it asks for no token: the audit does not name the caller then."""
    records: str = ""
    """What the audit says of it, where it was done."""
    follows: str = ""
    """What the audit says besides of what came of it, which nobody did."""
    in_schema: bool = True
    about: str = ""
    """What tells it from another line of its path."""
    in_bucket: bool = False
    """Whether the tenant's store is a bucket; else it takes no direct uploads."""

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


TABLE: list[Endpoint] = []


def heads() -> list[Endpoint]:
    """Return the HEAD of each GET: the same status, and nothing in the audit."""
    return [
        replace(
            one,
            method="HEAD",
            answers=tuple("200" if each in SHOWN else each for each in one.answers),
            lists="",
            records="",
            in_schema=False,
        )
        for one in TABLE
        if one.method == "GET"
    ]


def endpoint(method: str, path: str, answers: str, **more: Any) -> None:
    each = tuple(answers.split())
    assert len(each) == len(COLUMNS), f"{method} {path}"
    TABLE.append(Endpoint(method, f"/api/v1{path}", each, **more))


def own_password(scene: Scene, kind: str) -> dict[str, str]:
    return {"username": kind, "password": "a password of tests"}


def own_refresh(scene: Scene, kind: str) -> dict[str, str]:
    return {"refresh": scene.refresh_token(kind)}


def new_file(scene: Scene, kind: str) -> dict[str, Any]:
    return {"file": scene.upload("new.txt"), "name": "new.txt"}


def some_bytes(scene: Scene, kind: str) -> bytes:
    return b"new content"


def grant_to_user(scene: Scene, kind: str) -> dict[str, Any]:
    return {"user": scene.callers["stranger"].user.pk, "access": "view"}


def share_of_object(scene: Scene, kind: str) -> dict[str, Any]:
    return {"object": scene.object}


def export_of_event(scene: Scene, kind: str) -> dict[str, Any]:
    return {"event": scene.event.slug}


def import_of(thing: str) -> Callable[[Scene, str], Any]:
    return lambda scene, kind: {"export": getattr(scene, thing)}


def password_by_link(scene: Scene, kind: str) -> dict[str, str]:
    return {**scene.password_link, "password": NEW_PASSWORD}


def other_password(scene: Scene, kind: str) -> dict[str, str]:
    return {"current": "a password of tests", "password": NEW_PASSWORD}


def fixed(**body: Any) -> Callable[[Scene, str], Any]:
    return lambda scene, kind: body


NEW_PASSWORD = "correct horse battery staple"

# nobody, inactive, stranger, other tenant, viewer, editor, administrator, super-tenant,
# tenant's administrator
endpoint("POST", "/tokens/", "401 401 200 200 200 200 200 200 200", body=own_password)
endpoint(
    "POST", "/tokens/refresh/", "400 401 200 200 200 200 200 200 200", body=own_refresh
)
endpoint(
    "POST",
    "/tokens/revoke/",
    "401 401 204 204 204 204 204 204 204",
    records="token.revoke",
)
endpoint(
    "POST",
    "/passwords/reset/",
    "202 202 202 202 202 202 202 202 202",
    body=fixed(email="viewer@example.org"),
    anybody=True,
)
endpoint(
    "POST",
    "/passwords/set/",
    "204 204 204 204 204 204 204 204 204",
    body=password_by_link,
    anybody=True,
    records="user.password",
)
endpoint(
    "POST",
    "/passwords/change/",
    "401 401 204 204 204 204 204 204 204",
    body=other_password,
    records="user.password",
)
endpoint("GET", "/tenants/", "401 401 - - - - - + +", lists="tenant")
endpoint(
    "POST",
    "/tenants/",
    "401 401 403 403 403 403 403 201 403",
    body=fixed(name="Initech"),
    records="tenant.create",
)
endpoint(
    "GET",
    "/tenants/{id}/",
    "401 401 404 404 404 404 404 200 200",
    things={"id": "tenant"},
)
endpoint(
    "PATCH",
    "/tenants/{id}/",
    "401 401 404 404 404 404 404 200 200",
    body=fixed(undo_days=3),
    things={"id": "tenant"},
    records="tenant.change",
)
endpoint(
    "DELETE",
    "/tenants/{id}/",
    "401 401 404 404 404 404 404 204 404",
    things={"id": "empty_tenant"},
    records="tenant.delete",
)
endpoint("GET", "/users/", "401 401 - - + - - + +", lists="viewer")
endpoint(
    "POST",
    "/users/",
    "401 401 403 201 403 403 403 201 201",
    body=fixed(username="zoe", email="zoe@example.org"),
    records="user.invite",
)
for method, answers, body, records in (
    ("GET", "401 401 404 404 200 404 404 200 200", None, ""),
    (
        "PATCH",
        "401 401 404 404 200 404 404 200 200",
        fixed(first_name="Zoë"),
        "user.change",
    ),
    ("DELETE", "401 401 404 404 403 404 404 204 204", None, "user.change"),
):
    endpoint(
        method,
        "/users/{id}/",
        answers,
        body=body,
        things={"id": "viewer"},
        records=records,
    )
endpoint(
    "POST",
    "/users/{id}/invitation/",
    "401 401 404 404 403 404 404 202 202",
    things={"id": "viewer"},
    records="user.invite",
)
endpoint(
    "POST",
    "/users/{id}/revoke-tokens/",
    "401 401 404 404 204 404 404 204 204",
    things={"id": "viewer"},
    records="token.revoke",
)
endpoint("GET", "/groups/", "401 401 - - - - - + +", lists="group")
endpoint(
    "POST",
    "/groups/",
    "401 401 403 201 403 403 403 201 201",
    body=fixed(name="Readers"),
    records="group.create",
)
for method, answers, body, records in (
    ("GET", "401 401 404 404 404 404 404 200 200", None, ""),
    (
        "PATCH",
        "401 401 404 404 404 404 404 200 200",
        fixed(name="Readers"),
        "group.change",
    ),
    ("DELETE", "401 401 404 404 404 404 404 204 204", None, "group.delete"),
):
    endpoint(
        method,
        "/groups/{id}/",
        answers,
        body=body,
        things={"id": "group"},
        records=records,
    )
endpoint("GET", "/objects/", "401 401 - - + + + + +", lists="object")
endpoint(
    "POST",
    "/objects/",
    "401 401 201 201 201 201 201 201 201",
    body=new_file,
    format="multipart",
    records="object.create",
)
endpoint("GET", "/objects/{id}/", "401 401 404 404 200 200 200 200 200")
endpoint(
    "PATCH",
    "/objects/{id}/",
    "401 401 404 404 403 200 200 200 200",
    body=fixed(name="other.txt"),
    records="object.rename",
)
endpoint(
    "DELETE",
    "/objects/{id}/",
    "401 401 404 404 403 204 204 204 204",
    records="object.delete",
)
endpoint(
    "POST",
    "/objects/{id}/restore/",
    "401 401 404 404 403 200 200 200 200",
    things={"id": "deleted_object"},
    records="object.undelete",
)
endpoint("GET", "/objects/{id}/content/", "401 401 404 404 200 200 200 200 200")
endpoint(
    "PUT",
    "/objects/{id}/content/",
    "401 401 404 404 403 200 200 200 200",
    body=some_bytes,
    format="text/plain",
    records="object.version",
)
endpoint(
    "PUT",
    "/content/{path}",
    "401 401 409 201 409 200 200 201 200",
    body=some_bytes,
    format="text/plain",
    things={"path": "path"},
    records="object.",
)
endpoint("GET", "/objects/{id}/versions/", "401 401 404 404 200 200 200 200 200")
endpoint(
    "GET",
    "/objects/{id}/versions/{number}/content/",
    "401 401 404 404 200 200 200 200 200",
    things={"number": "first_version"},
)
endpoint(
    "POST",
    "/objects/{id}/versions/{number}/restore/",
    "401 401 404 404 403 200 200 200 200",
    things={"number": "first_version"},
    records="object.restore",
)
endpoint(
    "GET",
    "/links/{token}/",
    "200 200 200 200 200 200 200 200 200",
    things={"token": "link_token"},
    anybody=True,
)
endpoint(
    "POST",
    "/uploads/",
    "401 401 201 201 201 201 201 201 201",
    body=some_bytes,
    format="application/offset+octet-stream",
    headers={"Tus-Resumable": "1.0.0", "Upload-Length": "11"},
    records="object.create",
)
endpoint(
    "PATCH",
    "/uploads/{id}/",
    "204 204 204 204 204 204 204 204 204",
    body=some_bytes,
    format="application/offset+octet-stream",
    headers={"Tus-Resumable": "1.0.0", "Upload-Offset": "0"},
    things={"id": "begun_upload"},
    anybody=True,
    records="object.create",
)
endpoint(
    "HEAD",
    "/uploads/{id}/",
    "200 200 200 200 200 200 200 200 200",
    headers={"Tus-Resumable": "1.0.0"},
    things={"id": "begun_upload"},
    anybody=True,
    in_schema=False,
)
endpoint(
    "DELETE",
    "/uploads/{id}/",
    "204 204 204 204 204 204 204 204 204",
    headers={"Tus-Resumable": "1.0.0"},
    things={"id": "begun_upload"},
    anybody=True,
    records="upload.give_up",
)
endpoint(
    "POST",
    "/uploads/direct/",
    "401 401 201 201 201 201 201 201 201",
    body=fixed(name="new.txt", size=9),
    in_bucket=True,
)
endpoint(
    "POST",
    "/uploads/direct/{id}/",
    "401 401 404 404 404 200 404 404 404",
    things={"id": "uploaded_directly"},
    records="object.create",
    in_bucket=True,
)
# The tests' own store takes no direct uploads, and nothing has come of the editor's.
endpoint(
    "POST",
    "/uploads/direct/",
    "401 401 409 409 409 409 409 409 409",
    body=fixed(name="new.txt", size=9),
)
endpoint(
    "POST",
    "/uploads/direct/{id}/",
    "401 401 404 404 404 409 404 404 404",
    things={"id": "direct_upload"},
)
endpoint(
    "DELETE",
    "/uploads/direct/{id}/",
    "401 401 404 404 404 204 404 404 404",
    things={"id": "direct_upload"},
    records="upload.give_up",
)
endpoint("GET", "/usage/", "401 401 200 200 200 200 200 200 200")
endpoint("GET", "/objects/{id}/permissions/", "401 401 404 404 403 403 200 200 403")
endpoint(
    "POST",
    "/objects/{id}/permissions/",
    "401 401 404 404 403 403 200 200 403",
    body=grant_to_user,
    records="permission.grant",
)
endpoint(
    "DELETE",
    "/objects/{id}/permissions/users/{holder}/",
    "401 401 404 404 403 403 204 204 403",
    things={"holder": "viewer"},
    records="permission.revoke",
)
endpoint(
    "DELETE",
    "/objects/{id}/permissions/groups/{holder}/",
    "401 401 404 404 403 403 204 204 403",
    things={"holder": "granted_group"},
    records="permission.revoke",
)
endpoint(
    "GET", "/default-permissions/", "401 401 403 - 403 403 403 + +", lists="default"
)
endpoint(
    "POST",
    "/default-permissions/",
    "401 401 403 400 403 403 403 400 201",
    body=grant_to_user,
    records="default.grant",
)
endpoint(
    "GET",
    "/default-permissions/{id}/",
    "401 401 403 404 403 403 403 200 200",
    things={"id": "default"},
)
endpoint(
    "DELETE",
    "/default-permissions/{id}/",
    "401 401 403 404 403 403 403 204 204",
    things={"id": "default"},
    records="default.revoke",
)
endpoint("GET", "/shares/", "401 401 - - - - + + +", lists="share")
endpoint(
    "POST",
    "/shares/",
    "401 401 404 404 403 403 201 201 403",
    body=share_of_object,
    records="share.create",
)
endpoint(
    "GET",
    "/shares/{id}/",
    "401 401 404 404 404 404 200 200 200",
    things={"id": "share"},
)
endpoint(
    "DELETE",
    "/shares/{id}/",
    "401 401 404 404 404 404 204 204 204",
    things={"id": "share"},
    records="share.revoke",
)
endpoint("GET", "/audit/", "401 401 403 - 403 403 403 + +", lists="entry")
endpoint(
    "GET",
    "/audit/{id}/",
    "401 401 403 404 403 403 403 200 200",
    things={"id": "entry"},
)
endpoint("GET", "/jobs/", "401 401 - - - + - + +", lists="job")
endpoint(
    "GET",
    "/jobs/{id}/",
    "401 401 404 404 404 200 404 200 200",
    things={"id": "job"},
)
endpoint(
    "POST",
    "/jobs/{id}/cancel/",
    "401 401 404 404 404 200 404 200 200",
    things={"id": "job"},
    records="job.cancel",
)
# Those of a folder are their owner's alone, those of an event of all who may edit it.
for thing, about, seen, listed in (
    ("export", "", "401 401 404 404 404 404 {0} {0} {0}", "401 401 - - - - + + +"),
    (
        "event_export",
        "of an event",
        "401 401 404 404 404 {0} {0} {0} {0}",
        "401 401 - - - + + + +",
    ),
):
    endpoint("GET", "/exports/", listed, about=about, lists=thing)
    endpoint(
        "POST",
        "/exports/",
        seen.format(201) if about else "401 401 201 201 201 201 201 201 201",
        about=about,
        body=export_of_event if about else fixed(folder="papers"),
        records="export.start",
    )
    for method, path, status, body, records in (
        ("GET", "", 200, None, ""),
        ("DELETE", "", 204, None, "export.delete"),
        ("POST", "pin/", 200, fixed(is_pinned=True), "export.pin"),
        ("GET", "content/", 200, None, "export.download"),
    ):
        endpoint(
            method,
            f"/exports/{{id}}/{path}",
            seen.format(status),
            about=about,
            body=body,
            things={"id": thing},
            records=records,
        )
    endpoint(
        "POST",
        "/exports/{id}/cancel/",
        seen.format(200),
        about=about,
        things={"id": f"begun_{thing}"},
        records="job.cancel",
        follows="export.cancel",
    )
    endpoint(
        "POST",
        "/exports/import/",
        seen.format(202),
        about=about,
        body=import_of(thing),
        records="export.import",
    )
TABLE.append(
    Endpoint(
        "GET",
        "/s/{token}",
        ("200",) * len(COLUMNS),
        things={"token": "share_token"},
        anybody=True,
        records="share.download",
    )
)


for path in ("/schema/", "/docs/"):
    endpoint(
        "GET",
        path,
        "200 401 200 200 200 200 200 200 200",
        anybody=True,
        in_schema=False,
    )


def table() -> str:
    """Return the table in Markdown."""
    lines = [
        "| endpoint | " + " | ".join(COLUMNS) + " | in the audit |",
        "|---|" + "---|" * (len(COLUMNS) + 1),
    ]
    for one in TABLE:
        answers = " | ".join(SHOWN.get(answer, answer) for answer in one.answers)
        path = one.path.removeprefix("/api/v1")
        said = filter(None, (one.records.rstrip("."), one.follows))
        records = ", ".join(f"`{action}`" for action in said)
        name = f"`{one.method} {path}`"
        name += " on a bucket" if one.in_bucket else f" {one.about}".rstrip()
        lines.append(f"| {name} | {answers} | {records} |")
    return "\n".join(lines) + "\n"


def with_table(page: str) -> str:
    """Return the page with the table between its two marks."""
    before, _, rest = page.partition(BEGIN)
    after = rest.partition(END)[2]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(with_table(PAGE.read_text("utf-8")), "utf-8")
