"""Caps, with Tahoe-LAFS's own ``allmydata.uri`` as the oracle."""

from __future__ import annotations

import copy
import logging
import pickle
import pprint
import subprocess
import sys
import warnings
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from tahoestorage.exceptions import InvalidCap
from tahoestorage.tahoe.caps import LITERAL_LIMIT, Access, Cap, Kind, literal_cap

with warnings.catch_warnings():
    # Of its own dependencies, at import only.
    warnings.simplefilter("ignore", DeprecationWarning)
    from allmydata import uri

KEY = st.binary(min_size=16, max_size=16)
KEY_HASH = st.binary(min_size=32, max_size=32)
COUNTS = st.lists(st.integers(1, 256), min_size=2, max_size=2).map(sorted)
SIZE = st.integers(0, 10**18 - 1)

CHK = st.builds(
    lambda key, key_hash, counts, size: uri.CHKFileURI(key, key_hash, *counts, size),
    KEY,
    KEY_HASH,
    COUNTS,
    SIZE,
)
LIT = st.builds(uri.LiteralFileURI, st.binary(max_size=LITERAL_LIMIT))
SSK = st.builds(uri.WriteableSSKFileURI, KEY, KEY_HASH)
MDMF = st.builds(uri.WriteableMDMFFileURI, KEY, KEY_HASH)
DIRECTORIES = st.one_of(CHK, LIT, SSK, MDMF).map(uri.wrap_dirnode_cap)
OBJECTS = st.one_of(CHK, LIT, SSK, MDMF, DIRECTORIES)
"""The strongest cap of an object of each kind."""

WRITABLE = st.one_of(
    SSK, MDMF, SSK.map(uri.wrap_dirnode_cap), MDMF.map(uri.wrap_dirnode_cap)
)
DISTRIBUTED = OBJECTS.filter(lambda o: o.get_verify_cap() is not None)
READABLE = st.one_of(OBJECTS, OBJECTS.map(lambda o: o.get_readonly()))
ANY = st.one_of(READABLE, DISTRIBUTED.map(lambda o: o.get_verify_cap()))

KEY_TEXT = "ifhtsdeyx4fhxuod6ivpbq34ma"
HASH_TEXT = "kq2oi6gtevsuxxhzc5eoj4uakv6h2l2uwpmzy6qbnkzbd2ex3pya"
CHK_TEXT = f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:3:10:102400"
DIR_TEXT = f"URI:DIR2:{KEY_TEXT}:{HASH_TEXT}"
LIT_TEXT = "URI:LIT:nbswy3dpeb3w64tmmq"

KINDS = {
    uri.CHKFileURI: (Kind.CHK, Access.READ),
    uri.CHKFileVerifierURI: (Kind.CHK, Access.VERIFY),
    uri.LiteralFileURI: (Kind.LIT, Access.READ),
    uri.WriteableSSKFileURI: (Kind.SSK, Access.WRITE),
    uri.ReadonlySSKFileURI: (Kind.SSK, Access.READ),
    uri.SSKVerifierURI: (Kind.SSK, Access.VERIFY),
    uri.WriteableMDMFFileURI: (Kind.MDMF, Access.WRITE),
    uri.ReadonlyMDMFFileURI: (Kind.MDMF, Access.READ),
    uri.MDMFVerifierURI: (Kind.MDMF, Access.VERIFY),
    uri.DirectoryURI: (Kind.DIR2, Access.WRITE),
    uri.ReadonlyDirectoryURI: (Kind.DIR2, Access.READ),
    uri.DirectoryURIVerifier: (Kind.DIR2, Access.VERIFY),
    uri.MDMFDirectoryURI: (Kind.DIR2_MDMF, Access.WRITE),
    uri.ReadonlyMDMFDirectoryURI: (Kind.DIR2_MDMF, Access.READ),
    uri.MDMFDirectoryURIVerifier: (Kind.DIR2_MDMF, Access.VERIFY),
    uri.ImmutableDirectoryURI: (Kind.DIR2_CHK, Access.READ),
    uri.ImmutableDirectoryURIVerifier: (Kind.DIR2_CHK, Access.VERIFY),
    uri.LiteralDirectoryURI: (Kind.DIR2_LIT, Access.READ),
}


