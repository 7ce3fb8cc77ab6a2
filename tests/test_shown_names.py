"""What a file is called reaches no log, error, terminal or path but as text."""

from __future__ import annotations

import io
import json
import logging
import pickle
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from django.core.files.base import ContentFile
from django.core.management import CommandError, call_command
from pytest_django.fixtures import Settings

from tahoestorage import exceptions
from tahoestorage.exceptions import Lines, TahoeStorageError, printable
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe.caps import Cap
from tahoestorage.testing.grid import LocalGrid
from tests.conftest import MakeStorage
from tests.support.moves import Add
from tests.support.proxy import Proxy, SendResponse

pytestmark = pytest.mark.usefixtures("no_waiting")

HOSTILE = "a\x1b[31m\r\nX-Evil: 1\u202egpj.\u2028\x7f\x9b"
SHOWN = r"a\x1b[31m\r\nX-Evil: 1\u202egpj.\u2028\x7f\x9b"
LONG = b"more than a cap can hold " * 10


def test_what_can_be_printed_stays_as_it_is() -> None:
    for text in ("photo.jpg", "été 東京 🎉.png", "back\\slash", 'it\'s "quoted"', ""):
        assert printable(text) == text


def test_what_a_terminal_would_obey_is_written_out() -> None:
    assert printable(HOSTILE) == SHOWN
    assert printable("\0\ud800\u200b") == r"\x00\ud800\u200b"


@pytest.mark.parametrize(
    "kind",
    [
        each
        for each in vars(exceptions).values()
        if isinstance(each, type) and issubclass(each, TahoeStorageError)
    ],
)
def test_every_error_is_one_line_of_text(kind: type[TahoeStorageError]) -> None:
    error = kind(f"{HOSTILE}: there is no such file")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own
    for each in (error, again):
        assert str(each) == f"{SHOWN}: there is no such file"
        assert each.args == (str(each),)


def test_what_is_meant_to_have_lines_has_them() -> None:
    assert str(exceptions.GatewayError(Lines("one\ntwo"))) == "one\ntwo"


def test_a_name_is_text_in_errors_logs_requests_and_urls(
    storage: TahoeStorage, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    storage.save("kept", ContentFile(LONG))
    with pytest.raises(FileNotFoundError) as missing:
        storage.open(f"dir/{HOSTILE}")
    with pytest.raises(ValueError, match="nothing before") as seeking:
        storage._reader("kept").seek(-1)
    with storage.open(HOSTILE, "xb") as file:
        file.write(LONG)
    storage.copy(HOSTILE, f"{HOSTILE}/../{HOSTILE}2")
    assert set(storage.listdir("")[1]) == {"kept", HOSTILE, f"{HOSTILE}2"}
    url = storage.url(HOSTILE)
    storage.delete(HOSTILE)
    assert SHOWN in str(missing.value)
    for text in (str(missing.value), str(seeking.value), url, *caplog.messages):
        assert text.isprintable()
    # What a proxy would rather not let through is not in it.
    in_url = "a_[31m__X-Evil: 1\u202egpj.\u2028__"
    assert unquote(urlsplit(url).path).endswith(f"/{in_url}")


def test_commands_print_names_as_text(
    add: Add, settings: Settings, tmp_path: Path
) -> None:
    add("disk", "disk")
    disk = tmp_path / "disk"
    for number, name in enumerate(("a\x1b[31m\r\nb", "c\u202ed")):
        (disk / name).write_text(str(number))
    add("grid", "grid")
    settings.STATICFILES_DIRS = [str(disk)]
    settings.STATIC_URL = "/static/"
    settings.INSTALLED_APPS = [*settings.INSTALLED_APPS, "django.contrib.staticfiles"]
    settings.STORAGES = {**settings.STORAGES, "staticfiles": settings.STORAGES["grid"]}
    for command in (
        ["storage_copy", "grid", "disk", "--dry-run", "--delete-extra"],
        ["storage_copy", "disk", "grid", "-v3"],
        ["storage_copy", "grid", "disk", "--json"],
        ["storage_cache", "warm", "grid"],
        ["collectstatic", "--noinput", "-v3"],
        ["collectstatic", "--noinput", "-v3", "--clear", "--dry-run"],
    ):
        out = io.StringIO()
        try:
            call_command(*command, stdout=out, stderr=out)
        except CommandError as error:
            out.write(str(error))
        assert out.getvalue()
        for line in out.getvalue().split("\n"):
            assert line.isprintable(), command


def test_names_that_lead_elsewhere_are_not_listed(
    make_storage: MakeStorage, root: Cap, tahoe_grid: LocalGrid
) -> None:
    names = ["../x", "a/b", "", ".", "..", "/etc/passwd", "good", "\0"]
    cap = "URI:LIT:nbswy3dp"
    children = {name: ["filenode", {"ro_uri": cap}] for name in names}
    said = ["dirnode", {"children": children, "ro_uri": root.read_only.uri}]
    with Proxy(tahoe_grid.base_url) as proxy:
        response = SendResponse(200, {}, json.dumps(said).encode())
        proxy.rule(lambda seen: True, response, None)
        storage = make_storage(base_url=proxy.url)
        assert storage.listdir("") == ([], ["\0", "good"])
