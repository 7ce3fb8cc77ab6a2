"""Fills a site with people and files, for tests that look at its pages.

Run within the site, as ``manage.py shell -c "from ... import fill; fill()"``.
"""

from __future__ import annotations

import io
from datetime import timedelta

from django.utils import timezone
from PIL import Image, ImageDraw

from accounts.models import Tenant, User
from exports import starting
from jobs.models import Job
from objects import changing, storing
from objects.access import Access
from objects.grants import grant
from objects.incoming import IncomingFile
from objects.models import StoredObject, Version
from pages.models import Failure

PASSWORD = "of-the-tests"
LONG = (
    "minutes-of-the-extraordinary-general-assembly-of-the-society-for-the-preservation-"
    "of-industrial-heritage-second-corrected-draft-with-annexes.txt"
)
PDF = b"""%PDF-1.4
1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj
2 0 obj<</Type/Pages/Kids[3 0 R]/Count 1>>endobj
3 0 obj<</Type/Page/Parent 2 0 R/MediaBox[0 0 300 200]/Contents 4 0 R>>endobj
4 0 obj<</Length 70>>stream
0.04 0.42 0.39 rg 30 40 110 120 re f 0.9 0.6 0.2 rg 160 40 90 60 re f
endstream endobj
trailer<</Root 1 0 R>>
"""


def picture(number: int, size: tuple[int, int] = (900, 600)) -> bytes:
    """Return a photograph of sorts, each another."""
    image = Image.new("RGB", size, (40 + number * 37 % 160, 90, 60 + number * 53 % 150))
    draw = ImageDraw.Draw(image)
    width, height = size
    for line in range(0, height, 8):
        shade = 80 + line * 140 // height
        draw.line((0, line, width, line), (shade, shade - 20, 160 - line // 8), 8)
    left = number * 97 % (width // 2)
    draw.ellipse((left, 80, left + 180, 260), (250, 220, 130))
    draw.polygon(
        ((0, height), (width // 3, height // 2), (width * 2 // 3, height)), (60, 80, 70)
    )
    made = io.BytesIO()
    image.save(made, "JPEG", quality=70)
    return made.getvalue()


def put(
    user: User, folder: str, name: str, content: bytes, kind: str = "text/plain"
) -> Version:
    """Store a file of the user's."""
    return storing.store(
        IncomingFile(io.BytesIO(content), len(content), kind),
        tenant=user.tenant,
        user=user,
        folder=folder,
        name=name,
    )


def fill(video: bytes = b"", mebibytes: int = 100) -> None:
    """Make two tenants, their people, and files of each kind in folders.

    ``video`` is a film, and ``mebibytes`` what the first tenant may use.
    """
    acme = Tenant.objects.create(
        name="Acme Archive", slug="acme", max_bytes=mebibytes << 20
    )
    other = Tenant.objects.create(name="Globex", slug="globex")
    ann, bob, _cleo = (
        User.objects.create_user(
            name,
            f"{name}@example.org",
            PASSWORD,
            tenant=tenant,
            is_administrator=name == "ann",
        )
        for name, tenant in (("ann", acme), ("bob", acme), ("cleo", other))
    )
    for number in range(12):
        put(
            ann,
            "photos/2026",
            f"harbour-{number + 1:02}.jpg",
            picture(number),
            "image/jpeg",
        )
    text = "A line of a text that is long enough to be read.\n" * 60
    put(ann, "papers", "plan.txt", b"The first plan.\n")
    put(ann, "papers", "plan.txt", text.encode())
    put(ann, "papers", LONG, text.encode())
    put(ann, "papers", "survey.pdf", PDF, "application/pdf")
    put(ann, "papers", "budget.ods", b"PK" * 900, "application/vnd.oasis")
    put(ann, "", "read me.txt", b"Files of the archive.\n")
    put(ann, "", "bridge.jpg", picture(20), "image/jpeg")
    put(ann, "", "letters.zip", b"PK" * 5000, "application/zip")
    if video:
        put(ann, "films", "ferry.webm", video, "video/webm")
    gone = put(ann, "papers", "old draft.txt", b"Gone.").object
    changing.delete(gone.pk, actor=ann)
    shared = StoredObject.objects.get(name="plan.txt")
    grant(shared, bob, Access.VIEW, actor=ann)


def fill_usage() -> None:
    """Let the first tenant have uploaded for weeks, and bob have begun an export.

    The next worker makes that.
    """
    acme, now = Tenant.objects.get(slug="acme"), timezone.now()
    ann, bob = (acme.users.get(username=name) for name in ("ann", "bob"))
    sizes = ((26, 3100), (19, 1200), (15, 2400), (8, 700), (3, 1800))
    for number, (days, kilobytes) in enumerate(sizes, 1):
        name, content = f"scans-{number}.tar", bytes(kilobytes * 1000)
        made = put(bob, "archive/2025", name, content, "application/x-tar")
        at = now - timedelta(days=days)
        Version.objects.filter(pk=made.pk).update(created_at=at)
    gone = put(ann, "papers", "old scans.tar", bytes(4_200_000), "application/x-tar")
    changing.delete(gone.object_id, actor=ann)
    starting.start_folder(bob, "archive")


def fill_status() -> None:
    """Make an operator, olga, and what the status page tells her of the other tenant.

    No worker takes the jobs: one is held for long, one is not due yet.
    """
    now = timezone.now()
    operator = Tenant.objects.get(is_super=True)
    User.objects.create_user(
        "olga",
        "olga@example.org",
        PASSWORD,
        tenant=operator,
        is_administrator=True,
    )
    cleo = User.objects.get(username="cleo")
    lost = put(cleo, "papers/2025", LONG, b"Lost.")
    Version.objects.filter(pk=lost.pk).update(missing_since=now)
    for ago, source, count, text in (
        (1, "tahoestorage.outage", 41, f"The store default is away: {LONG}"),
        (40, "tahoestorage.cache", 1, "The cache: no space left on device"),
        (3000, "jobs.running", 2, "exports.export failed (StoreUnreachable)"),
    ):
        at = now - timedelta(minutes=ago)
        Failure.objects.create(at=at, source=source, count=count, text=text)
    whose = {"owner": cleo, "tenant": cleo.tenant, "kind": "exports.export"}
    soon, state = now + timedelta(minutes=45), Job.State
    for more in (
        {
            "state": state.FAILED,
            "attempts": 5,
            "error": "The store failed. Please try again later.",
            "finished_at": now,
        },
        {
            "state": state.RUNNING,
            "lease_until": soon,
            "started_at": now,
            "done": 3 << 28,
            "of": 1 << 30,
        },
        {"state": state.WAITING, "due_at": soon, "kind": "exports.import"},
        {"state": state.CANCELLED, "finished_at": now},
    ):
        Job.objects.create(**(whose | more))
