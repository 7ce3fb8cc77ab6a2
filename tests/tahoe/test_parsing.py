"""What a gateway answers, and what is made of it."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tahoestorage.entries import Entry, EntryKind
from tahoestorage.exceptions import (
    FileMissing,
    GatewayError,
    GatewayTimeout,
    GatewayUnreachable,
    NameTaken,
    NotEnoughServers,
    NotEnoughShares,
    ParentIsFile,
    ReadOnly,
    TahoeStorageError,
    UnexpectedResponse,
    WriteCollision,
)
from tahoestorage.tahoe import parsing
from tahoestorage.tahoe.caps import Cap, Shares
from tahoestorage.tahoe.children import Child, Node
from tahoestorage.tahoe.errors import error_from_response
from tahoestorage.tahoe.parsing import NodeParser, parse_servers, parse_shares
from tests.support.leaks import assert_hides_caps

KEY, HASH = "a" * 26, "a" * 52
CHK = f"URI:CHK:{KEY}:{HASH}:1:1:1000"
DIR = f"URI:DIR2:{KEY}:{HASH}"
DIR_RO = Cap.parse(DIR).read_only.uri
OWN = {"ro_uri": DIR_RO, "rw_uri": DIR, "mutable": True}


def directory(children: Any) -> bytes:
    return json.dumps(["dirnode", {"children": children, **OWN}], indent=1).encode()


def parse(*chunks: bytes) -> tuple[Node, dict[str, Child]]:
    children: dict[str, Child] = {}
    node = NodeParser("photos", lambda each: children.update({each.name: each})).parse(
        iter(chunks)
    )
    return node, children


def child(name: str = "x", kind: str = "filenode", **properties: Any) -> Child:
    return parse(directory({name: [kind, properties]}))[1][name]


def test_a_listing_has_the_directorys_caps_and_all_that_is_known_of_each_child() -> (
    None
):
    node, children = parse(
        directory(
            {
                "photo.jpg": [
                    "filenode",
                    {
                        "ro_uri": CHK,
                        "verify_uri": "URI:CHK-Verifier:x",
                        "size": 1000,
                        "metadata": {
                            "tahoestorage": "token",
                            "tahoe": {"linkcrtime": 10.5, "linkmotime": 20.5},
                            "ctime": 1,
                        },
                    },
                ],
                "thumbs": ["dirnode", {"ro_uri": DIR_RO, "rw_uri": DIR}],
                "new": ["unknown", {}],
            }
        )
    )
    assert node == Node(EntryKind.DIRECTORY, DIR_RO, DIR)
    photo = children["photo.jpg"]
    assert photo.entry == Entry(EntryKind.FILE, CHK, 1000, 10.5, 20.5)
    assert (photo.token, photo.write_reference) == ("token", None)
    thumbs = children["thumbs"]
    assert thumbs.entry == Entry(EntryKind.DIRECTORY, DIR_RO)
    assert thumbs.write_reference == DIR
    assert children["new"].entry == Entry(EntryKind.UNKNOWN, "")


def test_neither_nodes_nor_children_show_caps() -> None:
    node, children = parse(directory({"a": ["dirnode", {"rw_uri": DIR}]}))
    assert "URI" not in f"{node} {children}"


def test_a_file_is_told_from_a_directory() -> None:
    node, _ = parse(json.dumps(["filenode", {"ro_uri": CHK, "size": 1000}]).encode())
    assert node == Node(EntryKind.FILE, CHK, None, 1000)


def test_a_kind_that_is_not_known_is_unknown() -> None:
    node, _ = parse(b'["unknown", {}]')
    assert node == Node(EntryKind.UNKNOWN, None, None)


def test_the_read_cap_is_derived_where_only_the_write_cap_is_told() -> None:
    assert child(rw_uri=DIR).entry.reference == DIR_RO
    assert child(rw_uri="nonsense").entry.reference == ""


def test_without_times_of_the_link_those_of_a_backup_are_taken() -> None:
    entry = child(metadata={"ctime": 1, "mtime": 2}).entry
    assert (entry.created, entry.modified) == (1, 2)


@pytest.mark.parametrize("time", [None, True, "10", {}, [1], 1e300, -1e300, -7e10])
def test_a_time_that_is_none_is_not_known(time: Any) -> None:
    assert child(metadata={"ctime": time}).entry.created is None


@pytest.mark.parametrize("size", [None, "1", -1, {}, 1.5, "?"])
def test_a_size_that_is_none_is_not_known(size: Any) -> None:
    assert child(size=size).entry.size is None


NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 10**15) | st.floats(0, 1e9) | NAMES,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=6,
)
LISTINGS = st.dictionaries(
    NAMES,
    st.tuples(
        st.sampled_from(["filenode", "dirnode", "unknown"]),
        st.fixed_dictionaries(
            {},
            optional={
                "ro_uri": st.sampled_from([CHK, DIR_RO]),
                "size": st.integers(0, 10**12),
                "children": JSON,
                "metadata": st.fixed_dictionaries(
                    {},
                    optional={
                        "tahoe": st.fixed_dictionaries(
                            {"linkmotime": st.floats(0, 1e9)}
                        ),
                        "tahoestorage": NAMES,
                        "children": JSON,
                        "mtime": st.integers(0, 10**9),
                        "other": JSON,
                    },
                ),
            },
        ),
    ),
    max_size=5,
)


@settings(max_examples=150, deadline=None)
@given(listing=LISTINGS, ascii_only=st.booleans(), data=st.data())
def test_a_listing_is_what_json_says_however_it_is_cut(
    listing: dict[str, Any], ascii_only: bool, data: st.DataObject
) -> None:
    document = ["dirnode", {"children": listing, **OWN}]
    body = json.dumps(document, ensure_ascii=ascii_only).encode()
    inner = st.integers(1, len(body) - 1)
    cuts = sorted(data.draw(st.sets(inner, max_size=4)))
    chunks = [body[a:b] for a, b in itertools.pairwise([0, *cuts, len(body)])]
    _, children = parse(*chunks)
    assert children.keys() == listing.keys()
    for name, (kind, properties) in listing.items():
        found, metadata = children[name], properties.get("metadata", {})
        mtime = metadata.get("tahoe", {}).get("linkmotime", metadata.get("mtime"))
        kinds = {"filenode": EntryKind.FILE, "dirnode": EntryKind.DIRECTORY}
        assert found.entry.kind is kinds.get(kind, EntryKind.UNKNOWN)
        assert found.entry.reference == properties.get("ro_uri", "")
        assert found.entry.size == properties.get("size")
        assert found.entry.modified == mtime
        assert found.token == metadata.get("tahoestorage")


def test_a_child_is_handed_on_before_the_listing_has_ended() -> None:
    first, second = directory({"a": ["filenode", {}], "b": ["filenode", {}]}).split(
        b'"b"'
    )
    seen: list[str] = []

    def chunks() -> Iterator[bytes]:
        yield first
        assert seen == ["a"]
        yield b'"b"' + second

    NodeParser("photos", lambda each: seen.append(each.name)).parse(chunks())
    assert seen == ["a", "b"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"dirnode"',
        b"[]",
        b"{}",
        b'{"servers": []}',
        b'["dirnode"]',
        b'["dirnode", {}]',
        b'["dirnode", {"children": null}]',
        b'["dirnode", {"children": []}]',
        b'["dirnode", {"children": {"a": 5}}]',
        b'["dirnode", {"children": {"a": ["filenode", {}]}}',
        b'["dirnode", {"children": {}}] ["dirnode", {"children": {}}]',
        b'["dirnode", {"children": {"\xff": ["filenode", {}]}}]',
        b"<html><body>Welcome to nginx!</body></html>",
        b"[" * 100_000,
        b'["dirnode", {"children": ' + b'{"a": ' * 50,
        directory({"a": ["filenode", {"ro_uri": CHK}]})[:-20],
        directory({"a": ["filenode", {"ro_uri": CHK}]}) + b"\n<!-- " + CHK.encode(),
    ],
)
def test_what_is_no_listing_is_an_unexpected_response_that_names_the_file(
    body: bytes,
) -> None:
    with pytest.raises(UnexpectedResponse, match=r"^photos: .*is it a Tahoe") as caught:
        parse(body)
    assert isinstance(caught.value, OSError)
    assert_hides_caps(caught.value, Cap.parse(CHK), Cap.parse(DIR))


def test_a_listing_without_an_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "LISTING_LIMIT", 1 << 20)
    child = f'"a": ["filenode", {{"ro_uri": "{CHK}"}}],'.encode()
    endless = itertools.chain([b'["dirnode", {"children": {'], itertools.repeat(child))
    with pytest.raises(UnexpectedResponse, match=r"^photos: .*has no end") as caught:
        NodeParser("photos").parse(endless)
    assert_hides_caps(caught.value)


def listed(*servers: dict[str, Any]) -> str:
    return json.dumps({"introducers": {"statuses": []}, "servers": servers})


def test_servers_are_connected_however_they_are_reached() -> None:
    states = ["Connected to 127.0.0.1 via tcp", "connected", "Trying to connect", "x"]
    servers = [{"nodeid": state, "connection_status": state} for state in states]
    found = parse_servers(listed(*servers))
    assert found is not None
    assert [each.connected for each in found] == [True, True, False, False]


def test_a_server_is_seen_that_the_gateway_was_once_connected_to() -> None:
    lost = {"nodeid": "a", "connection_status": "Reconnecting in 3 seconds"}
    found = parse_servers(
        listed({**lost, "version": "1.20.0"}, {**lost, "version": None})
    )
    assert found is not None
    assert [each.seen for each in found] == [True, False]


def test_a_nickname_that_would_move_the_cursor_is_made_printable() -> None:
    told = {"nodeid": "a", "connection_status": "x", "nickname": "a\x1b[2J\né\u202e"}
    (server,) = parse_servers(listed(told)) or ()
    assert server.nickname == r"a\x1b[2J\né\u202e"


@pytest.mark.parametrize(
    ("space", "full"), [(0, True), (-1, True), (1, False), (None, False), ("0", False)]
)
def test_a_server_without_any_space_is_full(space: Any, full: bool) -> None:
    told = {"nodeid": "a", "connection_status": "connected", "available_space": space}
    (server,) = parse_servers(listed(told)) or ()
    assert server.full is full
    assert server.space == (space if space in (0, 1) and space != "0" else None)


@pytest.mark.parametrize(
    "status",
    [
        "",
        "<html>",
        "[]",
        "{}",
        '{"servers": 5}',
        '{"servers": {"a": 1}}',
        '{"servers": [{}]}',
        '{"servers": [[]]}',
        '{"servers": [{"nodeid": "", "connection_status": "connected"}]}',
        '{"servers": [{"nodeid": 5, "connection_status": "connected"}]}',
        "[" * 100_000,
    ],
)
def test_what_is_no_list_of_servers_tells_of_none(status: str) -> None:
    assert parse_servers(status) is None


@pytest.mark.parametrize(
    ("results", "shares"),
    [
        ({"recoverable": True}, Shares(2, 4)),
        # Then the numbers are made up.
        ({"recoverable": False}, None),
        ({"recoverable": True, "count-shares-needed": 5}, None),
        ({"recoverable": True, "count-shares-needed": True}, None),
        ({"recoverable": True, "count-shares-expected": 1000}, None),
        ({}, None),
    ],
)
def test_a_check_tells_how_something_was_cut(results: Any, shares: Any) -> None:
    told = {"count-shares-needed": 2, "count-shares-expected": 4, **results}
    assert parse_shares(json.dumps({"results": told})) == shares


def test_a_check_of_something_else_tells_nothing() -> None:
    assert parse_shares("<html>") is None


TRACE = (
    "Traceback (most recent call last):\n"
    '  File "/tahoe/allmydata/immutable/upload.py", line 705, in get_shareholders\n'
    "    self._failed(msg)  # raises UploadUnhappinessError\n"
)


@pytest.mark.parametrize(
    ("status", "text", "kind", "builtin", "advice"),
    [
        (404, "<p>No such child: a</p>", FileMissing, FileNotFoundError, "no such"),
        (400, "Files have no children named b", FileMissing, FileNotFoundError, "no"),
        (409, "There was already a child", NameTaken, FileExistsError, "taken"),
        (
            409,
            "Unable to create directory 'a': a file was in the way",
            ParentIsFile,
            NotADirectoryError,
            "a file is in the way",
        ),
        (410, "", NotEnoughShares, OSError, "Try again"),
        (410, "NoSharesError: no shares", NotEnoughShares, OSError, "Try again"),
        (410, '{"error": "UnrecoverableFileError', NotEnoughShares, OSError, "again"),
        (
            500,
            "Traceback (most recent call last):\n"
            "Failure: allmydata.mutable.common.NotWriteableError: \n",
            ReadOnly,
            PermissionError,
            "a write cap is needed",
        ),
        (
            500,
            f"{TRACE}allmydata.interfaces.UploadUnhappinessError: server selection "
            "failed\nfor <x>",
            NotEnoughServers,
            OSError,
            "welcome page",
        ),
        (
            500,
            f"{TRACE}allmydata.interfaces.NoServersError: client gave us zero servers",
            NotEnoughServers,
            OSError,
            "welcome page",
        ),
        (
            500,
            f"{TRACE}allmydata.mutable.common.UncoordinatedWriteError: ",
            WriteCollision,
            OSError,
            "common lock",
        ),
        (302, "", UnexpectedResponse, OSError, "set base_url"),
    ],
)
def test_each_response_means_one_error_which_names_the_file_and_says_what_to_do(
    status: int,
    text: str,
    kind: type[Exception],
    builtin: type[Exception],
    advice: str,
) -> None:
    error = error_from_response(status, text, "photos/a.jpg")
    assert type(error) is kind
    assert isinstance(error, builtin)
    assert isinstance(error, TahoeStorageError)
    assert str(error).startswith("photos/a.jpg: ")
    assert advice in str(error)


def test_a_trace_counts_for_the_error_it_ends_with() -> None:
    error = error_from_response(
        500, f"{TRACE}builtins.AssertionError: {CHK} is odd\n", "a.jpg"
    )
    assert type(error) is UnexpectedResponse
    assert "500" in str(error)
    assert str(error).endswith("builtins.AssertionError: URI:*** is odd")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 413, 500, 501])
def test_a_response_of_another_server_is_quoted_shortly(status: int) -> None:
    page = f"<html><h1>No luck</h1><p>with /uri/{CHK}</p>{'x' * 9999}</html>"
    error = error_from_response(status, page, "a.jpg")
    assert type(error) is UnexpectedResponse
    assert f"responded with {status}" in str(error)
    assert "No luck with /uri/URI:***" in str(error)
    assert len(str(error)) < 400
    assert isinstance(error, GatewayError)
    assert_hides_caps(error)


@pytest.mark.parametrize(
    ("status", "kind"),
    [(502, GatewayUnreachable), (503, GatewayUnreachable), (504, GatewayTimeout)],
)
def test_what_a_proxy_says_of_its_gateway_is_as_if_nothing_were_between(
    status: int, kind: type[GatewayError]
) -> None:
    error = error_from_response(status, f"<h1>Bad</h1> /uri/{CHK}", "a.jpg")
    assert type(error) is kind
    assert f"responded with {status}: Bad /uri/URI:***" in str(error)
    assert_hides_caps(error)


def test_an_empty_answer_is_told_as_such() -> None:
    assert str(error_from_response(500, "", "a.jpg")).endswith("nothing")
