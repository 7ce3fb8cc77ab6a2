"""Files that are opened: read from the grid, or written and published when closed."""

from __future__ import annotations

import gc
import io
import itertools
import os
import zipfile
from pathlib import Path
from typing import Any

import pytest
from django.core.files.base import ContentFile
from django.db import models
from django.test.utils import isolate_apps
from PIL import Image

from tahoestorage.backends.storedfile import mode_of
from tahoestorage.storage import TahoeStorage
from tests.conftest import MakeStorage, requests_sent
from tests.support.proxy import Proxy, SendResponse

LONG = bytes(range(256)) * 1000


@pytest.fixture
def stored(storage: TahoeStorage) -> TahoeStorage:
    """A storage that holds ``f``."""
    storage.save("f", ContentFile(LONG))
    return storage


def read(storage: TahoeStorage, name: str) -> Any:
    with storage.open(name) as file:
        return file.read()


# Modes


def test_other_modes_are_refused(stored: TahoeStorage) -> None:
    for mode in "a", "ab", "+ta", "r+", "rb+", "+br", "t+r":
        with pytest.raises(ValueError, match="only replaced as a whole"):
            stored.open("f", mode)
    for mode in "", "b", "t", "+", "rw", "rr", "wbt", "w++", "U", "rU", "z", "w,b":
        with pytest.raises(ValueError, match="is none"):
            stored.open("f", mode)
    assert read(stored, "f") == LONG


def test_modes_are_those_of_open_but_for_changes_in_place() -> None:
    letters = "rwxabt+z"
    for count in range(5):
        for mode in map("".join, itertools.product(letters, repeat=count)):
            try:
                with open(os.devnull, mode):
                    valid = True
            except FileExistsError:  # in x
                valid = True
            except ValueError:
                valid = False
            if "a" in mode or {"r", "+"} <= set(mode):
                valid = False
            try:
                known = mode_of(mode)
            except ValueError:
                assert not valid, mode
            else:
                assert valid, mode
                assert set(known) == set(mode) - {"t"}
                assert known[0] in "rwx"


@pytest.mark.parametrize("mode", ["w", "x"])
def test_text_is_utf_8(storage: TahoeStorage, mode: str) -> None:
    text = "žluťoučký kůň\n你好\n" * 99
    with storage.open("dir/text.txt", mode) as file:
        file.write(text)
    assert read(storage, "dir/text.txt") == text.encode()
    with storage.open("dir/text.txt", "r") as file:
        assert file.read() == text
        file.seek(0)
        assert file.readline() == "žluťoučký kůň\n"


def test_bytes_and_text_are_not_mixed_up(stored: TahoeStorage) -> None:
    with stored.open("f", "wb") as file, pytest.raises(TypeError):
        file.write("text")
    with stored.open("f", "w") as file, pytest.raises(TypeError):
        file.write(b"bytes")


def test_what_is_open_to_read_is_not_written(stored: TahoeStorage) -> None:
    with stored.open("f") as file:
        assert file.readable()
        assert not file.writable()
        with pytest.raises(io.UnsupportedOperation):
            file.write(b"x")


# Reading


def test_a_file_knows_its_name_size_and_mode(stored: TahoeStorage) -> None:
    with requests_sent() as sent, stored.open("f") as file:
        assert (file.name, file.size, file.mode) == ("f", len(LONG), "rb")
        assert len(file) == len(LONG)
    assert sent == []


def test_a_file_is_read_as_python_reads_files(stored: TahoeStorage) -> None:
    text = b"one\ntwo\r\nthree\nno newline"
    stored.save("lines", ContentFile(text))
    with stored.open("lines") as file:
        assert list(file) == text.splitlines(keepends=True)
        file.seek(-10, os.SEEK_END)
        assert (file.tell(), file.read()) == (len(text) - 10, b"no newline")
    with stored.open("f") as file:
        assert b"".join(file.chunks(1000)) == LONG
        assert file.multiple_chunks()
        file.seek(256_000 - 3)
        assert file.read(10) == b"\xfd\xfe\xff"
        assert file.read(10) == b""
        buffer = bytearray(4)
        file.seek(1)
        assert file.readinto(buffer) == 4
        assert bytes(buffer) == b"\1\2\3\4"