def text_of(theirs: Any) -> str:
    return str(theirs.to_string(), "ascii")


def parse(theirs: Any) -> Cap:
    return Cap.parse(text_of(theirs))


def shared_part(text: str, message: str, length: int = 6) -> str | None:
    """The first piece of `text` of `length` characters that `message` holds."""
    pieces = (text[i : i + length] for i in range(len(text) - length + 1))
    return next((piece for piece in pieces if piece in message), None)


# What it parses


@given(ANY)
def test_parses_every_form_and_keeps_its_text(theirs: Any) -> None:
    assert parse(theirs).uri == text_of(theirs)


@given(ANY)
def test_kind_and_access_are_those_of_tahoe(theirs: Any) -> None:
    cap = parse(theirs)
    assert (cap.kind, cap.access) == KINDS[type(theirs)]


@given(ANY)
def test_mutable_writable_and_directory_are_those_of_tahoe(theirs: Any) -> None:
    cap = parse(theirs)
    assert cap.is_mutable == theirs.is_mutable()
    assert cap.is_writable == (not theirs.is_readonly())
    assert cap.is_directory == isinstance(theirs, uri._DirectoryBaseURI)


@given(st.one_of(CHK, LIT))
def test_size_of_an_immutable_file_is_in_its_cap(theirs: Any) -> None:
    assert parse(theirs).size == theirs.get_size()


@given(st.one_of(DIRECTORIES, SSK, MDMF))
def test_no_size_for_directories_and_mutable_files(theirs: Any) -> None:
    assert parse(theirs).size is None


@pytest.mark.parametrize("form", ["MDMF", "DIR2-MDMF"])
@pytest.mark.parametrize("access", ["", "-RO", "-Verifier"])
@pytest.mark.parametrize("extension", [":3:131073", ":", ":3", ":a:b:c:d"])
def test_mdmf_extensions_are_kept(form: str, access: str, extension: str) -> None:
    text = f"URI:{form}{access}:{KEY_TEXT}:{HASH_TEXT}{extension}"
    theirs = uri.from_string(text)
    cap = Cap.parse(text)
    assert cap.uri == text
    assert cap.storage_index == theirs.get_storage_index()
    if cap.access is not Access.VERIFY:
        readable = cap if cap.access is Access.READ else parse(theirs.get_readonly())
        assert cap.read_only == readable


@pytest.mark.parametrize(
    "text",
    [
        "URI:SOMETHINGNEW:abc:1",
        "URI:LIT-RO:abc",
        "ro.URI:SOMETHINGNEW:abc",
        f"ro.{CHK_TEXT}",
        f"imm.{DIR_TEXT}",
    ],
)
def test_unknown_forms_are_read_caps_of_unknown_kind(text: str) -> None:
    cap = Cap.parse(text)
    assert (cap.kind, cap.access) == (Kind.UNKNOWN, Access.READ)
    assert cap.uri == text
    assert not any((cap.is_directory, cap.is_mutable, cap.is_writable))
    assert cap.size is None
    assert cap.literal is None
    assert cap.read_only is cap
    assert len(cap.storage_index) == 16


def test_unknown_caps_of_different_texts_are_different_objects() -> None:
    first, second = Cap.parse("URI:NEW:a"), Cap.parse("URI:NEW:b")
    assert first.storage_index != second.storage_index
    assert first.fingerprint != second.fingerprint


# What it derives


@given(READABLE)
def test_read_only_is_what_tahoe_derives(theirs: Any) -> None:
    cap = parse(theirs)
    assert cap.read_only.uri == text_of(theirs.get_readonly())
    assert cap.read_only.access is Access.READ
    assert cap.read_only.kind is cap.kind


@given(READABLE)
def test_read_only_of_a_read_cap_is_itself(theirs: Any) -> None:
    cap = parse(theirs).read_only
    assert cap.read_only is cap


