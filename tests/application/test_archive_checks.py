"""What an import refuses before it makes anything; what is tried here is harmless."""

from __future__ import annotations

import hashlib
import io
import json
import struct
import tracemalloc
import zipfile
from dataclasses import replace
from typing import Any

import pytest

from exports import checking, manifest
from exports.archive import Archive, Member
from exports.checking import Checked, NotImportable, check
from exports.manifest import ArchivedFile, Manifest

FILES = {"files/a.txt": b"first", "files/b/c.txt": b"second" * 1000}


def entry(path: str, content: bytes) -> ArchivedFile:
    folder, _, name = path.removeprefix("files/").rpartition("/")
    sha256 = hashlib.sha256(content).hexdigest()
    return ArchivedFile(path, folder, name, len(content), sha256, "text/plain")


def said_of(entries: list[ArchivedFile], document: str | None = None) -> bytes:
    now = "2026-11-29T00:00:00+00:00"
    return Manifest("folder", "papers", now, document, tuple(entries)).as_json()


def zip_of(members: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as zipped:
        for path, content in members.items():
            zipped.writestr(path, content)
    return file.getvalue()


def made(**changes: Any) -> bytes:
    """Return a whole export; ``changes`` are of the first file's entry."""
    entries = [entry(path, content) for path, content in FILES.items()]
    if changes:
        entries[0] = replace(entries[0], **changes)
    return zip_of({manifest.PATH: said_of(entries), **FILES})


def looked_at(content: bytes) -> Checked:
    return check(io.BytesIO(content), len(content))


def refused(content: bytes) -> str:
    with pytest.raises(NotImportable) as caught:
        looked_at(content)
    return str(caught.value)


def test_an_export_of_ours_is_taken() -> None:
    entries = [entry(path, content) for path, content in FILES.items()]
    members = [Member.of(manifest.PATH, said_of(entries, "event.json"))]
    members += [Member.of("event.json", b'{"name": "x"}')]
    members += [Member.of(path, content) for path, content in FILES.items()]
    with Archive(members) as archive:
        content = archive.read()

    checked = looked_at(content)

    assert checked.manifest.label == "papers"
    assert checked.document == {"name": "x"}
    for one in checked.manifest.files:
        with checked.open(one) as file:
            assert file.read() == FILES[one.path]


def test_one_that_was_packed_anew_is_taken() -> None:
    entries = [entry(path, content) for path, content in FILES.items()]
    members = {manifest.PATH: said_of(entries), **FILES}

    assert looked_at(zip_of(members, zipfile.ZIP_DEFLATED)).manifest.label == "papers"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no zip archive"),
        (b"%PDF-1.7 and more", "no zip archive"),
        (made()[:-40], "no zip archive"),
        (zip_of(FILES), "no manifest.json"),
        (zip_of({manifest.PATH: b"{", **FILES}), "no JSON"),
        (zip_of({manifest.PATH: b'{"format": "other"}'}), "no export of this site"),
        (zip_of({manifest.PATH: said_of([])[:-1] + b"x"}), "no JSON"),
        (zip_of({manifest.PATH: b"[" * 100_000}), "no export of this site"),
        (zip_of({manifest.PATH: b"5"}), "no export of this site"),
        (zip_of({manifest.PATH: b'{"a": \xff}'}), "no JSON"),
        (zip_of({manifest.PATH: b""}), "no JSON"),
    ],
    ids=range(11),
)
def test_what_is_of_another_make_is_refused(content: bytes, said: str) -> None:
    assert said in refused(content)


def test_another_version_is_refused() -> None:
    said = json.loads(said_of([])) | {"version": 2}

    assert "version" in refused(zip_of({manifest.PATH: json.dumps(said).encode()}))


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("../outside.txt", "leads out"),
        ("files/../../outside.txt", "leads out"),
        ("files/./a.txt", "leads out"),
        ("files//a.txt", "leads out"),
        ("/etc/outside.txt", "absolute"),
        ("c:/outside.txt", "absolute"),
        ("..\\outside.txt", "no path of a file"),
        ("files/folder/", "no path of a file"),
    ],
)
def test_a_path_that_climbs_is_refused(path: str, said: str) -> None:
    entries = [entry(path, b"first")]

    assert said in refused(zip_of({manifest.PATH: said_of(entries), path: b"first"}))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"sha256": "0" * 64}, "SHA-256"),
        ({"size": 4}, "another size"),
        ({"path": "files/z.txt"}, "missing"),
        ({"path": "files/b/c.txt", "size": 6000}, "twice"),
        ({"path": manifest.PATH}, "twice"),
        ({"folder": "b", "name": "c.txt"}, "twice"),
        ({"name": "b"}, "b: a file is where a folder would be"),
        ({"folder": "b/c.txt/d"}, "b/c.txt: a file is where a folder would be"),
        ({"path": "files/\0"}, "no right path"),
        ({"name": ".."}, "dots alone"),
        ({"name": "a/b"}, "no slash"),
        ({"folder": "/x"}, "neither empty"),
        ({"folder": "../x"}, "neither empty"),
        ({"name": "a\u0308"}, "not taken"),
        ({"sha256": "g" * 64}, "without a SHA-256"),
        ({"size": -1}, "without a size"),
        ({"media_type": None}, "media_type"),
    ],
    ids=str,
)
def test_a_manifest_that_says_otherwise_is_refused(
    changes: dict[str, Any], said: str
) -> None:
    assert said in refused(made(**changes))


