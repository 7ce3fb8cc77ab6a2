"""The README and docs/: what they tell to run is run, what they list is compared.

A block of code is fetched by its file, its language and its place among those of that
language. A block that no test fetches fails a test.
"""

from __future__ import annotations

import ast
import asyncio
import builtins
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import types
import urllib.error
import urllib.request
import warnings
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from dataclasses import fields
from datetime import date
from importlib.metadata import metadata
from pathlib import Path
from typing import Any

import pytest
import requests
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.core.files.base import ContentFile
from django.core.files.storage import storages
from django.core.management import call_command, load_command_class
from django.test import Client, RequestFactory, override_settings
from django.utils.module_loading import import_string
from playwright.sync_api import Page
from pytest_django.fixtures import Settings

from tahoestorage import checks, exceptions, installed
from tahoestorage.config import storeoptions
from tahoestorage.config.options import CacheOptions, Options
from tahoestorage.config.settings import (
    ACCEL_REDIRECT,
    CLASSIC_PUBLIC_URL,
    METRICS_TOKEN,
    PREFIX,
    read_cache_options,
)
from tahoestorage.storage import TahoeStorage
from tahoestorage.tahoe import marker
from tahoestorage.tahoe.caps import Cap
from tahoestorage.tahoe.gateway import Gateway
from tahoestorage.testing.grid import LocalGrid
from tests.support.browser import running_chromium
from tests.support.documents import FENCE, block, blocks
from tests.support.nginx_server import errors, needs_nginx, run_nginx
from tests.support.ports import free_port
from tests.support.s3_servers import S3Server

ROOT = Path(__file__).resolve().parent.parent
PAGES = [str(p.relative_to(ROOT)) for p in sorted((ROOT / "docs").rglob("*.md"))]
DOCUMENTS = ["README.md", *PAGES]
COMMANDS = ROOT / "tahoestorage/management/commands"
GATEWAY = "http://127.0.0.1:3456"
CONTENT = b"Content that is longer than what a literal cap holds. " * 20
PATIENCE = 120  # seconds; only an error takes so long


def table(document: str, heading: str) -> list[list[str]]:
    """Return the rows of the first table after a text, without its head."""
    after = (ROOT / document).read_text("utf-8").partition(heading)[2]
    match = re.search(r"(?:^\|.*\n)+", after, re.MULTILINE)
    assert match
    rows = [line.strip("| ").split(" | ") for line in match[0].splitlines()]
    return rows[2:]


def code(cell: str) -> str:
    """Return the first text in a cell that is marked as code."""
    return cell.split("`")[1]