@given(DISTRIBUTED)
def test_read_only_of_a_verify_cap_is_refused(theirs: Any) -> None:
    cap = parse(theirs.get_verify_cap())
    with pytest.raises(InvalidCap, match="does not allow reading"):
        _ = cap.read_only


@given(DISTRIBUTED)
def test_storage_index_is_tahoes(theirs: Any) -> None:
    assert parse(theirs).storage_index == theirs.get_storage_index()


@given(DISTRIBUTED)
def test_all_caps_of_an_object_share_identity(theirs: Any) -> None:
    cap = parse(theirs)
    for other in (parse(theirs.get_verify_cap()), cap.read_only):
        assert other.storage_index == cap.storage_index
        assert other.fingerprint == cap.fingerprint


@given(LIT, LIT)
def test_literals_have_the_identity_of_their_content(one: Any, two: Any) -> None:
    same = one.data == two.data
    assert len(parse(one).storage_index) == 16
    assert (parse(one).storage_index == parse(two).storage_index) == same
    assert (parse(one).fingerprint == parse(two).fingerprint) == same


@given(WRITABLE)
def test_derivations_are_made_once(theirs: Any) -> None:
    cap = parse(theirs)
    assert cap.read_only is cap.read_only
    assert cap.storage_index is cap.storage_index


# Literals


@given(st.binary(max_size=LITERAL_LIMIT))
def test_literal_cap_is_tahoes_and_holds_its_content(content: bytes) -> None:
    cap = literal_cap(content)
    assert cap.uri == text_of(uri.LiteralFileURI(content))
    assert cap == Cap.parse(cap.uri)
    assert cap.literal == content
    assert cap.size == len(content)


@given(LIT)
def test_literal_directory_holds_its_content(theirs: Any) -> None:
    cap = parse(uri.LiteralDirectoryURI(theirs))
    assert cap.literal == theirs.data
    assert cap.size is None


@given(st.one_of(CHK, SSK, MDMF))
def test_other_caps_hold_no_content(theirs: Any) -> None:
    assert parse(theirs).literal is None


def test_content_over_the_limit_has_no_literal_cap() -> None:
    with pytest.raises(InvalidCap, match="55 bytes"):
        literal_cap(b"x" * 56)


