"""The trials on each store: what a site does, and whether the result is right."""

from __future__ import annotations

import gzip
import io
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit, urlunsplit

import requests
from django.contrib.staticfiles.finders import get_finder
from django.contrib.staticfiles.storage import staticfiles_storage
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import CommandError, call_command
from django.test import override_settings
from django.utils.module_loading import import_string

from benchmarks.compatibility.servers import GCS, S3, TAHOE, RunningStore
from tahoestorage.exceptions import NotConditional

STYLE = b"body { color: #123456 }\n" * 1000
# More than one request takes, on S3 and on Google's.
LARGE = 20 << 20
# More than a page of theirs. A grid has no pages, and takes a second for some names.
MANY = {S3: 1100, GCS: 1100, TAHOE: 50}
PATIENCE = 30.0


class TrialBucket(NamedTuple):
    """A new, empty bucket or root, and what all storages on it are given."""

    backend: str
    options: dict[str, Any]

    def storage(self, **options: Any) -> Any:
        """Return a storage that remembers nothing."""
        given = {**self.options, "cache": False, **options}
        return import_string(self.backend)(**given)


def bucket_of(store: RunningStore, **options: Any) -> TrialBucket:
    """Return a new one."""
    return TrialBucket(store.backend, {**store.options(), **options})


def _read(storage: Any, name: str) -> bytes:
    with storage.open(name) as file:
        return bytes(file.read())


def _save(storage: Any, name: str, content: bytes) -> str:
    return str(storage.save(name, ContentFile(content)))


def in_turn(bucket: TrialBucket) -> None:
    """Save one name twice, and read both."""
    storage = bucket.storage()
    names = [_save(storage, "dir/a.txt", content) for content in (b"one", b"two")]
    assert names[0] == "dir/a.txt" != names[1], names
    assert [_read(storage, name) for name in names] == [b"one", b"two"]
    assert [storage.size(name) for name in names] == [3, 3]


