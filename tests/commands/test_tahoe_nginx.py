"""``manage.py tahoe_nginx``: nginx takes what it prints; and what it does not print."""

from __future__ import annotations

import io
import itertools
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.management import CommandError, call_command

from tahoestorage.tahoe.caps import Cap
from tests.support.nginx_server import (
    configuration,
    errors,
    require_nginx,
    running,
)
from tests.support.ports import free_port

GATEWAY = "http://127.0.0.1:3456"
PUBLIC = "https://files.example"


def printed(*arguments: str, **settings: object) -> str:
    given = {
        "TAHOE_STORAGE_BASE_URL": GATEWAY,
        "TAHOE_PUBLIC_BASE_URL": PUBLIC,
        **settings,
    }
    return configuration(*arguments, **given)


def in_http(text: str) -> str:
    """Return a whole file around what goes inside `http { }`."""
    paths = "".join(
        f"{name}_temp_path {name};\n"
        for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"pid nginx.pid;\nevents {{ }}\nhttp {{\n{paths}{text}\n}}\n"


@pytest.mark.parametrize(
    ("gateway", "public", "arguments"),
    [
        (gateway, public, arguments)
        for gateway, public, arguments in itertools.product(
            (
                GATEWAY,
                "http://127.0.0.1",
                "https://localhost:3457",
                "http://[::1]:3456/below/a/path",
            ),
            (PUBLIC, "https://files.example/some.where", None),
            ((), ("--mutable",), ("--directories",), ("--mutable", "--directories")),
        )
    ],
)
def test_nginx_finds_no_error_in_it(
    tmp_path: Path, gateway: str, public: str | None, arguments: tuple[str, ...]
) -> None:
    settings = {"TAHOE_STORAGE_BASE_URL": gateway, "TAHOE_PUBLIC_BASE_URL": public}
    for mode in ("--standalone", ""):
        given = [*arguments, mode or "--cache", *([] if mode else ["cache:10m"])]
        text = printed(*given, **settings)
        text = text.replace("/var/log/nginx/", "")
        text = text if mode else in_http(text)
        assert errors(tmp_path, text) == ""


@pytest.mark.parametrize(
    ("listen", "expected"),
    [
        ("127.0.0.1:8181", "127.0.0.1:8181"),
        ("8181", "127.0.0.1:8181"),
        ("0.0.0.0:8181", "127.0.0.1:8181"),
        ("*:8181", "127.0.0.1:8181"),
        ("[::]:8181", "[::1]:8181"),
        ("[::1]:8181", "[::1]:8181"),
        ("192.0.2.1:80", "192.0.2.1:80"),
    ],
)
def test_it_reaches_itself_where_it_listens(
    tmp_path: Path, listen: str, expected: str
) -> None:
    text = printed("--standalone", "--listen", listen)
    assert text.count(f"listen {listen};") == 2
    assert f"upstream tahoe_parts {{\n    server {expected};" in text


def test_who_is_said_to_run_it_is_not_believed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody; load_module evil.so")
    text = printed("--standalone")
    assert "somebody" not in text
    assert ("user root;" in text) == (os.geteuid() == 0)


def test_what_the_rest_of_nginx_does_makes_no_difference(tmp_path: Path) -> None:
    port = free_port()
    text = printed(
        *("--listen", f"127.0.0.1:{port}", "--cache", "kept:10m"),
        TAHOE_STORAGE_BASE_URL=f"http://127.0.0.1:{free_port()}",
    ).replace("/var/log/nginx/", "")
    odd = "gzip on; gzip_types *; gzip_min_length 0; proxy_buffering off; expires 1h;"
    odd += "add_header X-Of-The-Rest 1 always; proxy_set_header X-Of-The-Rest 1;"
    user = "user root;\n" if os.getuid() == 0 else ""
    with running(tmp_path, f"{user}daemon off;\n{in_http(odd + text)}", port):
        url = f"http://127.0.0.1:{port}/named/URI%3ALIT%3Anbswy3dp/a.txt"
        with requests.Session() as visitor:
            visitor.trust_env = False
            response = visitor.get(url, timeout=30)
    # Of a gateway that is not there.
    assert response.status_code == 503
    assert "X-Of-The-Rest" not in response.headers
    assert "Content-Encoding" not in response.headers


def test_the_settings_of_the_site_are_in_it() -> None:
    text = printed(
        "--standalone",
        TAHOE_STORAGE_BASE_URL="http://127.0.0.1:9999",
        TAHOE_PUBLIC_BASE_URL="https://files.example/below",
        TAHOE_STORAGE_READ_TIMEOUT=33,
        TAHOE_STORAGE_CONNECT_TIMEOUT=0.2,
    )
    assert "server 127.0.0.1:9999;" in text
    assert "server_name files.example;" in text
    assert "proxy_read_timeout 33s;" in text
    assert "proxy_connect_timeout 1s;" in text
    assert "~^/below/(?:named|file)/" in text


def test_the_location_for_allowed_downloads_is_printed_alone(tmp_path: Path) -> None:
    text = printed("--accel", TAHOE_ACCEL_REDIRECT="/_tahoe/")
    assert text.count("location /_tahoe/ {") == 1
    assert "server {" not in text
    whole = in_http(f"server {{ listen 127.0.0.1:8181; {text} }}")
    assert errors(tmp_path, whole) == ""


def test_without_the_setting_there_is_no_such_location() -> None:
    with pytest.raises(CommandError, match="TAHOE_ACCEL_REDIRECT is not set"):
        printed("--accel")


def test_options_are_in_it() -> None:
    text = printed("--server-name", "a.example", "b.example", "--cache", "/d/e:7g")
    assert "server_name a.example b.example;" in text
    assert re.search(r"proxy_cache_path /d/e levels=1:2 .*\n    max_size=7g", text)
    assert "daemon off" not in text


def test_no_cap_is_in_it() -> None:
    root = Cap.parse("URI:DIR2:" + "a" * 26 + ":" + "a" * 52)
    text = printed("--standalone", "--directories", TAHOE_STORAGE_BASE_CAP=root.uri)
    assert "a" * 26 not in text
    assert root.read_only.uri.split(":")[2] not in text


@pytest.mark.parametrize(
    "arguments",
    [
        ("--listen", "8080; } evil {"),
        ("--listen", "127.0.0.1:0"),
        ("--listen", "127.0.0.1:65536"),
        ("--listen", "$host:80"),
        ("--listen", ""),
        ("--server-name", "a;b"),
        ("--server-name", "a b"),
        ("--server-name", ""),
        ("--access-log", "/a b"),
        ("--access-log", "off; evil"),
        ("--access-log", ""),
        ("--cache", "/var/cache"),
        ("--cache", "/var/cache:"),
        ("--cache", ":1g"),
        ("--cache", "/var/cache:1t"),
        ("--cache", "/a dir:1g"),
        ("--cache", "/a;b:1g"),
        ("--cache", "/a\nb:1g"),
        ("--standalone", "--accel"),
    ],
)
def test_what_nginx_would_read_otherwise_is_refused(arguments: tuple[str, str]) -> None:
    with pytest.raises(CommandError, match=r"Error: argument --"):
        printed(*arguments)


def test_wrong_settings_are_told() -> None:
    with pytest.raises(CommandError, match="TAHOE_STORAGE_BASE_URL"):
        printed(TAHOE_STORAGE_BASE_URL="nonsense")


@pytest.mark.parametrize("setting", ["TAHOE_STORAGE_BASE_URL", "TAHOE_PUBLIC_BASE_URL"])
def test_an_address_that_nginx_would_misread_is_refused(setting: str) -> None:
    with pytest.raises(CommandError, match=f"{setting} has a character in it"):
        printed(**{setting: "http://127.0.0.1:80/a;b{c}$d"})


def test_a_language_with_other_numbers_makes_no_difference() -> None:
    plain = printed(TAHOE_STORAGE_READ_TIMEOUT=3600)
    grouped = printed(
        TAHOE_STORAGE_READ_TIMEOUT=3600,
        LANGUAGE_CODE="de",
        USE_THOUSAND_SEPARATOR=True,
    )
    assert plain == grouped
    assert "proxy_read_timeout 3600s;" in plain


def test_it_says_that_the_site_has_no_public_address_yet() -> None:
    told = io.StringIO()
    call_command("tahoe_nginx", stdout=io.StringIO(), stderr=told)
    assert told.getvalue().startswith("Set TAHOE_PUBLIC_BASE_URL ")


def test_all_that_it_writes_is_below_its_directory(tmp_path: Path) -> None:
    """In a folder that is closed to others, and from whatever folder it is started."""
    directory = tmp_path / "its own"
    directory.mkdir(mode=0o700)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    port = free_port()
    text = printed("--standalone", "--listen", f"127.0.0.1:{port}")
    here = Path.cwd()
    os.chdir(elsewhere)
    try:
        with running(directory, text, port) as process:
            assert list(elsewhere.iterdir()) == []
            written = {path.name for path in directory.iterdir()}
            process.send_signal(signal.SIGQUIT)
            assert process.wait(60) == 0
    finally:
        os.chdir(here)
    assert {"access.log", "cache", "cache-parts", "nginx.pid"} <= written


@pytest.mark.parametrize("log", ["other.log", "off"])
def test_its_log_is_where_somebody_wants_it_or_nowhere(
    tmp_path: Path, log: str
) -> None:
    port = free_port()
    text = printed("--standalone", "--listen", f"127.0.0.1:{port}", "--access-log", log)
    with running(tmp_path, text, port):
        logs = {path.name for path in tmp_path.glob("*.log")} - {"error.log"}

    assert logs == {log} - {"off"}


def test_an_unprivileged_user_can_run_it(tmp_path: Path) -> None:
    directory = tmp_path / "of-nobody"
    directory.mkdir()
    (directory / "nginx.conf").write_text(printed("--standalone"))
    another: dict[str, Any] = {}
    if os.getuid() == 0:
        nobody = 65534
        for parent in directory.parents:
            if "pytest" in str(parent):
                parent.chmod(0o755)
        os.chown(directory, nobody, nobody)
        another = {"user": nobody, "group": nobody, "extra_groups": []}
    run = subprocess.run(
        [require_nginx(), "-p", str(directory), "-c", "nginx.conf", "-t"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **another,
    )
    assert run.returncode == 0, run.stdout
    assert "test is successful" in run.stdout


def test_help_suffices() -> None:
    run = subprocess.run(
        [sys.executable, "-P", "-m", "django", "tahoe_nginx", "--help"],
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    for option in ("--access-log", "--listen", "--server-name", "--cache", "--mutable"):
        assert option in run.stdout
    assert "nginx -p DIR -c FILE" in " ".join(run.stdout.split())
