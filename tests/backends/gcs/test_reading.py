"""Reading from Google Cloud Storage, packed files too."""

from __future__ import annotations

import gzip
import os
import time
import zipfile

import pytest
from django.core.files.base import ContentFile
from PIL import Image

from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.exceptions import DamagedDownload, StoreError
from tests.support.gcs_servers import CUT, GCS, refusal
from tests.support.gcs_storages import Make, read, save
from tests.support.large_files import archive, picture

# Reading


def test_a_small_file_is_read_by_one_request(gcs: GCS, make: Make) -> None:
    content = os.urandom(10_000)
    save(make(cache=False), "a", content)
    storage = make()
    gcs.front.reset()
    assert read(storage, "a") == content
    (sent,) = gcs.front.sent
    assert sent.kind == "read"
    assert sent.headers["range"] == "bytes=0-524287"
    # Otherwise Google unpacks what is packed, and sends all of it.
    assert sent.headers["accept-encoding"] == "gzip"
    # And what it is, is known by that.
    assert storage.size("a") == 10_000
    assert storage.exists("a")
    assert len(gcs.front.sent) == 1


def test_reading_does_not_forget_the_times(gcs: GCS, make: Make) -> None:
    created = make(cache=False).bucket.blob("a")
    created.upload_from_string(b"content")
    storage = make()
    gcs.front.reset()
    read(storage, "a")
    # A part of a file comes without them, or rounded.
    assert storage.get_modified_time("a") == created.updated
    assert gcs.front.kinds == ["read", "stat"]
    read(storage, "a")
    assert storage.get_modified_time("a") == created.updated
    assert storage.get_created_time("a") == created.time_created
    assert gcs.front.kinds == ["read", "stat", "read"]


@pytest.mark.parametrize("known", [True, False])
def test_a_member_of_an_archive_takes_three_requests(
    gcs: GCS, make: Make, known: bool
) -> None:
    content, member = archive(2_000_000)
    save(make(), "a.zip", content)
    storage = make(**({} if known else {"cache": False}))
    gcs.front.reset()
    with storage.open("a.zip") as file, zipfile.ZipFile(file) as opened:
        assert opened.read("10.bin") == member
    assert len(gcs.front.sent) == 3 - known


def test_frames_of_a_picture_take_few_requests(gcs: GCS, make: Make) -> None:
    content, frames = picture()
    storage = make()
    save(storage, "a.tiff", content)
    gcs.front.reset()
    with storage.open("a.tiff") as file, Image.open(file) as opened:
        for number, frame in enumerate(frames):
            opened.seek(number)
            assert opened.tobytes() == frame
    assert len(gcs.front.sent) <= 6, gcs.front.kinds


def test_an_empty_file_is_empty(gcs: GCS, make: Make) -> None:
    save(make(cache=False), "a", b"")
    gcs.front.reset()
    assert read(make(), "a") == b""
    assert gcs.front.kinds == ["read"]


def test_a_byte_of_a_great_file_costs_half_a_mebibyte(gcs: GCS, make: Make) -> None:
    content = os.urandom(9 << 20)
    storage = make()
    save(storage, "a", content)
    gcs.front.reset()
    with storage.open("a") as file:
        assert file.read(1) == content[:1]
        file.seek(8 << 20)
        assert file.read(1) == content[8 << 20 :][:1]
    ranges = [sent.headers["range"] for sent in gcs.front.sent]
    assert ranges == ["bytes=0-524287", "bytes=8388608-8912895"]
    assert read(storage, "a") == content


@pytest.mark.parametrize("act", ["replace", "delete"])
def test_a_file_that_is_replaced_while_it_is_read_is_not_mixed(
    gcs: GCS, make: Make, act: str
) -> None:
    storage, other = make(), make(cache=False, allow_overwrite=True)
    save(storage, "a", b"a" * 1_000_000)
    with storage.open("a") as file:
        assert file.read(10) == b"a" * 10
        if act == "replace":
            save(other, "a", b"b" * 1_000_000)
        else:
            other.delete("a")
        file.seek(900_000)
        with pytest.raises(DamagedDownload, match="replaced or deleted"):
            file.read(10)
    first, second = [sent for sent in gcs.front.sent if sent.kind == "read"]
    assert "ifGenerationMatch" not in first.query
    assert int(second.query["ifGenerationMatch"]) > 0


def test_a_body_that_is_cut_is_asked_for_again(gcs: GCS, storage: GCSStorage) -> None:
    content = os.urandom(300_000)
    save(storage, "a", content)
    gcs.front.play("read", CUT)
    assert read(storage, "a") == content
    assert gcs.front.kinds.count("read") == 2