def test_a_closed_file_is_not_read_but_opened_again(stored: TahoeStorage) -> None:
    file = stored.open("f")
    file.close()
    file.close()
    assert file.closed
    with pytest.raises(ValueError, match="closed"):
        file.read()
    with file.open() as again:
        assert again.read() == LONG
    with file.open("rb") as again:
        assert again.read(2) == b"\0\1"
        assert again.open().read() == LONG


def test_zipfile_and_pillow_take_a_file_as_it_is(storage: TahoeStorage) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for number in range(3):
            archive.writestr(f"{number}.bin", os.urandom(200_000))
        archive.writestr("last.txt", "found")
    storage.save("a.zip", ContentFile(packed.getvalue()))
    with storage.open("a.zip") as file, zipfile.ZipFile(file) as archive:
        assert archive.read("last.txt") == b"found"
        assert archive.testzip() is None

    with storage.open("p.png", "wb") as file:
        Image.new("RGB", (30, 20), "teal").save(file, "PNG")
    with storage.open("p.png") as file, Image.open(file) as image:
        assert image.getpixel((29, 19)) == (0, 128, 128)


# Writing


def test_an_overwrite_replaces_when_it_is_closed_and_only_then(
    stored: TahoeStorage,
) -> None:
    file = stored.open("f", "wb")
    file.write(b"the new content, " * 10)
    file.flush()
    assert file.size == 170
    assert read(stored, "f") == LONG
    file.close()
    assert read(stored, "f") == b"the new content, " * 10
    assert stored.size("f") == 170
    assert stored.listdir("") == ([], ["f"])


@pytest.mark.parametrize("mode", ["wb", "xb"])
def test_a_new_file_is_there_when_it_is_closed_and_only_then(
    storage: TahoeStorage, mode: str
) -> None:
    with storage.open("new/dir/f", mode) as file:
        file.write(LONG)
        assert not storage.exists("new")
    assert read(storage, "new/dir/f") == LONG


def test_writing_seeks_as_well(storage: TahoeStorage) -> None:
    with storage.open("f", "wb") as file:
        file.write(LONG)
        file.seek(1)
        file.write(b"!")
    assert read(storage, "f") == LONG[:1] + b"!" + LONG[2:]


def test_an_empty_file_is_a_file(storage: TahoeStorage) -> None:
    storage.open("f", "wb").close()
    assert storage.size("f") == 0
    assert read(storage, "f") == b""


def test_a_file_too_large_for_memory_is_written(storage: TahoeStorage) -> None:
    with storage.open("f", "wb") as file:
        for _ in range(20):
            file.write(LONG)
    assert storage.size("f") == 20 * len(LONG)
    assert read(storage, "f") == LONG * 20


def test_x_is_for_names_that_are_free(stored: TahoeStorage) -> None:
    for mode in ("x", "xb"):
        with pytest.raises(FileExistsError, match=r"^f: "):
            stored.open("f", mode)


def test_x_replaces_nothing_that_came_meanwhile(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path
) -> None:
    stranger = make_storage(cache={"directory": str(tmp_path / "another host")})
    file = storage.open("f", "xb")
    file.write(b"mine")
    stranger.save("f", ContentFile(b"the stranger's"))
    with pytest.raises(FileExistsError, match=r"^f: "):
        file.close()
    assert read(storage, "f") == b"the stranger's"
    # It is still open: what was written can be kept under another name.
    file.seek(0)
    with storage.open("g", "wb") as other:
        other.write(file.file.read())  # type: ignore[union-attr]
    file.discard()  # type: ignore[attr-defined]
    assert read(storage, "g") == b"mine"


