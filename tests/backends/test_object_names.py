"""Names on stores of objects that are not as saves write them: coherent, and kept."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile

from tahoestorage.backends.cached import Cached
from tahoestorage.backends.objectstore import TRIAL
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.entries import Entry
from tahoestorage.exceptions import (
    FileMissing,
    NameIsDirectory,
    NameTaken,
    StoreError,
    StoreForbids,
    StoreUnreachable,
)
from tahoestorage.moving.objects import Objects
from tests.support.bucket import Bucket
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
    storage.delete(NFD)
    assert keys(storage) == [f"copy of {NFC}"]
    assert storage.move(f"copy of {NFC}", f"{NFD}/") == NFC
    assert keys(storage) == [NFC]
    storage.delete(NFC)
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


def test_a_delete_of_a_folders_mark_spares_the_file_also_when_repeated(
    s3: S3Storage,
) -> None:
    put(s3, "photos", b"a file")
    put(s3, "photos/", b"")
    for _ in range(2):
        s3.delete("photos/")
        assert keys(s3) == ["photos"]


@pytest.mark.parametrize("foreign", [NFD, f"{NFC}/", f"{NFD}/"])
def test_a_move_that_is_repeated_takes_no_other_file(
    s3: S3Storage, foreign: str
) -> None:
    put(s3, foreign, b"foreign")
    put(s3, NFC, b"ours")
    assert s3.move(foreign, "first") == "first"
    with pytest.raises(FileMissing):
        s3.move(foreign, "second")
    assert keys(s3) == sorted(["first", NFC])


def test_what_was_missing_before_is_looked_for_again(storage: Any) -> None:
    write(storage, NFC)
    # Its name in the other form is now cached as missing.
    assert storage.exists(NFD)
    put(storage, NFD, b"foreign")
    with storage.open(NFD) as file:
        assert file.read() == b"foreign"


@pytest.mark.parametrize(
    "act",
    [
        lambda storage: storage.delete(NFD),
        lambda storage: storage.move(NFD, "moved"),
        lambda storage: write(storage, NFD),
    ],
    ids=["delete", "move", "write"],
)
def test_what_was_missing_before_is_changed_and_not_its_twin(
    storage: Any, act: Callable[[Any], None]
) -> None:
    put(storage, NFC, b"ours")
    assert storage.exists(NFD)
    put(storage, NFD, b"foreign")
    act(storage)
    with storage.open(NFC) as file:
        assert file.read() == b"ours"
    assert dict(storage.listed())[NFC].size == 4
    listed = dict(storage.listed())
    assert NFD not in listed or listed[NFD].size == len(b"content")


def test_size_and_url_are_of_what_has_come_since(storage: Any) -> None:
    put(storage, NFC, b"ours")
    assert storage.exists(NFD)
    put(storage, NFD, b"foreign")
    assert storage.size(NFD) == 7
    assert storage.url(NFD) != storage.url(NFC)


@pytest.mark.parametrize("given", [NFD, f"{NFD}/"])
def test_a_name_is_taken_by_an_object_in_either_form(s3: S3Storage, given: str) -> None:
    assert not s3.exists(given)
    put(s3, given, b"foreign")
    with pytest.raises(NameTaken):
        s3.open(given, "xb")
    assert keys(s3) == [given]


def test_a_name_that_others_take_meanwhile_is_taken_at_the_end(storage: Any) -> None:
    file = storage.open(NFD, "xb")
    file.write(b"content")
    put(storage, NFD, b"foreign")
    with pytest.raises(NameTaken):
        file.close()
    file.discard()
    assert keys(storage) == [NFD]


class Reserved(Bucket):
    """A bucket that says of nothing that it is missing: its list is forbidden."""

    refusal: type[StoreError] = StoreForbids

    def key_of(self, name: str) -> str:
        return name

    def stat_object(self, key: str, label: str) -> Entry:
        try:
            return super().stat_object(key, label)
        except FileMissing:
            raise self.refusal(f"{label}: not for you") from None

    def url(self, name: str | None) -> str:
        return self._shown(str(name))


def test_what_needs_no_look_is_not_refused_for_the_look_s_sake() -> None:
    storage = Reserved()
    write(storage, NFD)
    assert [*storage.objects] == [NFD]
    storage.put(NFC, b"ours")
    with storage.open(NFD) as file:
        assert file.read() == b"content"
    for _ in range(2):
        storage.delete(NFD)
        assert [*storage.objects] == [NFC]
    assert storage.url(NFD) == NFD
    with pytest.raises(StoreForbids):
        storage.exists(NFD)


@pytest.mark.parametrize("refusal", [StoreError, StoreForbids, StoreUnreachable])
def test_a_url_is_made_whatever_the_store_says(refusal: type[StoreError]) -> None:
    storage = Reserved()
    storage.refusal = refusal
    assert storage.url(NFD) == NFD


class Spelled(Bucket):
    """A bucket whose keys are in the Unicode form of the names."""

    def key_of(self, name: str) -> str:
        return name


@pytest.mark.parametrize("overwriting", [False, True])
def test_a_save_looks_for_no_more_than_it_must(overwriting: bool) -> None:
    storage = Spelled(file_overwrite=overwriting)
    usual = ["put"] if overwriting else ["stat", "put"]
    for name in ("a.txt", NFC):
        storage.save(name, ContentFile(b"content"))
        assert storage.asked == usual
        storage.asked.clear()
    storage.save(f"x{NFD}", ContentFile(b"content"))
    assert storage.asked == ["stat", *usual]


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


def test_the_root_and_folders_have_public_urls(make_s3: MakeS3, make: Make) -> None:
    # Templates put the rest behind them.
    domain = make_s3(custom_domain="cdn.example.com", location="static")
    public = make(querystring_auth=False, location="static")
    for storage in (domain, public):
        for name in ("", "js/"):
            assert storage.url(name).endswith(f"static/{name}"), name


@pytest.mark.parametrize("name", [f"dir/{TRIAL}", f"{TRIAL}-1.txt", f"a/../{TRIAL}"])
def test_the_names_of_trials_are_nobody_s(storage: Any, name: str) -> None:
    put(storage, "a", b"content")
    refused: list[Callable[[], object]] = [
        lambda: storage.save(name, ContentFile(b"content")),
        lambda: storage.open(name, "wb"),
        lambda: storage.open(name, "xb"),
        lambda: storage.copy("a", name),
        lambda: storage.copy(name, "b"),
        lambda: storage.move("a", name),
        lambda: storage.move(name, "b"),
        lambda: storage.delete(name),
        lambda: storage.upload_url(name, "text/plain", 1),
    ]
    for attempt in refused:
        with pytest.raises(SuspiciousFileOperation, match=TRIAL):
            attempt()
    assert Objects(storage).refuses(name) is not None
    assert storage.listdir("") == ([], ["a"])
    assert storage.save(f"{TRIAL}s/b", ContentFile(b"content")) == f"{TRIAL}s/b"