def test_a_body_that_is_always_cut_is_an_error(gcs: GCS, storage: GCSStorage) -> None:
    save(storage, "a", os.urandom(300_000))
    gcs.front.play("read", *[CUT] * 50)
    with pytest.raises(StoreError, match="a: "):
        read(storage, "a")


def test_a_store_that_tells_no_generation_is_asked_for_it(gcs: GCS, make: Make) -> None:
    content = os.urandom(1_500_000)
    save(make(cache=False), "a", content)
    gcs.front.tells_generations = False
    gcs.front.sent.clear()
    storage = make()
    assert read(storage, "a") == content
    assert gcs.front.kinds[:2] == ["read", "stat"]
    assert set(gcs.front.kinds[2:]) == {"read"}
    assert "ifGenerationMatch" in gcs.front.sent[-1].query


def test_a_store_that_knows_no_ranges_is_not_believed(
    gcs: GCS, storage: GCSStorage
) -> None:
    save(storage, "a", b"a" * 1000)
    gcs.front.play("read", refusal(200, "all of it"))
    with storage.open("a") as file:
        file.seek(500)
        with pytest.raises(StoreError, match="ranges"):
            file.read(10)


# Packed files

STYLE = b"body { color: red }\n" * 1000


def test_what_is_packed_by_the_option_is_read_unpacked(gcs: GCS, make: Make) -> None:
    storage = make(gzip=True)
    save(storage, "a.css", STYLE)
    save(storage, "a.txt", STYLE)
    # Of each, the size of what is stored.
    assert storage.size("a.css") < 1000
    assert storage.size("a.txt") == len(STYLE)
    gcs.front.reset()
    assert read(make(gzip=True, cache=False), "a.css") == STYLE
    assert gcs.front.kinds == ["read"]
    with storage.open("a.css") as file:
        file.seek(10_000)
        assert file.read(20) == STYLE[10_000:10_020]
        file.seek(0)
        assert file.read(7) == STYLE[:7]
    assert read(storage, "a.txt") == STYLE
    with storage.open("a.css", "r") as text:
        assert text.readline() == "body { color: red }\n"


def test_without_the_option_what_is_stored_is_read_as_it_is(make: Make) -> None:
    save(make(gzip=True), "a.css", STYLE)
    packed = read(make(), "a.css")
    assert len(packed) == make().size("a.css") < len(STYLE)
    assert gzip.decompress(packed) == STYLE


@pytest.mark.parametrize("gzipped", [True, False])
def test_what_came_packed_goes_as_it_came(
    gcs: GCS, make: Make, bucket: str, gzipped: bool
) -> None:
    storage = make(gzip=gzipped)
    content = gzip.compress(STYLE)
    save(storage, "a.css.gz", content)
    known = gcs.front.object(bucket, "a.css.gz")
    assert known is not None
    assert known["contentEncoding"] == "gzip"
    assert read(storage, "a.css.gz") == content


@pytest.mark.parametrize("how", ["copy", "move"])
@pytest.mark.parametrize(
    ("source", "target"),
    [("a.css", "b.css"), ("a.tar.gz", "b.tar.gz"), ("a.tar.gz", "b.css")],
)
def test_a_copy_is_read_as_its_source_is(
    make: Make, how: str, source: str, target: str
) -> None:
    storage = make(gzip=True)
    content = STYLE if source == "a.css" else gzip.compress(STYLE)
    save(storage, source, content)
    getattr(storage, how)(source, target)
    assert read(storage, target) == content


def test_a_copy_that_would_be_read_otherwise_is_refused(make: Make) -> None:
    storage = make(gzip=True)
    save(storage, "a.css", STYLE)
    with pytest.raises(StoreError, match="choose another ending"):
        storage.move("a.css", "a.css.gz")
    assert storage.listdir("") == ([], ["a.css"])


def test_what_the_site_itself_packs_stays_packed(make: Make) -> None:
    storage = make(gzip=True, object_parameters={"content_encoding": "gzip"})
    content = gzip.compress(STYLE)
    save(storage, "a.css", content)
    assert read(storage, "a.css") == content


def test_equal_contents_are_packed_equally(make: Make) -> None:
    storage = make(gzip=True)
    save(storage, "a.css", STYLE)
    time.sleep(1.1)  # gzip files may tell when they were made
    save(storage, "b.css", STYLE)
    plain = make()
    assert read(plain, "a.css") == read(plain, "b.css")


