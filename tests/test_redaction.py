"""Caps are kept out of logs, messages and tracebacks."""

from __future__ import annotations

import contextlib
import logging
from urllib.parse import quote

import pytest

from tahoestorage.exceptions import InvalidCap
from tahoestorage.redaction import (
    RedactCaps,
    Secret,
    SecretBytes,
    has_password,
    hide,
    redact,
    redact_loggers,
)
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.tahoe.publicurls import public_url
from tahoestorage.testing.grid import LocalGrid
from tests.support.leaks import assert_hides_caps, assert_no_cap, everything_logged

KEY, HASH = "a" * 26, "b" * 52
CAPS = [
    f"URI:CHK:{KEY}:{HASH}:1:1:1000",
    "URI:LIT:nbswy3dpfqqho33snrsa",
    f"URI:SSK:{KEY}:{HASH}",
    f"URI:MDMF-RO:{KEY}:{HASH}:3:131073",
    f"URI:DIR2:{KEY}:{HASH}",
    f"URI:DIR2-Verifier:{KEY}:{HASH}",
    f"ro.URI:FUTURE:{KEY}",
    f"imm.URI:FUTURE:{KEY}",
]


@pytest.mark.parametrize("cap", CAPS)
def test_a_cap_is_made_unreadable_and_what_is_around_it_stays(cap: str) -> None:
    once = quote(cap, safe="")
    for written in (cap, once, once.lower(), quote(once, safe="")):
        line = f'GET "http://127.0.0.1:3456/uri/{written}/photo.jpg?t=json" 200'
        assert redact(line) == (
            'GET "http://127.0.0.1:3456/uri/URI:***/photo.jpg?t=json" 200'
        )


def test_every_cap_of_a_text_is_made_unreadable() -> None:
    assert redact(f"{CAPS[0]} is linked in <{CAPS[4]}>") == (
        "URI:*** is linked in <URI:***>"
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", "''"),
        ("wJalrXUtnFEMI/abcdefghijklmnopqrstuvwx9", "'***'"),
        (KEY, "'***'"),
        ("redis://:password@cache.example/0", "'redis://***@cache.example/0'"),
        # An unquoted slash, or @, in the password.
        ("redis://:pass/word@cache.example", "'***'"),
        ("redis://:pass@word/2@cache.example", "'***'"),
    ],
)
def test_of_a_secret_only_what_is_none_is_shown(text: str, shown: str) -> None:
    assert repr(Secret(text)) == shown


def test_what_is_hidden_is_equal_and_of_the_same_types() -> None:
    options = {
        "location": "media",
        "secret_key": "wJalrXUtnFEMI",
        "root_caps": [CAPS[4], "word"],
        "keys": (b"key", {CAPS[4]: 1}),
        "token": "",
    }
    hidden = hide(options)
    assert hidden == options
    assert repr(hidden) == (
        "{'location': 'media', 'secret_key': '***', 'root_caps': ['URI:***', 'word'], "
        "'keys': (<3 bytes>, {'URI:***': 1}), 'token': ''}"
    )


def test_a_secret_is_its_text_and_is_not_shown() -> None:
    secret = Secret(f"/uri/{CAPS[0]}")
    assert secret == f"/uri/{CAPS[0]}"
    assert "http://x" + secret == f"http://x/uri/{CAPS[0]}"
    for shown in (repr(secret), f"{secret!r}", f"{[secret]}", str({"target": secret})):
        assert_no_cap(shown)
        assert "URI:***" in shown


def test_secret_bytes_show_only_how_many_they_are() -> None:
    secret = SecretBytes(CAPS[1].encode())
    assert secret == CAPS[1].encode()
    assert f"{[secret]}" == f"[<{len(CAPS[1])} bytes>]"


def test_a_log_record_passes_without_caps_and_without_its_exception() -> None:
    logger = logging.getLogger("tests.redaction")
    redact_loggers(logger.name)
    redact_loggers(logger.name)
    assert sum(isinstance(each, RedactCaps) for each in logger.filters) == 1
    with everything_logged() as lines:
        try:
            raise ValueError(CAPS[0])
        except ValueError:
            logger.exception("%s %d of %s", "GET", 7, CAPS[0])
    assert lines == ["tests.redaction: GET 7 of URI:***"]


def test_the_http_libraries_log_requests_without_caps(tahoe_grid: LocalGrid) -> None:
    root = tahoe_grid.create_root()
    gateway = Gateway(tahoe_grid.base_url)
    with everything_logged() as lines, contextlib.closing(gateway):
        gateway.list(root, label="the root")
    (line,) = [each for each in lines if each.startswith("urllib3.connectionpool: htt")]
    assert '"GET /uri/URI:***?t=json HTTP/1.1" 200' in line


@pytest.mark.parametrize(
    "reference", [f"{CAPS[0]}x", f"{CAPS[4]}", f"{CAPS[6]}", f"{CAPS[5]}"]
)
def test_what_has_no_url_is_not_shown_by_the_error_either(reference: str) -> None:
    with pytest.raises(InvalidCap) as caught:
        public_url("http://files.example", reference, "photo.jpg")
    assert_hides_caps(caught.value)


def test_a_text_that_is_almost_a_cap_is_not_shown_by_the_error() -> None:
    with pytest.raises(InvalidCap) as caught:
        Cap.parse(CAPS[4] + "b")
    assert_hides_caps(caught.value)


def test_a_text_of_many_addresses_is_looked_at_once() -> None:
    # By the square of its length it would take hours.
    text = "URI:x " + "://a" * 250_000
    assert not has_password(text)
    assert has_password(f"{text}@")
    assert Secret(text).shown.startswith("URI:*** ")