def at_once(bucket: TrialBucket) -> None:
    """Save one name sixteen times at once, and read all."""
    storage, barrier = bucket.storage(), threading.Barrier(16)
    found: dict[str, bytes] = {}
    failed: list[Exception] = []

    def one(number: int) -> None:
        content = f"content {number}".encode()
        barrier.wait()
        try:
            name = _save(storage, "dir/a.txt", content)
        except Exception as error:
            failed.append(error)
        else:
            found[name] = content

    threads = [threading.Thread(target=one, args=(n,)) for n in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    assert len(found) == 16, f"{len(found)} names for 16 files"
    lost = [name for name, content in found.items() if _read(storage, name) != content]
    assert not lost, f"{len(lost)} of 16 files were lost"


def in_parts(bucket: TrialBucket) -> None:
    """Save what takes several requests, twice."""
    storage = bucket.storage()
    contents = [os.urandom(LARGE), os.urandom(LARGE)]
    names = [_save(storage, "large.bin", content) for content in contents]
    assert names[0] != names[1]
    for name, content in zip(names, contents, strict=True):
        assert _read(storage, name) == content, "other content"


def ranges(bucket: TrialBucket) -> None:
    """Read from the middle, from the end, and all."""
    storage, content = bucket.storage(), os.urandom(3 << 20)
    _save(storage, "a.bin", content)
    with storage.open("a.bin") as file:
        file.seek(2_000_000)
        assert file.read(10) == content[2_000_000:2_000_010]
        file.seek(-7, os.SEEK_END)
        assert file.read() == content[-7:]
        file.seek(0)
        assert file.read() == content
    _save(storage, "empty", b"")
    assert _read(storage, "empty") == b""


def copy(bucket: TrialBucket) -> None:
    """Copy to a free name, and not to a taken one."""
    storage = bucket.storage()
    _save(storage, "a", b"one")
    assert storage.copy("a", "b") == "b"
    assert _read(storage, "b") == b"one"
    _save(storage, "c", b"three")
    try:
        storage.copy("a", "c")
    except FileExistsError:
        pass
    else:
        raise AssertionError("it was overwritten")
    assert _read(storage, "c") == b"three"


def move(bucket: TrialBucket) -> None:
    """Move to another name."""
    storage = bucket.storage()
    _save(storage, "a", b"one")
    assert storage.move("a", "dir/b") == "dir/b"
    assert _read(storage, "dir/b") == b"one"
    assert not storage.exists("a")


def delete(bucket: TrialBucket) -> None:
    """Delete what is there, and what is not; save it again."""
    storage = bucket.storage()
    _save(storage, "dir/a", b"one")
    storage.delete("dir/a")
    storage.delete("dir/a")
    assert not storage.exists("dir/a")
    assert _save(storage, "dir/a", b"two") == "dir/a"


def packed(bucket: TrialBucket) -> None:
    """Save a text that is packed on its way, and what was packed before."""
    storage = bucket.storage(gzip=True)
    found = _read(storage, _save(storage, "a.css", STYLE))
    assert found == STYLE, "a.css is not read as it was saved"
    assert storage.size("a.css") < len(STYLE), "a.css was not packed"
    archive = gzip.compress(STYLE)
    found = _read(storage, _save(storage, "a.tar.gz", archive))
    assert found == archive, "a.tar.gz is not read as it was saved"


def https(bucket: TrialBucket) -> None:
    """Save, write over it, and read back; also what is packed."""
    storage = bucket.storage()
    _save(storage, "a.txt", b"one")
    assert _read(storage, "a.txt") == b"one", "other content"
    with storage.open("a.txt", "wb") as file:
        file.write(b"two")
    assert _read(storage, "a.txt") == b"two", "other content"
    packed(bucket)


def listings(bucket: TrialBucket) -> None:
    """List more than a page has."""
    storage = bucket.storage()
    names = {f"d/{number}" for number in range(MANY[bucket.backend])}
    pending = iter(sorted(names))
    lock = threading.Lock()

    def some() -> None:
        while True:
            with lock:
                name = next(pending, None)
            if name is None:
                return
            _save(storage, name, b"x")

    threads = [threading.Thread(target=some) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    _save(storage, "d/e/below", b"x")
    directories, files = storage.listdir("d")
    assert directories == ["e"], f"{directories} instead of ['e']"
    assert {f"d/{name}" for name in files} == names, (
        f"{len(files)} of {len(names)} names"
    )
    assert storage.listdir("") == (["d"], [])


def visitors_upload(bucket: TrialBucket) -> None:
    """Upload as a visitor, and not over what is there."""
    storage = bucket.storage()
    upload = storage.upload_url("dir/a.txt", "text/plain", 7)

    def send(content: bytes) -> int:
        status: int = requests.request(
            upload.method, upload.url, data=content, headers=upload.headers, timeout=9
        ).status_code
        return status

    status = send(b"content")
    assert status < 300, f"{status} for the upload"
    assert _read(storage, "dir/a.txt") == b"content"
    status = send(b"another")
    assert status == 412, f"{status} for an upload over it"
    assert _read(storage, "dir/a.txt") == b"content"


def url(bucket: TrialBucket) -> None:
    """Read by the URL, as a visitor."""
    storage = bucket.storage()
    _save(storage, "dir/ä b.txt", b"content")
    response = requests.get(storage.url("/dir/ä b.txt"), timeout=9)
    assert response.status_code == 200, f"{response.status_code} for the URL"
    assert response.content == b"content", "other content"


def forged(bucket: TrialBucket) -> None:
    """Read by a signed URL, and not by one that was changed."""
    url(bucket)
    storage = bucket.storage()
    _save(storage, "secret.txt", b"secret")
    parts = urlsplit(storage.url("dir/ä b.txt"))
    path = parts.path.replace(parts.path.rpartition("/")[2], "").removesuffix("dir/")
    wrong = urlunsplit(parts._replace(path=f"{path}secret.txt"))
    status = requests.get(wrong, timeout=9).status_code
    assert status in (400, 401, 403), f"{status} for a forged URL"


@contextmanager
def _site(bucket: TrialBucket, folder: str, **aliases: Any) -> Iterator[None]:
    options = {**bucket.options, "cache": False}
    ours = {"BACKEND": bucket.backend, "OPTIONS": options}
    wrapper: Any = staticfiles_storage
    before = wrapper._wrapped
    with override_settings(
        STORAGES={"default": ours, "staticfiles": ours, **aliases},
        STATICFILES_DIRS=[folder],
        STATIC_URL="/static/",
    ):
        wrapper._wrapped = storages["staticfiles"]
        get_finder.cache_clear()  # type: ignore[attr-defined]
        try:
            yield
        finally:
            wrapper._wrapped = before
            get_finder.cache_clear()  # type: ignore[attr-defined]


def static_files(bucket: TrialBucket) -> None:
    """Collect static files twice: the second time nothing is sent."""
    with tempfile.TemporaryDirectory() as folder, _site(bucket, folder):
        for number in range(20):
            Path(folder, f"{number}.css").write_bytes(STYLE + b"%d" % number)
        said = io.StringIO()
        for _ in range(2):
            call_command("collectstatic", "--no-input", stdout=said)
        said_twice = said.getvalue()
        assert "20 static files copied" in said_twice, said_twice
        assert "0 static files copied, 20 unmodified" in said_twice, said_twice
        assert _read(storages["staticfiles"], "7.css") == STYLE + b"7"


def copies(bucket: TrialBucket) -> None:
    """Copy a folder there by storage_copy, again, and back."""
    files = "django.core.files.storage.FileSystemStorage"
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "here"), Path(folder, "back")
        contents = {f"d{n % 3}/{n}.bin": os.urandom(n * 100) for n in range(30)}
        for name, content in contents.items():
            path = paths[0] / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        aliases = {
            path.name: {"BACKEND": files, "OPTIONS": {"location": str(path)}}
            for path in paths
        }
        with _site(bucket, folder, **aliases):
            out = io.StringIO()
            quiet = {"stdout": out, "stderr": out}
            try:
                call_command("storage_copy", "here", "default", "--verify", **quiet)
                call_command("storage_copy", "here", "default", **quiet)
                call_command("storage_copy", "default", "back", "--verify", **quiet)
            except CommandError as error:
                if "refuse" in out.getvalue():
                    raise NotConditional("storage_copy") from error
                raise
        found = {
            str(path.relative_to(paths[1])): path.read_bytes()
            for path in paths[1].rglob("*.bin")
        }
        assert found == contents, f"{len(found)} of {len(contents)} files came back"


class Trial(NamedTuple):
    """A row of the table. ``safe`` says that it is about not overwriting."""

    name: str
    run: Callable[[TrialBucket], None]
    safe: bool = False
    https: bool = False


TRIALS = (
    Trial("save one after another", in_turn, safe=True),
    Trial("16 saves of one name at once", at_once, safe=True),
    Trial("save in parts", in_parts, safe=True),
    Trial("open, by ranges", ranges),
    Trial("delete", delete),
    Trial("copy", copy, safe=True),
    Trial("move", move, safe=True),
    Trial("gzip=True", packed),
    Trial("over https", https, https=True),
    Trial("listdir of more than a page", listings),
    Trial("url", url),
    Trial("a signed URL; a forged one is refused", forged),
    Trial("upload_url, which can't overwrite", visitors_upload, safe=True),
    Trial("collectstatic", static_files),
    Trial("storage_copy there and back", copies, safe=True),
)