def test_a_directory_is_not_opened_to_be_written(storage: TahoeStorage) -> None:
    storage.save("dir/f", ContentFile(b""))
    for mode in ("w", "wb", "x", "xb"):
        for name in ("dir", ""):
            with pytest.raises(IsADirectoryError):
                storage.open(name, mode)


def test_a_directory_that_came_meanwhile_is_not_replaced(
    storage: TahoeStorage, make_storage: MakeStorage, tmp_path: Path
) -> None:
    stranger = make_storage(cache={"directory": str(tmp_path / "another host")})
    file = storage.open("name", "wb")
    stranger.save("name/f", ContentFile(LONG))
    with pytest.raises(IsADirectoryError, match="name is a directory"):
        file.close()
    file.discard()  # type: ignore[attr-defined]
    assert read(storage, "name/f") == LONG


def test_a_read_only_root_is_not_opened_to_be_written(
    stored: TahoeStorage, make_storage: MakeStorage
) -> None:
    reader = make_storage(base_cap=stored.options.root.read_only.uri)
    assert read(reader, "f") == LONG
    for name in ("f", "dir/new"):
        with pytest.raises(PermissionError, match="read-only"):
            reader.open(name, "wb")


# Writing that goes wrong


def test_a_with_block_that_raises_publishes_nothing(stored: TahoeStorage) -> None:
    def fail(name: str, mode: str) -> None:
        with stored.open(name, mode) as file:
            file.write(b"half" if "b" in mode else "half")
            raise ZeroDivisionError

    for name, mode in (("f", "wb"), ("f", "w"), ("dir/g", "xb"), ("dir/g", "w")):
        with requests_sent() as sent, pytest.raises(ZeroDivisionError):
            fail(name, mode)
        assert not {"PUT", "POST"} & set(sent.verbs)
    assert read(stored, "f") == LONG
    assert stored.listdir("") == ([], ["f"])


def test_a_dropped_file_publishes_nothing(stored: TahoeStorage) -> None:
    def drop() -> None:
        stored.open("f", "w").write("half")
        stored.open("f", "wb").write(b"half")
        gc.collect()

    # Python warns of its own files in the same way.
    with requests_sent() as sent, pytest.warns(ResourceWarning, match="Unclosed file"):
        drop()
    assert sent == []
    assert read(stored, "f") == LONG


def test_an_error_that_was_dealt_with_does_not_keep_a_file_from_being_published(
    storage: TahoeStorage,
) -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        with storage.open("report", "w") as file:
            file.write("it failed")
        other = storage.open("other", "wb")
        other.write(b"as well")
        other.close()
    assert read(storage, "report") == b"it failed"
    assert read(storage, "other") == b"as well"


def test_a_file_whose_publishing_fails_stays_open_to_be_closed_again(
    stored: TahoeStorage, make_storage: MakeStorage
) -> None:
    with Proxy(stored.options.base_url) as proxy:
        storage = make_storage(base_url=proxy.url, retries=0)
        file = storage.open("f", "wb")
        file.write(LONG[::-1])
        proxy.rule(
            lambda seen: seen.method == "PUT",
            SendResponse(500, {}, b"UploadUnhappinessError"),
        )
        with pytest.raises(OSError, match="too few storage servers"):
            file.close()
        assert not file.closed
        assert read(storage, "f") == LONG
        file.close()
        assert file.closed
        assert read(storage, "f") == LONG[::-1]


def test_a_with_block_whose_publishing_fails_gives_the_file_up(
    storage: TahoeStorage, make_storage: MakeStorage
) -> None:
    file = storage.open("name", "wb")
    make_storage(cache=False).save("name/f", ContentFile(LONG))
    with pytest.raises(IsADirectoryError), file:
        file.write(LONG)
    assert file.closed


@pytest.fixture
def field_file(stored: TahoeStorage) -> Any:
    """The file ``f`` as models have it: its ``with`` block is Django's own."""
    with isolate_apps():

        class Document(models.Model):
            file = models.FileField(storage=stored)

            class Meta:
                app_label = "tests"

        return Document(file="f").file


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "tahoestorage" and record.levelname == "WARNING"
    ]


