"""Which files in a store are parts of uploads: `storage_orphans` asks for them."""

from __future__ import annotations

from collections.abc import Iterator

from tahoestorage.filenames import names_files
from uploads.models import Upload, UploadPart


@names_files(required=False)
def parts(alias: str) -> Iterator[str]:
    """Yield the names of parts, and of objects that the store makes of parts.

    Rows are made before the bytes are.
    """
    rows = UploadPart.objects.filter(upload__store=alias)
    yield from rows.values_list("key", flat=True).iterator()
    made = Upload.objects.filter(store=alias).exclude(assembly_key="").order_by()
    yield from made.values_list("assembly_key", flat=True).iterator()
