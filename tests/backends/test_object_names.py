"""Names on stores of objects that are not as saves write them: coherent, and kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.exceptions import FileMissing, NameIsDirectory, NameTaken
from tests.support.bucket import Bucket
from tests.support.gcs_servers import GCS
from tests.support.gcs_storages import Make
from tests.support.s3_storages import MakeS3

NFC = unicodedata.normalize("NFC", "ordner/Bär.txt")
NFD = unicodedata.normalize("NFD", NFC)
Put = Callable[[Cached, str, bytes], None]


@pytest.fixture(params=["s3", "gcs"])
def storage(request: pytest.FixtureRequest) -> Any:
    if request.param == "s3":
        make_s3: MakeS3 = request.getfixturevalue("make_s3")
        return make_s3()
    make: Make = request.getfixturevalue("make")
    return make()


def put(storage: Any, key: str, content: bytes) -> None:
    """Put an object there as another program does."""
    if hasattr(storage, "endpoint_url"):
        storage.client.put_object(Bucket=storage.bucket_name, Key=key, Body=content)
    else:
        storage.bucket.blob(key).upload_from_string(content)


def keys(storage: Any) -> list[str]:
    return sorted(name for name, _ in storage.listed())


def write(storage: Any, name: str, mode: str = "wb") -> None:
    with storage.open(name, mode) as file:
        file.write(b"content")


@pytest.mark.parametrize("given", [NFD, NFC, f"{NFC}/", f"{NFD}/"])
def test_what_is_written_by_open_has_the_name_that_saves_give(
    storage: Any, given: str
) -> None:
    write(storage, given)
    assert keys(storage) == [NFC]
    with pytest.raises(NameTaken):
        write(storage, given, "xb")
    for name in (NFC, NFD, f"{NFD}/"):
        assert storage.exists(name)
        assert storage.size(name) == 7
        storage.get_modified_time(name)
        with storage.open(name) as file:
            assert file.read() == b"content"
    assert storage.url(NFC) == storage.url(NFD)
    assert storage.copy(NFD, f"copy of {NFD}") == f"copy of {NFC}"
    assert storage.move(NFD, "moved/") == "moved"
    storage.delete("moved/")
    assert keys(storage) == [f"copy of {NFC}"]
    assert not storage.exists(NFD)
    with pytest.raises(FileMissing):
        storage.open(NFD)


def test_what_others_have_named_in_another_form_stays_reachable(storage: Any) -> None:
    check_foreign(storage, NFD, NFC)


def test_what_others_have_named_with_a_slash_stays_reachable(s3: S3Storage) -> None:
    # The emulator of Google's store keeps both at one place.
    check_foreign(s3, "folder/", "folder")


def check_foreign(storage: Any, foreign: str, saved: str) -> None:
    put(storage, foreign, b"foreign")
    assert storage.exists(foreign)
    assert not storage.exists(saved)
    write(storage, saved)
    assert keys(storage) == sorted([foreign, saved])
    with storage.open(foreign) as theirs, storage.open(saved) as ours:
        assert (theirs.read(), ours.read()) == (b"foreign", b"content")
    assert storage.url(foreign) != storage.url(saved)
    assert storage.copy(foreign, "copy") == "copy"
    with storage.open("copy") as copy:
        assert copy.read() == b"foreign"
    storage.delete(foreign)
    assert keys(storage) == sorted(["copy", saved])


def test_only_names_that_are_written_otherwise_are_looked_for_twice() -> None:
    storage = Bucket()
    for name in (NFC, "a.txt", "./a.txt"):
        storage.asked.clear()
        assert not storage.exists(name)
        assert storage.asked == ["stat"]


@pytest.mark.parametrize("name", ["", None, ".", "/"])
def test_the_root_has_no_signed_url(storage: Any, name: str | None) -> None:
    with pytest.raises(NameIsDirectory, match="root"):
        storage.url(name)


def test_the_root_and_folders_have_public_urls(
    make_s3: MakeS3, gcs: GCS, make: Make
) -> None:
    # Templates put the rest behind them.
    domain = make_s3(custom_domain="cdn.example.com", location="static")
    public = make(querystring_auth=False, location="static")
    for storage in (domain, public):
        for name in ("", "js/"):
            assert storage.url(name).endswith(f"static/{name}"), name