def test_the_store_s_hashes_tell_whether_contents_are_equal(make: Make) -> None:
    storage = make(gzip=True)
    save(storage, "a.txt", b"content")
    save(storage, "a.css", STYLE)
    entry = storage.stat_object("a.txt", "a.txt")
    assert entry is not None
    hashes = storage.content_hashes(entry)
    assert hashes["md5"].hex() == "9a0364b9e99bb480dd25e1f0284c8555"
    assert hashes["crc32c"].hex() == "61af7533"
    assert storage.has_content("a.txt", ContentFile(b"content"))
    assert storage.has_content("a.txt", ContentFile(b"contents")) is False
    # What is packed is compared as it is packed.
    assert storage.has_content("a.css", ContentFile(STYLE)) is True
    assert storage.has_content("a.css", ContentFile(STYLE + b" ")) is False


def test_what_was_packed_is_read_unpacked_where_its_type_is_no_more(
    gcs: GCS, make: Make
) -> None:
    before = make(gzip=True, object_parameters={"metadata": {"of": "the site"}})
    save(before, "a.css", STYLE)
    before.copy("a.css", "b.css")
    storage = make(gzip=True, gzip_content_types=["text/html"], cache=False)
    for name in ("a.css", "b.css"):
        gcs.front.reset()
        assert read(storage, name) == STYLE
        # Its mark has to be asked for, once.
        assert gcs.front.kinds == ["read", "stat"]
        blob = storage.bucket.get_blob(name)
        assert blob.metadata["of"] == "the site"
    # The site's own stays as it is, and by its name costs no request.
    content = gzip.compress(STYLE)
    by_hand = make(gzip=True, object_parameters={"content_encoding": "gzip"})
    save(by_hand, "c.css", content)
    save(storage, "d.tar.gz", content)
    assert read(storage, "c.css") == content
    gcs.front.reset()
    assert read(storage, "d.tar.gz") == content
    assert gcs.front.kinds == ["read"]


# What another host has replaced

OLD = b"o" * 1_000_000


@pytest.mark.parametrize("new", [b"", b"n" * 10, b"n" * 2_000_000], ids=len)
def test_what_was_replaced_is_read_to_its_own_end(make: Make, new: bytes) -> None:
    storage, other = make(), make(cache=False, allow_overwrite=True)
    for place in (0, 500_000, 999_990, 1_500_000):
        name = f"{place}.bin"
        save(storage, name, OLD)
        other.bucket.blob(name).upload_from_string(new)
        with storage.open(name) as file:
            file.seek(place)
            assert file.read() == new[place:]
            assert file.seek(0, os.SEEK_END) == len(new) == file.size
        save(storage, f"told {name}", OLD)
        other.bucket.blob(f"told {name}").upload_from_string(new)
        with storage.open(f"told {name}") as file:
            assert file.size == len(OLD)
            with pytest.raises(DamagedDownload, match="open it again"):
                file.read()
        assert read(storage, f"told {name}") == new


def test_what_was_empty_by_the_cache_is_read_to_its_own_end(make: Make) -> None:
    storage, other = make(), make(cache=False)
    save(storage, "a", b"")
    other.bucket.blob("a").upload_from_string(b"new")
    assert storage.size("a") == 0
    assert read(storage, "a") == b"new"


def test_a_store_that_ignores_the_generation_is_not_believed(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage, other = make(), make(cache=False)
    save(storage, "a", OLD)
    monkeypatch.setattr(gcs.front, "_condition", lambda sent: None)
    with storage.open("a") as file:
        assert file.read(10) == OLD[:10]
        other.bucket.blob("a").upload_from_string(b"n" * len(OLD))
        file.seek(900_000)
        with pytest.raises(DamagedDownload, match="replaced"):
            file.read(10)


def test_damaged_packed_content_is_said_to_be(make: Make) -> None:
    storage = make(gzip=True)
    packed = gzip.compress(os.urandom(500_000))
    blob = storage.bucket.blob("a.css")
    blob.content_encoding = "gzip"
    blob.upload_from_string(packed[:300_000], content_type="text/css")
    for act in ("read", "readlines", "seek"):
        with (
            storage.open("a.css") as file,
            pytest.raises(DamagedDownload, match=r"a\.css"),
        ):
            file.seek(400_000) if act == "seek" else getattr(file, act)()


def test_what_others_have_packed_of_other_types_stays_packed(make: Make) -> None:
    storage, content = make(gzip=True), gzip.compress(STYLE)
    for name, kind in (("a.css", "text/css"), ("a.bin", "application/octet-stream")):
        blob = storage.bucket.blob(name)
        blob.content_encoding = "gzip"
        blob.upload_from_string(content, content_type=kind)
    assert read(storage, "a.bin") == content
    # As releases without a mark have packed it.
    assert read(storage, "a.css") == STYLE