# What it refuses


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "empty"),
        (" ", "white space"),
        (f"{CHK_TEXT}\n", "white space"),
        (f" {DIR_TEXT}", "white space"),
        (DIR_TEXT.replace(":k", ":\u00a0k"), "white space"),
        (f"{DIR_TEXT}:\N{SNOWMAN}", "character"),
        (f"URI:MDMF:{KEY_TEXT}:{HASH_TEXT}:\x00", "character"),
        ("hello", "no cap"),
        ("URI:", "no cap"),
        ("URI:SOMETHINGNEW", "no cap"),
        ("URI::abc", "no cap"),
        (CHK_TEXT.lower(), "no cap"),
        (f"http://127.0.0.1:3456/uri/{DIR_TEXT}", "no cap"),
        (f"ro.imm.{CHK_TEXT}", "no cap"),
        ("URI:DIR2:", "first field"),
        (DIR_TEXT.replace("ma:", "m:"), "first field"),
        (DIR_TEXT.replace("ma:", "maa:"), "first field"),
        (DIR_TEXT.replace("ma:", "mb:"), "first field"),
        (DIR_TEXT.replace("ma:", "m1:"), "first field"),
        (DIR_TEXT.upper(), "first field"),
        (f"URI:DIR2:{KEY_TEXT}", "second field"),
        (DIR_TEXT[:-1], "second field"),
        (f"{DIR_TEXT[:-1]}b", "second field"),
        (f"{DIR_TEXT}a", "second field"),
        (f"{DIR_TEXT}/photos", "second field"),
        (f"{DIR_TEXT}:3:131073", "after its end"),
        (f"URI:SSK:{KEY_TEXT}:{HASH_TEXT}:", "after its end"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:3:10", "counts of shares"),
        (f"{CHK_TEXT}:1", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:3:10:", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:3:10:-1", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:3:10:007", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:3:10:{10**18}", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:3:10:{'9' * 5000}", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:0:10:5", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:4:3:5", "counts of shares"),
        (f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:3:257:5", "counts of shares"),
        (f"URI:CHK-Verifier:{KEY_TEXT}:{HASH_TEXT}:3:10:5x", "counts of shares"),
        ("URI:LIT:a", "content"),
        ("URI:LIT:aaa", "content"),
        ("URI:LIT:ab", "content"),
        ("URI:LIT:me======", "content"),
        ("URI:LIT:ME", "content"),
        ("URI:DIR2-LIT:aa:aa", "content"),
    ],
    ids=lambda value: ascii(value[:20]),
)
def test_refuses_what_is_no_cap_and_names_the_error(text: str, error: str) -> None:
    with pytest.raises(InvalidCap, match=error) as caught:
        Cap.parse(text)
    assert shared_part(text, str(caught.value)) is None


def test_takes_the_largest_counts_and_size() -> None:
    text = f"URI:CHK:{KEY_TEXT}:{HASH_TEXT}:256:256:{10**18 - 1}"
    assert Cap.parse(text).size == 10**18 - 1


@given(st.binary(min_size=1, max_size=60), st.integers(1, 31))
def test_base32_has_one_spelling(content: bytes, added: int) -> None:
    """Bits that are left over in the last character are refused when they are set."""
    digits = "abcdefghijklmnopqrstuvwxyz234567"
    text = text_of(uri.LiteralFileURI(content))
    spare = -len(content) * 8 % 5
    last = digits.index(text[-1]) + added % 2**spare
    assume(added % 2**spare)
    with pytest.raises(InvalidCap):
        Cap.parse(text[:-1] + digits[last])


# A text that happens to be a word of our messages would prove nothing.
NO_PROSE = st.text(st.characters(exclude_categories=["Zs", "Ll"]))


@st.composite
def damaged(draw: st.DrawFn) -> str:
    """A real cap with a piece cut out, doubled, or replaced by something else."""
    text = text_of(draw(ANY))
    start, stop = sorted(draw(st.tuples(*[st.integers(0, len(text))] * 2)))
    piece = draw(st.one_of(st.just(text[start:stop] * 2), NO_PROSE))
    return text[:start] + piece + text[stop:]


KEYS = "[a-z2-7]{25}[a-z]:[a-z2-7]{51}[abq]"
ALMOST = st.one_of(
    st.from_regex(
        f"URI:(DIR2-)?CHK(-Verifier)?:{KEYS}(:[0-9]{{1,3}}){{2}}:[0-9]{{1,20}}",
        fullmatch=True,
    ),
    st.from_regex(
        f"URI:(SSK|(DIR2-)?MDMF|DIR2)(-RO|-Verifier)?:{KEYS}(:[!-~]*)?", fullmatch=True
    ),
    st.from_regex("URI:(DIR2-)?LIT:[a-z2-7]*", fullmatch=True),
    st.from_regex("(ro\\.|imm\\.)?URI:[A-Za-z0-9-]*:[!-~]*", fullmatch=True),
)
"""What looks right, and sometimes is."""

HOSTILE = st.one_of(
    damaged(),
    ALMOST,
    NO_PROSE,
    st.text("URI:CHKDSMFLT2-roVeifm.abcq7034567"),
)


def error_of(text: str) -> InvalidCap | None:
    try:
        Cap.parse(text)
    except InvalidCap as error:
        return error
    return None


@settings(max_examples=300)
@given(HOSTILE)
def test_a_refusal_repeats_nothing_of_the_text(text: str) -> None:
    error = error_of(text)
    if error is not None:
        assert shared_part(text, str(error)) is None
        assert error.__context__ is None


@settings(max_examples=300)
@given(HOSTILE)
def test_what_it_takes_can_be_used(text: str) -> None:
    if error_of(text) is None:
        cap = Cap.parse(text)
        assert cap.uri == text
        assert text.isascii()
        assert not any(map(str.isspace, text))
        assert len(cap.storage_index) == 16
        assert cap.size is None or cap.size >= 0
        assert cap.literal is None or len(cap.literal) < len(text)


@settings(max_examples=300)
@given(HOSTILE)
def test_what_it_takes_as_known_tahoe_takes_alike(text: str) -> None:
    if error_of(text) is None:
        cap, theirs = Cap.parse(text), uri.from_string(text)
        if cap.kind is not Kind.UNKNOWN:
            assert (cap.kind, cap.access) == KINDS[type(theirs)]
            assert cap.uri.startswith(text_of(theirs))


# Values, and secrets


@given(ANY, ANY)
def test_caps_are_equal_by_their_text(one: Any, two: Any) -> None:
    assert parse(one) == parse(one)
    assert hash(parse(one)) == hash(parse(one))
    assert (parse(one) == parse(two)) == (text_of(one) == text_of(two))
    assert parse(one) != text_of(one)


def test_a_cap_does_not_change() -> None:
    cap = Cap.parse(DIR_TEXT)
    with pytest.raises(AttributeError, match="does not change"):
        cap.uri = CHK_TEXT
    with pytest.raises(AttributeError, match="does not change"):
        cap.other = 1
    with pytest.raises(AttributeError, match="does not change"):
        del cap.uri
    assert cap.uri == DIR_TEXT


@given(ANY)
def test_no_rendering_shows_the_text(theirs: Any) -> None:
    cap, text = parse(theirs), text_of(theirs)
    record = logging.LogRecord("x", logging.INFO, "", 0, "%s %r", (cap, cap), None)
    shown = [
        repr(cap),
        str(cap),
        f"{cap} {cap!r} {cap!s} {cap:>60}",
        "%s %r" % (cap, cap),  # noqa: UP031
        pprint.pformat({cap: [cap]}),
        record.getMessage(),
    ]
    secret = text.split(":", 2)[2]
    for rendering in shown:
        assert cap.fingerprint in rendering
        assert shared_part(secret, rendering) is None


def test_repr_names_kind_access_and_fingerprint() -> None:
    cap = Cap.parse(DIR_TEXT)
    assert repr(cap) == f"<Cap DIR2 write {cap.fingerprint}>"
    assert repr(cap.read_only) == f"<Cap DIR2 read {cap.fingerprint}>"


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_caps_are_not_pickled(protocol: int) -> None:
    with pytest.raises(TypeError, match="caps are not pickled") as caught:
        pickle.dumps({"cap": Cap.parse(DIR_TEXT)}, protocol)
    assert shared_part(DIR_TEXT, str(caught.value)) is None


def test_a_copy_is_the_cap_itself() -> None:
    cap = Cap.parse(DIR_TEXT)
    assert copy.copy(cap) is cap
    assert copy.deepcopy([cap])[0] is cap


@given(ANY)
def test_fingerprint_is_12_hex_digits(theirs: Any) -> None:
    fingerprint = parse(theirs).fingerprint
    assert len(fingerprint) == 12
    assert set(fingerprint) <= set("0123456789abcdef")


def elsewhere(text: str) -> str:
    """The fingerprint of `text` in another process."""
    code = (
        "import sys; from tahoestorage.tahoe.caps import Cap;"
        "print(Cap.parse(sys.stdin.read()).fingerprint)"
    )
    command = [sys.executable, "-P", "-c", code]
    ran = subprocess.run(command, input=text, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


def test_fingerprint_is_the_same_in_every_process() -> None:
    assert elsewhere(DIR_TEXT) == Cap.parse(DIR_TEXT).fingerprint


def test_fingerprint_of_a_literal_gives_no_hold_for_guessing_its_content() -> None:
    """Who reads a log must not find a short content by hashing all short contents."""
    assert elsewhere(LIT_TEXT) != Cap.parse(LIT_TEXT).fingerprint