def test_what_is_not_in_the_manifest_is_refused() -> None:
    entries = [entry("files/a.txt", b"first")]

    assert "files/b/c.txt" in refused(
        zip_of({manifest.PATH: said_of(entries), **FILES})
    )


def test_a_missing_document_is_refused() -> None:
    said = said_of([], "event.json")

    assert "event.json is missing" in refused(zip_of({manifest.PATH: said}))


def test_names_that_are_there_twice_are_refused() -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as zipped:
        zipped.writestr(manifest.PATH, said_of([entry("files/a.txt", b"first")]))
        zipped.writestr("files/a.txt", b"first")
        with pytest.warns(UserWarning, match="Duplicate"):
            zipped.writestr("files/a.txt", b"other")

    assert "twice" in refused(file.getvalue())


def test_encrypted_members_are_refused() -> None:
    content = bytearray(made())
    # The flag, in the list at the end and before the member.
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.rindex(mark) + place] |= 1

    assert "encrypted" in refused(bytes(content))


def test_other_ways_of_packing_are_refused() -> None:
    entries = [entry(path, content) for path, content in FILES.items()]
    members = {manifest.PATH: said_of(entries), **FILES}

    assert "packed in a way" in refused(zip_of(members, zipfile.ZIP_BZIP2))


def test_a_newer_kind_of_archive_than_is_known_is_refused() -> None:
    content = bytearray(made())
    # Of one member: the version that is needed to unpack it.
    content[content.rindex(b"PK\x01\x02") + 6] = 64

    assert "packed in a way" in refused(bytes(content))


def test_patches_are_refused_as_another_way_of_packing() -> None:
    content = bytearray(made())
    for mark, place in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        content[content.rindex(mark) + place] |= 0x20

    assert "packed in a way" in refused(bytes(content))


def test_what_would_unpack_to_far_too_much_is_refused_unread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = bytes(2_000_000)  # A thousand times what it is packed to: harmless.
    entries = [entry("files/zeros.bin", content)]
    members = {manifest.PATH: said_of(entries), "files/zeros.bin": content}
    monkeypatch.setattr(checking, "_pieces", None)

    assert "unpack to more" in refused(zip_of(members, zipfile.ZIP_DEFLATED))


def test_a_size_that_is_not_true_is_found_out() -> None:
    entries = [entry("files/a.txt", b"first" * 10)]
    members = {manifest.PATH: said_of(entries), "files/a.txt": b"first" * 10}
    content = bytearray(zip_of(members, zipfile.ZIP_DEFLATED))
    start = content.rindex(b"PK\x01\x02")
    # It declares less than comes of it; the manifest says the same.
    content[start + 24 : start + 28] = struct.pack("<L", 5)

    assert refused(bytes(content))


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "MAX_MEMBERS", 0)

    assert "3 files" in refused(made())


def test_a_list_of_members_that_is_too_long_is_not_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    content = made()
    monkeypatch.setattr(checking, "MAX_READ", 100)

    assert "no zip archive" in refused(content)


def test_members_are_counted_before_they_are_objects(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checking, "CHUNK", 10)
    monkeypatch.setattr(checking, "MAX_MEMBERS", 0)
    monkeypatch.setattr(checking, "_check_members", None)

    assert "more files than are taken" in refused(made())


def test_values_are_counted_before_they_are_parsed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checking, "MAX_VALUES", 3)
    members = {manifest.PATH: said_of([], "event.json"), "event.json": b"[1,2,3,4]"}

    assert "event.json is too large" in refused(zip_of(members))


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ("5", "lacks what an export says"),
        ("{}", "what no export says"),
        ("[5]", "a file that is none"),
        ("[[]]", "what no export says"),
        ('[{"size": [1]}]', "what no export says"),
        ('[{"size": {}}]', "what no export says"),
        ("[{}]", "no right sha256"),
        ('[], "more": [[]]', "what no export says"),
    ],
)
def test_a_manifest_of_another_form_is_refused(files: str, said: str) -> None:
    whole = said_of([]).replace(b'"files": []', f'"files": {files}'.encode())

    assert said in refused(zip_of({manifest.PATH: whole}))


def test_a_manifest_holds_no_more_than_its_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Whatever it has besides: that would be some 10 MB as objects."""
    more = ",".join(f'"{number}": "{number}"' for number in range(100_000))
    whole = said_of([]).replace(b'"files": []', f'{more}, "files": []'.encode())
    content = zip_of({manifest.PATH: whole})

    tracemalloc.start()
    looked_at(content)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert most < 5_000_000
    monkeypatch.setattr(manifest, "MAX_SIZE", 1000)
    assert "manifest.json is too large" in refused(content)


def test_files_of_a_manifest_are_counted_as_they_are_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checking, "_check_members", lambda *_: None)
    monkeypatch.setattr(checking, "MAX_MEMBERS", 1)

    assert "more files than are taken" in refused(made())


def test_one_byte_that_changed_is_found_or_does_not_matter() -> None:
    whole = made()
    for place in range(0, len(whole), 37):
        content = bytearray(whole)
        content[place] ^= 0x20
        try:
            checked = looked_at(bytes(content))
        except NotImportable:
            continue
        for one in checked.manifest.files:
            with checked.open(one) as file:
                assert hashlib.sha256(file.read()).hexdigest() == one.sha256


def test_it_is_told_how_far_it_is() -> None:
    content, told = made(), list[tuple[int, int]]()

    def note(done: int, of: int) -> None:
        told.append((done, of))

    check(io.BytesIO(content), len(content), note)

    assert [done for done, _ in told] == [5, 6005]