class Shell:
    """Runs commands in a folder, as a user of this environment would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        inherited = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("TAHOE_", "PYTEST_", "DJANGO_", "XDG_"))
        }
        programs = os.path.dirname(sys.executable)
        self.environment = inherited | {
            "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
            "HOME": str(folder),
        }

    def start(self, command: str, **options: Any) -> subprocess.Popen[str]:
        return subprocess.Popen(
            ["sh", "-euc", command],
            cwd=self.folder,
            env=self.environment,
            text=True,
            **options,
        )

    def run(self, command: str, status: int = 0) -> tuple[str, str]:
        """Return what a command writes to stdout and to stderr."""
        pipe = subprocess.PIPE
        process = self.start(
            command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe
        )
        out, err = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == status, out + err
        return out, err


def wait_until(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


# What there is


def test_every_block_is_fetched_by_a_test() -> None:
    call = r'\bblock\(\s*"([\w./-]+)",\s*"(\w*)",\s*(\d+)'
    # Those of the application are run by its own tests.
    tests = [Path(__file__), *(ROOT / "tests/application").rglob("test_*.py")]
    used = [key for path in tests for key in re.findall(call, path.read_text("utf-8"))]
    # test_storage_copy runs those of its guide.
    others = [d for d in DOCUMENTS if d != "docs/moving.md"]
    there = [key for document in others for key in blocks(document)]
    assert {(d, kind, int(number)) for d, kind, number in used} == set(there)


@pytest.mark.parametrize(
    "document",
    [*DOCUMENTS, "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "example/README.md"],
)
def test_every_link_leads_somewhere(document: str) -> None:
    text = FENCE.sub("", (ROOT / document).read_text("utf-8"))
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = link.partition("#")
        if "://" in link:
            continue
        target = (ROOT / document).parent / path if path else ROOT / document
        if not target.exists():
            missing.append(link)
        elif anchor:
            headings = re.findall(r"^#+ (.+)$", target.read_text("utf-8"), re.MULTILINE)
            anchors = [re.sub(r"[^\w -]", "", each.lower()) for each in headings]
            if anchor not in [each.replace(" ", "-") for each in anchors]:
                missing.append(link)
    assert missing == []


def test_the_readme_can_be_read_where_its_links_lead_nowhere() -> None:
    # A package index shows it without the files beside it.
    text = FENCE.sub("", (ROOT / "README.md").read_text("utf-8"))
    links = re.findall(r"\]\(([^)\s]+)\)", text)
    assert [link for link in links if not link.startswith("https://")] == []
    named = set(re.findall(r"`((?:docs/)?[\w-]+\.md)`", text))
    assert [name for name in named if not (ROOT / name).exists()] == []
    # The last are the example's, whose README is another.
    others = ("docs/api/", "docs/application/", "docs/deploy/")
    assert named >= {page for page in PAGES if not page.startswith(others)}


@pytest.mark.parametrize("document", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_the_files_that_are_named_to_contributors_exist(document: str) -> None:
    text = (ROOT / document).read_text("utf-8")
    named = set(re.findall(r"[\w./-]*\w(?:/(?![\w*])|\.(?:py|md)\b)", text))
    missing = [
        path
        for path in named
        if not any((folder / path).exists() for folder in (ROOT / "tahoestorage", ROOT))
    ]
    assert len(named) > 10
    assert missing == []


@pytest.mark.parametrize("document", DOCUMENTS)
def test_lists_are_lists_to_every_reader_of_markdown(document: str) -> None:
    # Some want an empty line before a list, and four spaces before one in a list.
    text = FENCE.sub("", (ROOT / document).read_text("utf-8"))
    glued = re.findall(r"^(?![-|#<]| |\d+\.)\S.*\n- .*", text, re.MULTILINE)
    nested = re.findall(r"^ {1,3}(?:[-*]|\d+\.) .*", text, re.MULTILINE)
    assert glued + nested == []


@pytest.mark.parametrize("target", ["demo", "test", "bench", "docs"])
def test_make_has_the_targets(target: str) -> None:
    told = {
        "demo": block("README.md", "sh", 1),
        "test": block("README.md", "sh", 2),
        "bench": "make bench",
        "docs": "make docs",
    }
    assert told[target].strip() == f"make {target}"
    makefile = (ROOT / "Makefile").read_text("utf-8")
    assert re.search(rf"^{target}:.*##", makefile, re.MULTILINE)


def test_pip_is_given_the_name_of_the_package_and_its_extra() -> None:
    package = metadata("django-tahoestorage")
    plain, extra = block("README.md", "sh", 3), block("README.md", "sh", 4)
    assert plain.split() == ["pip", "install", package["Name"]]
    assert extra.split() == ["pip", "install", f'"{package["Name"]}[grid]"']
    others = [block("docs/s3-gcs.md", "sh", 1), block("docs/s3-gcs.md", "sh", 2)]
    extras = ["s3", "gcs"]
    for line, name in zip(others, extras, strict=True):
        assert line.split() == ["pip", "install", f'"{package["Name"]}[{name}]"']
    assert {"grid", *extras, "redis"} <= set(package.get_all("Provides-Extra") or [])


# Other stores


def executed(source: str) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(source, names)  # noqa: S102
    return names


def test_the_environment_names_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    source = block("docs/environment.md", "python", 1)
    with pytest.raises(ImproperlyConfigured, match="STORAGE_URL is not set"):
        executed(source)
    backends = []
    for line in block("docs/environment.md", "text", 1).splitlines():
        variable, _, url = line.partition("=")
        monkeypatch.setenv(variable, url)
        made = executed(source)["STORAGES"]["default"]
        backends.append(made["BACKEND"].rpartition(".")[2])
    assert backends == [
        *("TahoeStorage", "S3Storage", "GCSStorage"),
        *("FileSystemStorage", "InMemoryStorage"),
    ]


def test_the_settings_of_the_other_stores_are_settings() -> None:
    for source in (
        block("docs/s3-gcs.md", "python", 1),
        block("docs/s3-gcs.md", "python", 2),
    ):
        made = executed(source)["STORAGES"]["default"]
        storage = import_string(made["BACKEND"])(**made["OPTIONS"])
        assert storage.bucket_name == "media"
        assert not storage.file_overwrite
    redis = executed(block("docs/cache.md", "python", 1))["TAHOE_STORAGE_CACHE"]
    with override_settings(TAHOE_STORAGE_CACHE=redis):
        options = read_cache_options()
    assert options is not None
    assert options.redis == redis["redis"]


def test_what_is_beyond_django_s_api_on_the_other_stores(moto: S3Server) -> None:
    options = {**moto.options, "bucket_name": moto.make_bucket(), "cache": False}
    backend = "tahoestorage.backends.s3.S3Storage"
    made = {"default": {"BACKEND": backend, "OPTIONS": options}}
    with override_settings(STORAGES=made):
        upload = executed(block("docs/s3-gcs.md", "python", 3))["upload"]
        assert {"method", "url", "fields", "headers"} == set(upload._fields)
        for number in range(30):
            storages["default"].save(f"2026/{number}.jpg", ContentFile(b"x"))
        fewer = {"range(1000)": "range(30)"}
        sizes = executed(block("docs/s3-gcs.md", "python", 4, replacing=fewer))["sizes"]
    assert sizes == [1] * 30


def test_the_lifecycle_rules_and_the_command_end_unfinished_uploads(
    moto: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    bucket = moto.make_bucket()
    client = moto.client()
    rules = json.loads(block("docs/s3-gcs.md", "json", 1))
    client.put_bucket_lifecycle_configuration(
        Bucket=bucket, LifecycleConfiguration=rules
    )
    kept = client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert {rule["ID"] for rule in kept} == {"trials", "unfinished-uploads"}

    client.create_multipart_upload(Bucket=bucket, Key="large.bin")
    backend = "tahoestorage.backends.s3.S3Storage"
    options = {**moto.options, "bucket_name": bucket, "cache": False}
    look, end = block("docs/s3-gcs.md", "sh", 3).splitlines()
    with override_settings(
        STORAGES={"default": {"BACKEND": backend, "OPTIONS": options}}
    ):
        call_command(*look.removeprefix("python manage.py ").split())
        assert "large.bin" in capsys.readouterr().out
        # moto says of each that it was begun years ago.
        call_command(*end.removeprefix("python manage.py ").split())
    assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


# What is listed


OPTION = re.compile(
    r"^### `([a-z_]+)`(?P<of_cache> \(in `cache`\))?\n"
    r"(?:Setting (?P<settings>`\w+`(?: or `\w+`)*), d|D)efault (?P<default>none|`.+?`)",
    re.MULTILINE,
)


@pytest.mark.parametrize(
    ("options", "of_cache"), [(Options, False), (CacheOptions, True)]
)
def test_the_options_are_those_that_there_are_with_their_defaults(
    options: type, of_cache: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    default = options()
    text = (ROOT / "docs/options.md").read_text("utf-8")
    told = {
        each[1]: each["default"]
        for each in OPTION.finditer(text)
        if bool(each["of_cache"]) == of_cache
    }
    assert set(told) == {field.name for field in fields(options)}
    for field in fields(options):
        expected = getattr(default, field.name)
        if told[field.name] == "none":
            assert expected is None, field.name
        else:
            value = ast.literal_eval(code(told[field.name]))
            assert field.metadata["convert"](value) == expected, field.name


@pytest.mark.parametrize(
    ("options", "of_cache"), [(Options, False), (CacheOptions, True)]
)
def test_the_text_on_an_option_begins_with_its_meaning(
    options: type, of_cache: bool
) -> None:
    text = (ROOT / "docs/options.md").read_text("utf-8")
    for each in OPTION.finditer(text):
        if bool(each["of_cache"]) == of_cache:
            [field] = [one for one in fields(options) if one.name == each[1]]
            told = re.sub(
                r"\[(.+?)\]\(.+?\)", r"\1", text[each.end() :].partition("\n\n")[2]
            )
            assert " ".join(told.split()).startswith(
                field.metadata["meaning"].removesuffix(".")
            )


OBJECT_OPTION = re.compile(
    r"^### `(?P<name>[a-z_]+)` \(on (?P<stores>.+)\)\n"
    r"Setting (?P<settings>`\w+`(?: or `\w+`)*), default `(?P<default>.+?)`",
    re.MULTILINE,
)


def test_the_settings_are_those_that_there_are() -> None:
    text = (ROOT / "docs/options.md").read_text("utf-8")
    others = [*OBJECT_OPTION.finditer(text), *re.findall(r"^### `TAHOE_", text, re.M)]
    assert text.count("\n### ") == len(OPTION.findall(text)) + len(others)
    for option in OPTION.finditer(text):
        names = set() if option["of_cache"] else {PREFIX + option[1].upper()}
        if option[1] == "public_base_url":
            names.add(CLASSIC_PUBLIC_URL)
        assert set(re.findall(r"`(\w+)`", option["settings"] or "")) == names


def test_the_options_of_object_stores_are_those_that_they_have_besides() -> None:
    text = (ROOT / "docs/options.md").read_text("utf-8")
    told = {each["name"]: each for each in OBJECT_OPTION.finditer(text)}
    for path, label, theirs in (
        ("s3.S3Storage", "S3", "storages.backends.s3.S3Storage"),
        ("gcs.GCSStorage", "Google", "storages.backends.gcloud.GoogleCloudStorage"),
    ):
        storage = import_string(f"tahoestorage.backends.{path}")(bucket_name="media")
        options = storage.get_default_settings()
        usual = import_string(theirs).get_default_settings(storage)
        documented = {n for n, each in told.items() if label in each["stores"]}
        assert documented == {
            name for name in options if options[name] != usual.get(name)
        }
        store = path.partition(".")[0]
        variables = getattr(storeoptions, f"{store}_options")()
        for name in documented:
            assert ast.literal_eval(told[name]["default"]) == options[name]
            [variable] = variables[name].variables
            assert f"`{variable}`" in told[name]["settings"]


def test_the_settings_of_the_site_are_those_that_are_read() -> None:
    text = (ROOT / "docs/options.md").read_text("utf-8")
    told = set(re.findall(r"^### `(TAHOE_\w+)`$", text, re.MULTILINE))
    assert told == {ACCEL_REDIRECT, METRICS_TOKEN}


def test_the_ids_of_the_checks_are_those_that_there_are() -> None:
    listed = re.findall(r"^tahoestorage\.\w+", checks.__doc__ or "", re.MULTILINE)
    parts = [*Path(checks.__file__).parent.glob("*.py"), Path(installed.__file__)]
    source = "".join(part.read_text("utf-8") for part in parts)
    used = {
        f"tahoestorage.{number}"
        for number in re.findall(r'"(?:tahoestorage\.)?([EWI]\d{3})"', source)
    }
    told = [code(row[0]) for row in table("docs/reference.md", "## Checks")]
    assert told == listed
    assert set(told) == used


def test_the_tree_of_errors_is_the_one_that_there_is() -> None:
    lines = block("docs/reference.md", "text", 2).splitlines()
    told = {}
    for line in lines[1:]:
        match = re.match(r"([│├└─ ]+)(\w+) +(\w+)", line)
        assert match
        depth, name, builtin = len(match[1]), match[2], match[3]
        error = getattr(exceptions, name)
        assert issubclass(error, getattr(builtins, builtin))
        parent = {4: "TahoeStorageError", 8: "StoreError", 12: "GatewayError"}[depth]
        assert error.__bases__[0].__name__ == parent
        told[name] = line
    everything = {
        name
        for name, one in vars(exceptions).items()
        if isinstance(one, type) and issubclass(one, Exception)
    }
    assert {lines[0], *told} == everything


def own_options(command: str) -> set[str]:
    parser: ArgumentParser = load_command_class("tahoestorage", command).create_parser(
        "manage.py", command
    )
    common: ArgumentParser = load_command_class("django.core", "check").create_parser(
        "", ""
    )
    if command == "collectstatic":
        # Those of Django's own are its own.
        replaced = load_command_class("django.contrib.staticfiles", command)
        common = replaced.create_parser("", "")
    known = {*common._option_string_actions, "--skip-checks"}
    return {o for o in parser._option_string_actions if o not in known}


def test_the_options_of_the_commands_are_those_that_there_are() -> None:
    # A line that is indented goes on with the one before.
    text = block("docs/reference.md", "text", 1).replace("\n    ", " ")
    for line in text.splitlines():
        _, command, rest = line.split(maxsplit=2)
        assert set(re.findall(r"--[\w-]+", rest)) == own_options(command)
    listed = {code(row[0]) for row in table("docs/reference.md", "## Commands")}
    assert listed == {path.stem for path in COMMANDS.glob("[a-z]*.py")}
    listed = {code(row[0]) for row in table("docs/grid.md", "## For development")}
    assert listed == own_options("tahoe_grid")
    listed = {code(row[0]).split()[0] for row in table("docs/proxy.md", "## Options")}
    assert listed == own_options("tahoe_nginx")


def test_the_private_grid_of_the_docs_is_one_that_can_be_asked_for() -> None:
    words = block("docs/grid.md", "sh", 1).split()
    assert words[:3] == ["python", "manage.py", "tahoe_grid"]
    command = load_command_class("tahoestorage", "tahoe_grid")
    asked = command.create_parser("manage.py", "tahoe_grid").parse_args(words[3:])
    LocalGrid(asked.directory, servers=asked.servers, gateways=asked.gateways)


# A new site, as the README has it


class Site(Shell):
    """A new project with the app `documents`, set up with the README's blocks."""

    def __init__(self, folder: Path, grid: LocalGrid) -> None:
        super().__init__(folder)
        self.run("django-admin startproject mysite")
        self.folder = folder / "mysite"
        self.run("python manage.py startapp documents")
        self.settings("INSTALLED_APPS += ['documents']\n")
        self.settings(
            block("README.md", "python", 1, replacing={GATEWAY: grid.base_url})
        )
        self.root_told = self.run(block("README.md", "sh", 6))
        self.settings(self.root_told[0])
        self.archive = folder / "archive.cap"
        self.run(f"python manage.py tahoe_create_root --output {self.archive}")
        archive = {"/etc/mysite/archive.cap": str(self.archive)}
        self.write(
            "documents/models.py",
            block("README.md", "python", 3)
            + block("docs/options.md", "python", 1, replacing=archive),
        )
        self.write("documents/admin.py", block("README.md", "python", 4))
        with (self.folder / "mysite/urls.py").open("a", encoding="utf-8") as file:
            file.write(block("README.md", "python", 2))
        self.run(block("README.md", "sh", 8))

    def write(self, path: str, text: str) -> None:
        (self.folder / path).write_text(text, "utf-8")

    def settings(self, text: str) -> None:
        with (self.folder / "mysite/settings.py").open("a", encoding="utf-8") as file:
            file.write(text)

    def shell(self, program: str) -> tuple[str, str]:
        """Run a program in the site's shell."""
        self.write("program.py", program)
        return self.run('python manage.py shell -c "$(cat program.py)"')