def test_a_failing_block_of_a_field_file_gives_the_file_up(
    stored: TahoeStorage, field_file: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def fail() -> None:
        with field_file.open("wb") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with requests_sent() as sent, pytest.raises(ZeroDivisionError):
        fail()
    assert not {"PUT", "POST"} & set(sent.verbs)
    assert field_file.closed
    assert read(stored, "f") == LONG
    (line,) = warnings_in(caplog)
    assert line.startswith("f: what was written is given up, since the file was closed")
    assert "ZeroDivisionError" in line


def test_a_block_of_a_field_file_in_a_handler_publishes(
    stored: TahoeStorage, field_file: Any, caplog: pytest.LogCaptureFixture
) -> None:
    for content in b"first", b"second":
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            with field_file.open("wb") as file:
                file.write(content)
        assert read(stored, "f") == content
    assert warnings_in(caplog) == []


def test_a_file_that_is_opened_in_an_inner_handler_is_closed_in_the_outer_one(
    storage: TahoeStorage,
) -> None:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        try:
            raise KeyError
        except KeyError:
            file = storage.open("report", "wb")
        file.write(b"it failed")
        file.close()
    assert read(storage, "report") == b"it failed"


def test_a_file_that_is_closed_while_an_error_passes_is_given_up(
    stored: TahoeStorage, caplog: pytest.LogCaptureFixture
) -> None:
    def write(file: Any) -> None:
        try:
            file.write(b"half")
            raise ZeroDivisionError
        finally:
            file.close()

    file = stored.open("f", "wb")
    with pytest.raises(ZeroDivisionError):
        write(file)
    assert file.closed
    assert len(warnings_in(caplog)) == 1

    # Nor is it taken for stored where that was not meant.
    def close_in_a_handler(file: Any) -> None:
        try:
            raise ZeroDivisionError
        except ZeroDivisionError:
            file.close()

    file = stored.open("f", "wb")
    with pytest.raises(ZeroDivisionError) as caught:
        close_in_a_handler(file)
    assert "f: what was written is given up" in caught.value.__notes__[0]
    assert file.closed
    assert len(warnings_in(caplog)) == 2
    assert read(stored, "f") == LONG


def test_a_file_that_is_closed_after_the_handler_is_published(
    stored: TahoeStorage, caplog: pytest.LogCaptureFixture
) -> None:
    file = stored.open("f", "wb")
    try:
        file.write(b"all there is")
        raise ZeroDivisionError
    except ZeroDivisionError:
        pass
    file.close()
    assert read(stored, "f") == b"all there is"
    assert warnings_in(caplog) == []


def test_the_files_own_block_in_a_handler_publishes(stored: TahoeStorage) -> None:
    file = stored.open("f", "wb")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        with file:
            file.write(b"it failed")
    assert read(stored, "f") == b"it failed"


def test_a_file_that_is_only_read_is_closed_in_a_handler_without_a_warning(
    stored: TahoeStorage, caplog: pytest.LogCaptureFixture
) -> None:
    file = stored.open("f")
    try:
        raise ZeroDivisionError
    except ZeroDivisionError:
        file.close()
    assert file.closed
    assert warnings_in(caplog) == []


def test_a_file_whose_publishing_failed_is_closed_again_in_the_handler(
    stored: TahoeStorage, make_storage: MakeStorage
) -> None:
    with Proxy(stored.options.base_url) as proxy:
        storage = make_storage(base_url=proxy.url, retries=0)
        file = storage.open("f", "wb")
        file.write(LONG[::-1])
        proxy.rule(
            lambda seen: seen.method == "PUT",
            SendResponse(500, {}, b"UploadUnhappinessError"),
        )
        try:
            file.close()
        except OSError:
            file.close()
        assert file.closed
        assert read(storage, "f") == LONG[::-1]
