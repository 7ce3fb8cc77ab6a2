"""Files of before become objects of their tenant, where they are in the store.

Their bytes are read once, for their number and SHA-256. A file that is not there becomes
a version whose bytes are missing; the sweep measures it should it come back. Where the
store can't be asked, nothing is changed, and `migrate` can be run again.
"""

import mimetypes
from pathlib import PurePosixPath
from typing import Any

from django.core.files.storage import storages
from django.db import migrations
from django.db.models import F
from django.utils import timezone

from objects.reading import hashed

STORE = "default"


def adopt_files(apps: Any, schema_editor: Any) -> None:
    made: dict[str, Any] = {}
    for model, field, folder in (
        ("Speaker", "photo", "photos"),
        ("Session", "slides", "slides"),
    ):
        parts = apps.get_model("events", model).objects.select_related("event")
        places: dict[int, int] = {}
        for part in parts.order_by("event", "name" if model == "Speaker" else "pk"):
            place = places.get(part.event_id, 0)
            places[part.event_id] = place + 1
            part.position = place
            key = getattr(part, field).name
            if key:
                wanted = f"events/{part.event.slug}/{folder}"
                # One object of one file, whoever refers to it.
                if key not in made:
                    made[key] = adopt(apps, part.event.tenant_id, wanted, key)
                setattr(part, f"{field}_object", made[key])
            part.save()


def adopt(apps: Any, tenant_id: int, folder: str, key: str) -> Any:
    objects = apps.get_model("objects", "StoredObject").objects
    size: int | None = None
    sha256, missing_since = "", None
    try:
        size, sha256 = hashed(storages[STORE], key)
    except (FileNotFoundError, IsADirectoryError, NotADirectoryError):
        missing_since = timezone.now()
    name = free_name(objects, tenant_id, folder, PurePosixPath(key).name)
    media_type = mimetypes.guess_type(name)[0] or "application/octet-stream"
    found = objects.create(
        tenant_id=tenant_id,
        folder=folder,
        name=name,
        size=size or 0,
        sha256=sha256,
        content_type=media_type,
    )
    found.current = found.versions.create(
        number=1,
        state="stored",
        size=size,
        sha256=sha256,
        content_type=media_type,
        store=STORE,
        key=key,
        missing_since=missing_since,
    )
    found.save()
    apps.get_model("audit", "Entry").objects.create(
        action="object.recover",
        tenant_id=tenant_id,
        target_type="storedobject",
        target_id=str(found.pk),
        target_name=f"{folder}/{name}",
        details={"version": 1, "size": size, "sha256": sha256},
    )
    apps.get_model("accounts", "Tenant").objects.filter(pk=tenant_id).update(
        used_bytes=F("used_bytes") + (size or 0), used_objects=F("used_objects") + 1
    )
    return found


def free_name(objects: Any, tenant_id: int, folder: str, name: str) -> str:
    there = objects.filter(tenant_id=tenant_id, folder=folder, deleted_at=None)
    path, free, number = PurePosixPath(name), name, 2
    while there.filter(name=free).exists():
        free, number = f"{path.stem}-{number}{path.suffix}", number + 1
    return free


def publish(apps: Any, schema_editor: Any) -> None:
    # Anybody could see them until now.
    apps.get_model("events", "Event").objects.update(published=True)


class Migration(migrations.Migration):
    dependencies = (("events", "0005_objects"), ("audit", "0002_append_only"))
    operations = (
        migrations.RunPython(publish, migrations.RunPython.noop),
        migrations.RunPython(adopt_files, migrations.RunPython.noop),
    )