@pytest.fixture(scope="module")
def site(tahoe_grid: LocalGrid, tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("site"), tahoe_grid)


def test_the_root_s_cap_goes_to_a_file_and_the_setting_names_it(site: Site) -> None:
    out, err = site.root_told
    file = site.folder.parent / "root.cap"
    assert ast.literal_eval(out.partition(" = ")[2]) == str(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert "URI:" not in out + err


def test_a_cap_file_that_is_set_before_it_is_made_is_no_root_yet(site: Site) -> None:
    file = site.folder.parent / "later.cap"
    command = f"python manage.py tahoe_create_root --output {file}"
    setting = f"TAHOE_STORAGE_BASE_CAP_FILE = {str(file)!r}\n"
    site.write("later.py", f"from mysite.settings import *\n{setting}")

    _, err = site.run(f"{command} --settings later")

    assert "A root cap is set already" not in err


def test_the_check_finds_nothing_wrong_and_says_what_it_looked_at(site: Site) -> None:
    out, err = site.run(block("README.md", "sh", 7))
    found = re.findall(r"tahoestorage\.\w+", out + err)
    assert found == ["tahoestorage.I001"]
    assert "responds, and has" in out + err


@contextlib.contextmanager
def served(site: Shell, settings: str = "mysite.settings") -> Iterator[str]:
    """Run the site's own server, and yield its address."""
    port = free_port()
    command = f"python manage.py runserver --noreload 127.0.0.1:{port}"
    log = site.folder.parent / "runserver.log"
    with log.open("w") as output:
        server = site.start(
            f"exec {command} --settings {settings}", stdout=output, stderr=output
        )
    address = f"http://127.0.0.1:{port}"

    def responses() -> bool:
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(f"{address}/admin/login/", timeout=PATIENCE).close()
            return True
        return False

    try:
        wait_until(responses)
        yield address
    finally:
        server.terminate()
        server.wait(PATIENCE)


@contextlib.contextmanager
def browser_in_admin(site: Shell, address: str) -> Iterator[Page]:
    """Log into the admin in a real browser."""
    site.environment["DJANGO_SUPERUSER_PASSWORD"] = "of-the-tests"
    names = "--username somebody --email somebody@example.org"
    with contextlib.suppress(AssertionError):  # There is one already.
        site.run(f"python manage.py createsuperuser --no-input {names}")
    with running_chromium() as browser:
        page = browser.new_page()
        page.goto(f"{address}/admin/")
        page.fill("[name=username]", "somebody")
        page.fill("[name=password]", "of-the-tests")
        page.click("[type=submit]")
        yield page


def add_document(
    page: Page, address: str, folder: Path, content: bytes = CONTENT
) -> None:
    """Add a document in the admin, and open its page there again."""
    file = folder / "hello.txt"
    file.write_bytes(content)
    page.goto(f"{address}/admin/documents/document/add/")
    page.set_input_files("[name=file]", str(file))
    page.click("[name=_continue]")
    told = page.wait_for_selector(".messagelist .success")
    assert told
    assert "was added successfully" in told.inner_text()


def test_a_new_site_ends_in_a_page_with_the_file(site: Site, tmp_path: Path) -> None:
    with served(site) as address, browser_in_admin(site, address) as page:
        add_document(page, address, tmp_path)
        link = page.locator(".file-upload a")
        assert re.fullmatch(
            r"/media/documents/\d{4}/\d\d/\d\d/hello\w*\.txt",
            link.get_attribute("href") or "",
        )
        link.click()
        page.wait_for_url("**/media/**")
        assert page.inner_text("body").strip() == CONTENT.decode().strip()


def test_the_admin_names_a_file_that_has_no_url(site: Site, tmp_path: Path) -> None:
    site.write("documents/admin.py", block("docs/downloads.md", "python", 5))
    no_url = 'from mysite.settings import *\nTAHOE_STORAGE_URL_STYLE = "cap"\n'
    site.write("nourl.py", no_url)
    try:
        with served(site, "nourl") as address, browser_in_admin(site, address) as page:
            add_document(page, address, tmp_path)
            shown = page.inner_text(".file-upload")
            assert page.locator(".file-upload a").count() == 0
    finally:
        site.write("documents/admin.py", block("README.md", "python", 4))
    assert re.search(r"Currently: documents/\S+/hello\w*\.txt", shown)


def test_a_document_is_kept_and_read(site: Site) -> None:
    out, _ = site.shell(block("README.md", "python", 5))
    assert re.search(r"^documents/\d{4}/\d\d/\d\d/kept\w*\.txt 111$", out, re.MULTILINE)
    assert "Kept by servers that cannot read it." in out


def test_a_storage_of_its_own_has_a_root_of_its_own(site: Site) -> None:
    out, _ = site.shell(
        "from django.core.files.base import ContentFile\n"
        "from documents.models import Document, Record\n"
        "record = Record.objects.create(file=ContentFile(b'x' * 99, name='r.txt'))\n"
        "print(record.file.storage.listdir(''), Document.file.field.storage.exists("
        "record.file.name))\n"
    )
    migration = (site.folder / "documents/migrations/0001_initial.py").read_text()
    assert re.search(r"\(\['\d{4}'\], \[\]\) False", out)
    assert "documents.models.archive" in migration
    assert "URI:" not in migration
    assert "root.cap" not in migration


def test_a_view_and_a_public_url_give_a_document(site: Site) -> None:
    site.write("documents/views.py", block("docs/downloads.md", "python", 3))
    public = block("docs/proxy.md", "python", 1)
    site.write("public.py", f"from mysite.settings import *\n{public}")
    site.write(
        "program.py",
        "from django.contrib.auth.models import AnonymousUser, User\n"
        "from django.core.files.base import ContentFile\n"
        "from django.test import RequestFactory\n"
        "from documents.models import Document\n"
        "from documents.views import download\n"
        "kept = Document.objects.create(file=ContentFile(b'x' * 99, name='kept.txt'))\n"
        "request = RequestFactory(SERVER_NAME='localhost').get('/')\n"
        "request.user = AnonymousUser()\n"
        "print(download(request, kept.pk).status_code)\n"
        "request.user = User(username='somebody')\n"
        "response = download(request, kept.pk)\n"
        "print(response.headers['Content-Disposition'])\n"
        "print(b''.join(response.streaming_content) == b'x' * 99, kept.file.url)\n",
    )
    out, _ = site.run('python manage.py shell -c "$(cat program.py)" --settings public')
    lines = out.splitlines()[-3:]
    assert lines[0] == "302"
    assert re.fullmatch(r'attachment; filename="document-\d+\.txt"', lines[1])
    url = r"https://files\.example/named/URI%3ACHK%3A[\w%]+/kept\w*\.txt"
    assert re.fullmatch(f"True {url}", lines[2])


@contextlib.contextmanager
def private_grid(shell: Shell, command: str) -> Iterator[str]:
    """Run a grid by its command until Ctrl-C, and yield what it prints."""
    output = shell.folder / "grid.output"
    with output.open("w") as log:
        grid = shell.start(f"exec {command}", stdout=log, stderr=log)
    try:
        wait_until(lambda: "Ctrl-C" in output.read_text() or grid.poll() is not None)
        yield output.read_text()
    finally:
        grid.send_signal(signal.SIGINT)
        grid.wait(PATIENCE)


def test_the_quick_start_gives_a_file_back_from_a_folder_and_from_a_grid(
    tmp_path: Path,
) -> None:
    shell = Shell(tmp_path)
    # The environment of this test has the package already, with the extra.
    assert block("docs/quickstart.md", "sh", 1) == block("README.md", "sh", 3)
    (tmp_path / "page.py").write_text(block("docs/quickstart.md", "python", 1))

    run = block("docs/quickstart.md", "sh", 2)
    with served_page(shell, run) as address:
        assert_given_back(address, "two words.txt", CONTENT)
    assert (tmp_path / "files" / "two words.txt").read_bytes() == CONTENT

    install, command = block("docs/quickstart.md", "sh", 3).splitlines()
    assert install == block("README.md", "sh", 4).strip()
    here = {"SECRET_KEY": "of-the-test", "STORAGE_URL": "memory://"}
    shell.environment |= here  # As in the terminal of before.
    with private_grid(shell, command) as output:
        told = re.search(r"Gateway: http://([\d.:]+)", output)
        assert told
        with served_page(
            shell,
            block("docs/quickstart.md", "sh", 4, replacing={"127.0.0.1:3456": told[1]}),
        ) as address:
            assert_given_back(address, "two words.txt", CONTENT)
    shares = [path for path in (tmp_path / "grid").rglob("*") if path.is_file()]
    assert shares
    assert not any(CONTENT[:40] in path.read_bytes() for path in shares)


@contextlib.contextmanager
def served_page(shell: Shell, commands: str) -> Iterator[str]:
    """Run commands of which the last serves a page, and yield its address."""
    port, last = free_port(), "python page.py runserver\n"
    assert commands.endswith(last)
    commands = commands.removesuffix(last)
    log = shell.folder / "page.output"
    with log.open("w") as output:
        server = shell.start(
            f"{commands}exec python page.py runserver --noreload 127.0.0.1:{port}",
            stdout=output,
            stderr=output,
        )
    address = f"http://127.0.0.1:{port}/"

    def responds() -> bool:
        assert server.poll() is None, log.read_text()
        with contextlib.suppress(OSError):
            urllib.request.urlopen(address, timeout=PATIENCE).close()
            return True
        return False

    try:
        wait_until(responds)
        yield address
    finally:
        server.terminate()
        server.wait(PATIENCE)


def assert_given_back(address: str, name: str, content: bytes) -> None:
    """Upload a file by the form of a page, as a browser does, and get it back."""
    form = requests.get(address, timeout=PATIENCE).text
    assert 'enctype="multipart/form-data"' in form
    field = re.search(r'type="file" name="(\w+)"', form)
    assert field
    files = {field[1]: (name, content)}
    response = requests.post(address, files=files, timeout=PATIENCE)
    assert (response.status_code, response.content) == (200, content)
    assert response.url == address + name.replace(" ", "%20")


def test_a_first_site_ends_in_a_page_with_the_file(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    # The environment of this test has the package already, with the extra.
    assert "python3 -m venv .venv" in block("docs/first-site.md", "sh", 1)
    install = block("docs/first-site.md", "sh", 2)
    assert install == block("README.md", "sh", 4)
    shell.run(block("docs/first-site.md", "sh", 3))
    for file, text in {
        "mysite/settings.py": block("docs/first-site.md", "python", 1),
        "mysite/urls.py": block("docs/first-site.md", "python", 2),
        "documents/models.py": block("docs/first-site.md", "python", 3),
        "documents/admin.py": block("docs/first-site.md", "python", 4),
    }.items():
        with (tmp_path / file).open("a", encoding="utf-8") as target:
            target.write(text)
    command = block("docs/first-site.md", "sh", 4).strip()
    second = CONTENT[::-1]
    with contextlib.ExitStack() as until_the_end:
        with private_grid(shell, command) as output:
            told = re.search(r"TAHOE_STORAGE_BASE_URL = .*", output)
            assert told
            with (tmp_path / "mysite/settings.py").open("a") as settings:
                settings.write(f"{told[0]}\n")
            *commands, superuser = block("docs/first-site.md", "sh", 5).splitlines()
            shell.run("\n".join(commands))
            assert superuser == "python manage.py createsuperuser"
            out, err = shell.run(block("docs/first-site.md", "sh", 6))
            assert re.findall(r"tahoestorage\.\w+", out + err) == ["tahoestorage.I001"]
            run = block("docs/first-site.md", "sh", 7)
            assert run == "python manage.py runserver\n"
            address = until_the_end.enter_context(served(shell))
            page = until_the_end.enter_context(browser_in_admin(shell, address))
            add_document(page, address, tmp_path)
            page.click(".file-upload a")
            page.wait_for_url("**/media/**")
            assert page.inner_text("body").strip() == CONTENT.decode().strip()
            add_document(page, address, tmp_path, second)

        with page.expect_response("**/media/**") as response:
            page.click(".file-upload a")
        assert response.value.status == 503
        assert page.inner_text("h1") == "The files are away just now"

        with private_grid(shell, command) as output:
            assert told[0] in output

            def is_back() -> bool:
                # The site asks a gateway that was away only every few seconds.
                response = page.reload()
                return response is not None and response.status == 200

            wait_until(is_back)
            assert page.inner_text("body").strip() == second.decode().strip()


def test_the_commands_of_the_faq_are_those_of_the_set_up() -> None:
    assert block("docs/faq.md", "sh", 1) == block("README.md", "sh", 6)
    assert block("docs/faq.md", "sh", 2) == block("README.md", "sh", 5)


def test_a_backup_is_made_looked_at_and_restored(site: Site, tmp_path: Path) -> None:
    here = {"/srv/backup/mysite": str(tmp_path / "backup")}
    site.shell(
        "from django.core.files.base import ContentFile\n"
        "from django.core.files.storage import default_storage\n"
        f"default_storage.save('backup/a.txt', ContentFile({CONTENT!r}))\n"
    )
    site.run(block("docs/backup.md", "sh", 1, replacing=here))
    kept = tmp_path / "backup" / "backup" / "a.txt"
    assert kept.read_bytes() == CONTENT

    site.run(block("docs/backup.md", "sh", 2, replacing=here))
    new = tmp_path / "new.cap"
    site.run(f"python manage.py tahoe_create_root --output {new}")
    root = f"TAHOE_STORAGE_BASE_CAP_FILE = {str(new)!r}\n"
    site.write("restored.py", f"from mysite.settings import *\n{root}")
    restore = block("docs/backup.md", "sh", 3, replacing=here).strip()
    site.run(f"{restore} --settings restored")
    site.write(
        "program.py",
        "from django.core.files.storage import default_storage\n"
        "print(default_storage.size('backup/a.txt'))\n",
    )
    command = 'python manage.py shell -c "$(cat program.py)" --settings restored'
    assert str(len(CONTENT)) in site.run(command)[0]


def test_the_upgrade_s_setting_is_one() -> None:
    made: dict[str, Any] = {"STORAGES": {}}
    exec(block("docs/upgrading.md", "python", 1), made)  # noqa: S102
    assert import_string(made["STORAGES"]["staticfiles"]["BACKEND"])


# Downloads through the site


@pytest.fixture
def downloads(
    tahoe_grid: LocalGrid, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, Any]]:
    """The settings of a site that serves its files, as docs/downloads.md has them."""
    caps = [tmp_path / name for name in ("root.cap", "static.cap")]
    for file in caps:
        file.write_text(tahoe_grid.create_root().uri)
    static = {"/etc/mysite/static.cap": str(caps[1])}
    urls = types.ModuleType("urls_of_mysite")
    vars(urls)["urlpatterns"] = []
    exec(block("docs/downloads.md", "python", 9), vars(urls))  # noqa: S102
    served = executed(block("docs/downloads.md", "python", 2))["urlpatterns"]
    vars(urls)["urlpatterns"] += served
    monkeypatch.setitem(sys.modules, "urls_of_mysite", urls)
    made: dict[str, Any] = {
        "STORAGES": {"default": {"BACKEND": "tahoestorage.storage.TahoeStorage"}}
    }
    for source in (
        block("docs/downloads.md", "python", 1),
        block("docs/downloads.md", "python", 8, replacing=static),
    ):
        exec(source, made)  # noqa: S102
    made = {name: value for name, value in made.items() if name.isupper()} | {
        "ROOT_URLCONF": "urls_of_mysite",
        "TAHOE_STORAGE_BASE_URL": tahoe_grid.base_url,
        "TAHOE_STORAGE_BASE_CAP_FILE": str(caps[0]),
        "TAHOE_STORAGE_CACHE": {"directory": str(tmp_path / "cache")},
    }
    with override_settings(**made):
        yield made


def test_the_site_serves_its_files_and_its_static_ones(
    downloads: dict[str, Any],
) -> None:
    media, static = storages["default"], storages["staticfiles"]
    media.save("a/b.txt", ContentFile(CONTENT))
    static.save("a.css", ContentFile(b"p { color: teal }" * 9))

    assert media.url("a/b.txt") == "/media/a/b.txt"
    response: Any = Client().get("/media/a/b.txt")
    assert b"".join(response.streaming_content) == CONTENT
    response = Client().get("/static/a.css")
    assert response["Content-Type"] == "text/css"
    assert b"".join(response.streaming_content) == b"p { color: teal }" * 9


def test_who_may_have_a_file_is_asked_first(downloads: dict[str, Any]) -> None:
    own = executed(block("docs/downloads.md", "python", 4))["OwnFiles"].as_view()
    storages["default"].save("users/7/a.txt", ContentFile(CONTENT))
    request: Any = RequestFactory().get("/")
    request.user = types.SimpleNamespace(pk=7, is_authenticated=True)

    assert b"".join(own(request, name="users/7/a.txt")) == CONTENT
    with pytest.raises(PermissionDenied):
        own(request, name="users/77/a.txt")


def test_an_async_view_serves_a_file(downloads: dict[str, Any]) -> None:
    report = executed(block("docs/downloads.md", "python", 6))["report"]
    storages["default"].save("report.txt", ContentFile(CONTENT))

    response = asyncio.run(report(RequestFactory().get("/")))

    assert b"".join(response) == CONTENT


@needs_nginx
def test_nginx_takes_the_location_that_is_printed(
    downloads: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    settings: Settings,
) -> None:
    setting = executed(block("docs/downloads.md", "python", 7))
    settings.TAHOE_ACCEL_REDIRECT = setting["TAHOE_ACCEL_REDIRECT"]
    command = block("docs/downloads.md", "sh", 1)
    command, _, file = command.removeprefix("python manage.py ").partition(" > ")
    call_command(*command.split())
    (tmp_path / file.strip()).write_text(capsys.readouterr().out)
    here = {
        "listen 80": "listen LISTEN",
        "/etc/nginx/tahoe-accel.conf": str(tmp_path / "tahoe-accel.conf"),
    }
    text = block("docs/downloads.md", "nginx", 1, replacing=here)
    with run_nginx(tmp_path, text) as address:
        path = f"{address}{setting['TAHOE_ACCEL_REDIRECT']}"
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{path}URI:CHK:x", timeout=60)


def test_nginx_takes_the_proxy_that_is_printed(site: Site, tmp_path: Path) -> None:
    site.run(block("docs/proxy.md", "sh", 1))
    printed = (site.folder / "tahoe-nginx.conf").read_text()
    assert errors(tmp_path, printed) == ""


def test_requests_are_logged_and_an_emptied_cache_asks_again(site: Site) -> None:
    logging = block("docs/cache.md", "python", 2)
    site.write("logged.py", f"from mysite.settings import *\n{logging}")
    site.write(
        "program.py",
        "from django.core.files.storage import default_storage\n"
        "default_storage.exists('nothing.txt')\n",
    )
    command = 'python manage.py shell -c "$(cat program.py)" --settings logged'

    said = [site.run(command)[1] for _ in range(2)]
    site.run(block("docs/cache.md", "sh", 1))
    said.append(site.run(command)[1])

    requests = [len(re.findall("^GET ", each, re.MULTILINE)) for each in said]
    assert requests[1:] == [0, 1]
    assert "URI:" not in "".join(said)


def test_the_tests_of_a_site_find_the_fixture(site: Site) -> None:
    site.write("documents/tests.py", block("docs/testing.md", "python", 1))
    out, _ = site.run(
        "python -m pytest -p no:cacheprovider -p no:xdist --ds mysite.settings "
        "documents/tests.py"
    )
    assert "1 passed" in out


def test_gunicorn_serves_as_told(site: Site) -> None:
    port = free_port()
    command = block("docs/operations.md", "sh", 1).strip()
    server = site.start(f"exec {command} --bind 127.0.0.1:{port}")

    def responses() -> bool:
        assert server.poll() is None
        with contextlib.suppress(OSError):
            url = f"http://127.0.0.1:{port}/admin/login/"
            with urllib.request.urlopen(url, timeout=PATIENCE) as response:
                return bool(response.status == 200)
        return False

    try:
        wait_until(responses)
    finally:
        server.terminate()
        server.wait(PATIENCE)


def test_an_application_says_which_files_are_its_own(site: Site) -> None:
    # No history is kept there.
    others = {"Document.history": "Document.objects"}
    hook = block("docs/operations.md", "python", 1, replacing=others)
    site.write("documents/earlier.py", hook)
    out, _ = site.shell(
        "from django.core.files.base import ContentFile\n"
        "from documents.earlier import earlier_files\n"
        "from documents.models import Document\n"
        "Document.objects.create(file=ContentFile(b'x' * 99, name='named.txt'))\n"
        "print([*earlier_files('default')])\n"
    )
    assert "named" in out

    # A name without a file, of another test, is no failure here.
    for line in block("docs/operations.md", "sh", 2).splitlines():
        out, _ = site.run(f"{line} || test $? = 1")
        assert " 0 orphans " in out


def test_a_private_grid_runs_until_ctrl_c(site: Site) -> None:
    command = block("README.md", "sh", 5).strip()
    output = site.folder.parent / "grid.output"
    with output.open("w") as file:
        grid = site.start(f"exec {command}", stdout=file, stderr=file)
    try:
        wait_until(lambda: "Ctrl-C" in output.read_text() or grid.poll() is not None)
        assert "TAHOE_STORAGE_BASE_URL = " in output.read_text()
        grid.send_signal(signal.SIGINT)
        assert grid.wait(PATIENCE) == 0
    finally:
        grid.kill()
        grid.wait()
    assert (site.folder.parent / "grid").is_dir()


def test_a_program_can_have_a_grid(site: Site) -> None:
    out, _ = site.shell(block("docs/grid.md", "python", 1))
    assert "([], [])" in out


# The commands of an administrator


@pytest.fixture(scope="module")
def own_grid() -> Iterator[LocalGrid]:
    """A grid whose files may be damaged; one share of two is enough."""
    with LocalGrid(needed=1, happy=1, total=2) as grid:
        yield grid


@pytest.fixture
def kept(own_grid: LocalGrid, tmp_path: Path) -> TahoeStorage:
    """A storage whose root's cap is in root.cap, with one file."""
    root = own_grid.create_root()
    (tmp_path / "root.cap").write_text(f"{root.uri}\n", "ascii")
    storage = TahoeStorage(base_url=own_grid.base_url, base_cap=root, cache=False)
    with storage.open("a/b/kept.bin", "wb") as file:
        file.write(os.urandom(50) + CONTENT)
    return storage


@pytest.fixture
def shell(own_grid: LocalGrid, tmp_path: Path) -> Shell:
    """A shell in the folder of a site whose default storage is ``kept``."""
    (tmp_path / "manage.py").write_text(
        "from django.core.management import execute_from_command_line\n"
        "import sys\n"
        "execute_from_command_line(sys.argv)\n"
    )
    shell = Shell(tmp_path)
    backend = "tahoestorage.storage.TahoeStorage"
    given = {"base_url": own_grid.base_url, "base_cap_file": str(tmp_path / "root.cap")}
    (tmp_path / "mysite.py").write_text(
        "SECRET_KEY = 'x'\nINSTALLED_APPS = ['tahoestorage']\nUSE_TZ = True\n"
        f"STORAGES = {{'default': {{'BACKEND': {backend!r}, 'OPTIONS': {given!r}}}}}\n"
    )
    shell.environment["DJANGO_SETTINGS_MODULE"] = "mysite"
    return shell


def shares(grid: LocalGrid, storage: TahoeStorage, name: str) -> list[Path]:
    """Return the files that hold the shares of a file."""
    cap = Cap.parse(storage._entry(name)[1].reference)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        from allmydata.storage.common import si_b2a

    folders = grid.directory.glob(
        f"node/storage/shares/*/{si_b2a(cap.storage_index).decode()}"
    )
    return [share for folder in folders for share in folder.iterdir()]


def test_what_cron_runs_checks_renews_and_repairs(
    own_grid: LocalGrid, kept: TahoeStorage, shell: Shell
) -> None:
    by_hand = block("docs/grid.md", "sh", 5).splitlines()
    by_cron = block("docs/operations.md", "crontab", 1).splitlines()
    assert [line.partition("manage.py ")[2] for line in by_cron] == [
        line.removeprefix("python manage.py ") for line in by_hand
    ]
    renew, repair = by_hand

    whole, _ = shell.run(renew)
    shares(own_grid, kept, "a/b/kept.bin")[0].unlink()
    hurt = shell.run(renew, status=2)
    repaired = shell.run(repair, status=1)

    assert whole.startswith("4 files and directories: 4 whole;")
    assert "hurt: 'a/b/kept.bin': 1 of 2 shares are sound" in hurt[1]
    assert "repaired: 'a/b/kept.bin'" in repaired[1]
    assert len(shares(own_grid, kept, "a/b/kept.bin")) == 2
    assert shell.run(renew)[0].startswith("4 files and directories: 4 whole;")


def test_what_cron_exports_has_its_day(
    kept: TahoeStorage, shell: Shell, tmp_path: Path
) -> None:
    (line,) = block("docs/backup.md", "crontab", 1).splitlines()
    (tmp_path / "passphrase").write_text("of the tests alone, and long enough")
    # Cron takes the backslashes off.
    command = line.partition("chronic .venv/bin/")[2].replace("\\%", "%")
    for theirs in ("/srv/backup", "/etc/mysite"):
        command = command.replace(theirs, str(tmp_path))

    days = {date.today()}
    shell.run(command)
    days.add(date.today())

    (made,) = tmp_path.glob("root-*")
    assert made.name in {f"root-{day}" for day in days}


def test_tahoe_itself_reads_the_files_by_the_root_s_cap(
    own_grid: LocalGrid, kept: TahoeStorage, shell: Shell
) -> None:
    (shell.folder / "gateway").symlink_to(own_grid.directory / "node")
    out, _ = shell.run(block("docs/grid.md", "sh", 6))
    assert out.splitlines()[:2] == [marker.NAME, "a"]
    assert (shell.folder / "backup/a/b/kept.bin").read_bytes().endswith(CONTENT)


def test_nodes_made_by_hand_find_each_other(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    introducer, server, web = free_port(), free_port(), free_port()
    # Without the flag a node ends when its standard input does: with this test.
    here = {"run --allow-stdin-close": "run"}
    nodes: list[subprocess.Popen[str]] = []

    def start(text: str) -> None:
        create, run, _ = re.split(r"^(?=tahoe run)|\Z", text, flags=re.MULTILINE)
        shell.run(create)
        name = tmp_path / f"{len(nodes)}.log"
        with name.open("w") as log:
            command = f"exec {run.strip()}"
            node = shell.start(command, stdin=subprocess.PIPE, stdout=log, stderr=log)
        nodes.append(node)

    ports = {
        "--port=tcp:3400": f"--port=tcp:{introducer}:interface=127.0.0.1",
        "introducer.example:3400": f"127.0.0.1:{introducer}",
    }
    server_ports = {
        "--port=tcp:3401": f"--port=tcp:{server}:interface=127.0.0.1",
        "server1.example:3401": f"127.0.0.1:{server}",
    }
    # There is one server only.
    gateway = {"tcp:3456": f"tcp:{web}", "happy=3": "happy=1"}
    try:
        start(block("docs/grid.md", "sh", 2, replacing=here | ports))
        furl = tmp_path / "introducer/private/introducer.furl"
        wait_until(furl.exists)
        shutil.copy(furl, tmp_path)
        start(block("docs/grid.md", "sh", 3, replacing=here | server_ports))
        start(block("docs/grid.md", "sh", 4, replacing=here | gateway))
        url = f"http://127.0.0.1:{web}"

        def connected() -> int:
            with contextlib.suppress(exceptions.GatewayError):
                return Gateway(url, retries=0).connected_servers()
            return 0

        wait_until(connected)
        storage = TahoeStorage(
            base_url=url, base_cap=marker.make_root(Gateway(url)), cache=False
        )
        with storage.open("kept.bin", "wb") as file:
            file.write(CONTENT)
        assert storage.open("kept.bin").read() == CONTENT
    finally:
        for node in nodes:
            node.terminate()
        for node in nodes:
            node.communicate(timeout=PATIENCE)
