"""System checks: what `manage.py check` says of the storages of a site."""

from __future__ import annotations

import contextlib
import socket
import socketserver
import subprocess
import threading
from base64 import b32encode
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from django.apps.registry import Apps
from django.contrib.staticfiles.storage import HashedFilesMixin
from django.core import checks
from django.core.checks import CheckMessage, run_checks
from django.core.checks.registry import registry
from django.core.files.storage import InMemoryStorage, default_storage, storages
from django.core.management import call_command, get_commands
from django.core.management.base import SystemCheckError
from django.db import models
from django.test.utils import isolate_apps
from django.urls import clear_url_caches, include, path
from pytest_django.fixtures import Settings

from tahoestorage import checks as checks_of_storages
from tahoestorage import env
from tahoestorage.checks import check_options
from tahoestorage.config import secrets
from tahoestorage.installed import check_installed
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid


def base32(length: int) -> str:
    return b32encode(bytes(range(length))).decode().rstrip("=").lower()


KEY, HASH = base32(16), base32(32)
WRITE_CAP = f"URI:DIR2:{KEY}:{HASH}"
READ_CAP = f"URI:DIR2-RO:{KEY}:{HASH}"
IMMUTABLE_CAP = f"URI:DIR2-CHK:{KEY}:{HASH}:1:1:1234"
FILE_CAP = f"URI:CHK:{KEY}:{HASH}:1:1:1234"


class OwnStorage(TahoeStorage):
    """A subclass, as a site may have one."""


class Hashed(HashedFilesMixin, TahoeStorage):  # type: ignore[misc]
    """Static files by names that change with their content."""


urlpatterns: list[Any] = []


@contextlib.contextmanager
def override_urls(patterns: list[Any]) -> Iterator[None]:
    """Let the site have these URL patterns, in this module as ROOT_URLCONF."""
    urlpatterns[:] = patterns
    clear_url_caches()
    try:
        yield
    finally:
        urlpatterns.clear()
        clear_url_caches()


class NotFound(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_error(404)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""


@pytest.fixture(autouse=True)
def no_settings(settings: Settings) -> None:
    for name in dir(settings):
        if name.startswith("TAHOE_"):
            delattr(settings, name)
    # Files have URLs, but where a test says otherwise.
    settings.TAHOE_PUBLIC_BASE_URL = "https://files.example"


@pytest.fixture
def no_grid(settings: Settings) -> None:
    """A site that has no setting of a grid."""
    del settings.TAHOE_PUBLIC_BASE_URL


@pytest.fixture
def isolated() -> Iterator[Apps]:
    """Apps of which only this test's models are known."""
    with isolate_apps("tahoestorage") as apps:
        assert apps
        yield apps


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that is taken, and where nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


@pytest.fixture
def other_server() -> Iterator[str]:
    """The address of a web server that is no gateway, and responses 404 to all."""
    with socketserver.TCPServer(("127.0.0.1", 0), NotFound) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def use(
    settings: Settings, backend: str = "storage.TahoeStorage", **options: Any
) -> None:
    """Make TahoeStorage with these options the default storage."""
    configured = {"BACKEND": f"tahoestorage.{backend}", "OPTIONS": options}
    settings.STORAGES = {"default": configured}


def findings(*, deploy: bool = False) -> list[CheckMessage]:
    """Return what our checks say of the site as it is configured."""
    return [
        message
        for message in run_checks(include_deployment_checks=deploy)
        if str(message.id).startswith("tahoestorage.")
    ]


def ids(*, deploy: bool = False) -> list[str]:
    return [str(message.id).partition(".")[2] for message in findings(deploy=deploy)]


class TestTheRootCap:
    def test_a_good_one_is_not_talked_of(self, settings: Settings) -> None:
        use(settings, base_cap=WRITE_CAP)

        assert findings() == []

    def test_a_missing_one_is_a_warning_with_the_way_out(
        self, settings: Settings
    ) -> None:
        use(settings)

        (message,) = findings()

        assert message.id == "tahoestorage.W001"
        assert message.msg == 'STORAGES["default"]: no root cap is set.'
        assert "manage.py tahoe_create_root" in str(message.hint)
        assert not message.is_serious()

    def test_check_succeeds_without_one(self, settings: Settings) -> None:
        use(settings)

        call_command("check")

    @pytest.mark.parametrize(
        "cap", [READ_CAP, IMMUTABLE_CAP], ids=["read", "immutable"]
    )
    def test_a_read_only_one_is_an_error(self, settings: Settings, cap: str) -> None:
        use(settings, base_cap=cap)

        (message,) = findings()

        assert message.id == "tahoestorage.E002"
        assert "is read-only" in message.msg
        assert KEY not in str(message)

    def test_check_fails_for_an_error(self, settings: Settings) -> None:
        use(settings, base_cap=READ_CAP)

        with pytest.raises(SystemCheckError, match=r"tahoestorage\.E002"):
            call_command("check")

    def test_one_from_a_file_is_looked_at(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        file = tmp_path / "cap"
        file.write_text(READ_CAP)
        file.chmod(0o600)
        use(settings, base_cap_file=str(file))

        assert ids() == ["E002"]

    def test_a_file_of_no_use_is_an_error_that_names_it(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        use(settings, base_cap_file=str(tmp_path / "cap"))

        (message,) = findings()

        assert message.id == "tahoestorage.E001"
        assert str(tmp_path / "cap") in message.msg

    @pytest.mark.parametrize("mode", [0o644, 0o604, 0o660, 0o602])
    def test_a_file_that_others_may_read_is_a_warning_with_the_command(
        self, settings: Settings, tmp_path: Path, mode: int
    ) -> None:
        file = tmp_path / "the cap"
        file.write_text(WRITE_CAP)
        file.chmod(mode)
        use(settings, base_cap_file=str(file))

        (message,) = findings()
        subprocess.run(["sh", "-c", str(message.hint)], check=True)

        assert message.id == "tahoestorage.W006"
        assert str(file) in message.msg
        assert findings() == []

    @pytest.mark.parametrize("mode", [0o600, 0o400, 0o440, 0o640])
    def test_a_file_for_one_user_or_one_group_is_fine(
        self, settings: Settings, tmp_path: Path, mode: int
    ) -> None:
        file = tmp_path / "cap"
        file.write_text(WRITE_CAP)
        file.chmod(mode)
        use(settings, base_cap_file=str(file))

        assert findings() == []


def test_other_secret_files_that_others_may_read_are_a_warning_too(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(secrets, "SECRET_FILES", set())
    monkeypatch.setattr(checks_of_storages, "SECRET_FILES", secrets.SECRET_FILES)
    file = tmp_path / "the key"
    file.write_text("hunter2hunter2")
    file.chmod(0o644)
    user = tmp_path / "user"
    user.write_text("k")
    user.chmod(0o600)
    monkeypatch.setenv(
        "STORAGE_URL",
        f"s3://bucket?access_key_file={user}&secret_key_file={quote(str(file))}",
    )
    settings.TAHOE_PUBLIC_BASE_URL = ""
    settings.STORAGES = env.storages()

    (message,) = findings()
    subprocess.run(["sh", "-c", str(message.hint)], check=True)

    assert message.id == "tahoestorage.W006"
    assert str(file) in message.msg
    assert "hunter2" not in str(message)
    assert findings() == []


class TestSettingsThatNobodyUses:
    NAMES = ("BASE_URL", "BASE_CAP", "BASE_CAP_FILE")

    @pytest.mark.parametrize("name", NAMES)
    def test_are_a_warning_that_says_where_the_files_go(
        self, settings: Settings, name: str, tmp_path: Path
    ) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = ""
        settings.STORAGES = env.storages(default=tmp_path.as_uri())
        value = "http://127.0.0.1:3456" if name == "BASE_URL" else WRITE_CAP
        setattr(settings, f"TAHOE_STORAGE_{name}", value)

        (message,) = findings()

        assert message.id == "tahoestorage.W002"
        assert message.msg.startswith(f"TAHOE_STORAGE_{name}: no storage uses this")
        assert "FileSystemStorage" in message.msg
        assert KEY not in str(message)

    @pytest.mark.parametrize(
        "name",
        ["TAHOE_PUBLIC_BASE_URL", "TAHOE_ACCEL_REDIRECT", "TAHOE_STORAGE_RETRIES"],
    )
    def test_others_that_speak_of_a_grid_are_a_warning_too(
        self, settings: Settings, name: str
    ) -> None:
        settings.STORAGES = env.storages(default="memory://")
        settings.TAHOE_PUBLIC_BASE_URL = ""
        setattr(settings, name, "3")

        (message,) = findings()

        assert message.id == "tahoestorage.W002"
        assert message.msg.startswith(f"{name}: no storage uses this")

    def test_that_of_the_cache_is_one_of_s3_too(self, settings: Settings) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = ""
        settings.TAHOE_STORAGE_CACHE = False
        settings.STORAGES = env.storages(default="memory://")

        assert findings() == []

    def test_are_fine_where_some_storage_uses_them(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_BASE_CAP = WRITE_CAP
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "archive": {"BACKEND": "tahoestorage.storage.TahoeStorage"},
        }

        assert findings() == []


class TestURLs:
    def test_none_at_all_is_a_warning(self, settings: Settings) -> None:
        del settings.TAHOE_PUBLIC_BASE_URL
        use(settings, base_cap=WRITE_CAP)

        (message,) = findings()

        assert message.id == "tahoestorage.W004"
        assert "admin" in message.msg
        assert 'TAHOE_STORAGE_URL_STYLE = "path"' in str(message.hint)

    @pytest.mark.parametrize("media_url", [None, "/uploads/"])
    def test_of_the_site_without_a_pattern_are_a_warning(
        self, settings: Settings, media_url: str | None
    ) -> None:
        settings.MEDIA_URL = "/media/"
        settings.ROOT_URLCONF = "tests.checks.test_checks"
        prefix = media_url or "/media/"
        use(settings, base_cap=WRITE_CAP, url_style="path", media_url=media_url)

        with override_urls([]):
            (message,) = findings()
        with override_urls([path(prefix[1:], include("tahoestorage.urls"))]):
            assert findings() == []

        assert message.id == "tahoestorage.W005"
        assert f'path("{prefix[1:]}", include("tahoestorage.urls"))' in str(
            message.hint
        )

    @pytest.mark.parametrize("media_url", ["", "/"])
    def test_below_nothing_ask_for_a_media_url(
        self, settings: Settings, media_url: str
    ) -> None:
        settings.MEDIA_URL = media_url
        settings.ROOT_URLCONF = "tests.checks.test_checks"
        use(settings, base_cap=WRITE_CAP, url_style="path")

        with override_urls([path("", include("tahoestorage.urls"))]):
            (message,) = findings()

        assert message.id == "tahoestorage.W005"
        assert 'MEDIA_URL = "/media/"' in str(message.hint)

    def test_of_another_host_need_no_pattern(self, settings: Settings) -> None:
        settings.ROOT_URLCONF = "tests.checks.test_checks"
        media_url = "https://media.example/"
        use(settings, base_cap=WRITE_CAP, url_style="path", media_url=media_url)

        with override_urls([]):
            assert findings() == []


class TestStaticFiles:
    def test_without_a_pattern_are_told_of_the_view_that_serves_them(
        self, settings: Settings
    ) -> None:
        settings.ROOT_URLCONF = "tests.checks.test_checks"
        settings.TAHOE_PUBLIC_BASE_URL = ""
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "staticfiles": {
                "BACKEND": "tahoestorage.staticfiles.TahoeManifestStaticStorage",
                "OPTIONS": {"base_cap": WRITE_CAP},
            },
        }
        settings.STATIC_URL = "/static/"

        with override_urls([]):
            (message,) = findings()

        assert message.id == "tahoestorage.W005"
        assert 'path("static/<path:name>", Download.as_view(' in str(message.hint)
        assert 'storage="staticfiles"' in str(message.hint)

    def test_are_looked_at_before_they_are_collected(self, settings: Settings) -> None:
        settings.STORAGES = {
            "staticfiles": {
                "BACKEND": "tahoestorage.storage.TahoeStorage",
                "OPTIONS": {"base_cap": WRITE_CAP},
            },
        }

        found = run_checks(tags=["staticfiles"])

        assert "tahoestorage.E009" in [message.id for message in found]

    def test_by_their_bare_names_are_an_error(self, settings: Settings) -> None:
        use(settings, base_cap=WRITE_CAP)
        other = WRITE_CAP.replace(KEY, KEY[:-2] + "be")
        settings.STORAGES = settings.STORAGES | {
            "staticfiles": {
                "BACKEND": "tahoestorage.storage.TahoeStorage",
                "OPTIONS": {"base_cap": other},
            }
        }

        (message,) = findings()

        assert message.id == "tahoestorage.E009"
        assert message.msg.startswith('STORAGES["staticfiles"]: static files are kept')

    def test_in_the_root_of_the_uploads_are_an_error(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_BASE_CAP = WRITE_CAP
        settings.STORAGES = {
            "default": {"BACKEND": "tahoestorage.storage.TahoeStorage"},
            "staticfiles": {"BACKEND": f"{__name__}.Hashed"},
        }

        (message,) = findings()

        assert message.id == "tahoestorage.E009"
        assert "the same root directory" in message.msg

    def test_by_our_own_class_are_fine(self, settings: Settings) -> None:
        settings.ROOT_URLCONF = None
        settings.STORAGES = {
            "default": {
                "BACKEND": "tahoestorage.storage.TahoeStorage",
                "OPTIONS": {"base_cap": WRITE_CAP},
            },
            "staticfiles": {
                "BACKEND": "tahoestorage.staticfiles.TahoeManifestStaticStorage",
                "OPTIONS": {"base_cap": WRITE_CAP.replace(KEY, KEY[:-2] + "be")},
            },
        }

        assert findings() == []

    @pytest.mark.parametrize("signed", [True, False])
    def test_hashed_and_signed_are_an_error(
        self, settings: Settings, signed: bool
    ) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = ""
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "staticfiles": {
                "BACKEND": "tahoestorage.backends.s3.S3ManifestStaticStorage",
                "OPTIONS": {"bucket_name": "static", "querystring_auth": signed},
            },
        }

        assert ids() == (["E010"] if signed else [])

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            ({"custom_domain": "cdn.example"}, []),
            ({"custom_domain": "cdn.example", "cloudfront_signer": object()}, ["E010"]),
        ],
        ids=["plain", "signed"],
    )
    def test_hashed_at_a_domain_are_signed_only_where_it_signs(
        self, settings: Settings, options: dict[str, Any], expected: list[str]
    ) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = ""
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "staticfiles": {
                "BACKEND": "tahoestorage.backends.s3.S3ManifestStaticStorage",
                "OPTIONS": {"bucket_name": "b", "querystring_auth": True, **options},
            },
        }

        assert ids() == expected

    def test_by_django_s_own_collectstatic_are_a_warning(
        self, settings: Settings
    ) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = ""
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "staticfiles": {
                "BACKEND": "tahoestorage.backends.s3.S3StaticStorage",
                "OPTIONS": {"bucket_name": "static"},
            },
        }
        ours, theirs = "tahoestorage", "django.contrib.staticfiles"
        others = [app for app in settings.INSTALLED_APPS if app not in (ours, theirs)]
        found = {}
        for apps in ([ours, theirs], [theirs, ours]):
            settings.INSTALLED_APPS = [*apps, *others]
            get_commands.cache_clear()  # type: ignore[attr-defined]
            found[apps[0]] = ids()
        get_commands.cache_clear()  # type: ignore[attr-defined]

        assert found == {ours: [], theirs: ["W011"]}

    def test_in_the_place_of_any_other_files_are_an_error(
        self, settings: Settings
    ) -> None:
        settings.TAHOE_STORAGE_BASE_CAP = WRITE_CAP
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "archive": {"BACKEND": "tahoestorage.storage.TahoeStorage"},
            "staticfiles": {"BACKEND": f"{__name__}.Hashed"},
        }

        assert "E009" in ids()


def test_the_app_that_is_not_installed_is_a_warning(settings: Settings) -> None:
    settings.INSTALLED_APPS = ["django.contrib.contenttypes"]

    (message,) = check_installed(None)

    assert message.id == "tahoestorage.W003"
    assert "INSTALLED_APPS" in str(message.hint)


def test_wrong_options_are_one_error_that_names_them_all(settings: Settings) -> None:
    settings.TAHOE_STORAGE_RETRYS = 3
    use(settings, base_cap=FILE_CAP, read_timeout=-1)

    (message,) = findings()

    assert message.id == "tahoestorage.E001"
    assert message.msg.startswith('STORAGES["default"]: ')
    assert "\n- base_cap is not the cap of a directory" in message.msg
    assert "\n- read_timeout is -1" in message.msg
    assert "did you mean TAHOE_STORAGE_RETRIES?" in message.msg
    assert KEY not in str(message)


class TestPlainHttp:
    @pytest.mark.parametrize(
        "url",
        [
            "http://127.0.0.1:3456",
            "http://127.8.8.8:3456",
            "http://[::1]:3456",
            "http://localhost:3456",
            "http://gateway.localhost",
            "https://gateway.example:3456",
            "https://10.1.2.3",
        ],
    )
    def test_loopback_and_https_are_fine(self, settings: Settings, url: str) -> None:
        use(settings, base_cap=WRITE_CAP, base_url=url)

        assert findings() == []

    @pytest.mark.parametrize(
        "url",
        [
            "http://gateway.example:3456",
            "http://10.1.2.3:3456",
            "http://0.0.0.0:3456",
            "http://[fd00::1]:3456",
            "http://localhost.example",
        ],
    )
    def test_elsewhere_it_is_an_error(self, settings: Settings, url: str) -> None:
        use(settings, base_cap=WRITE_CAP, base_url=url)

        (message,) = findings()

        assert message.id == "tahoestorage.E003"
        assert url in message.msg
        assert "TAHOE_STORAGE_TRUSTED_HOSTS" in str(message.hint)

    @pytest.mark.parametrize(
        ("url", "trusted"),
        [
            ("http://gateway.example:3456", "Gateway.Example"),
            ("http://10.1.2.3:3456", "10.1.2.3"),
            ("http://10.1.2.3:3456", "10.0.0.0/8"),
            ("http://[fd00::1]:3456", "fd00::/8"),
        ],
    )
    def test_a_trusted_host_is_fine(
        self, settings: Settings, url: str, trusted: str
    ) -> None:
        settings.TAHOE_STORAGE_TRUSTED_HOSTS = ["other.example", trusted]
        use(settings, base_cap=WRITE_CAP, base_url=url)

        assert findings() == []

    def test_another_trusted_network_does_not_help(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_TRUSTED_HOSTS = ["10.2.0.0/16", "::/0", "gateway"]
        use(settings, base_cap=WRITE_CAP, base_url="http://10.1.2.3:3456")

        assert ids() == ["E003"]


class TestThePublicUrl:
    @pytest.mark.parametrize(
        ("gateway", "public"),
        [
            ("https://tahoe.example", "https://tahoe.example/"),
            ("https://tahoe.example", "https://Tahoe.Example:443/files"),
            ("https://tahoe.example:3456", "https://tahoe.example.:3456"),
        ],
    )
    def test_the_gateway_itself_is_an_error(
        self, settings: Settings, gateway: str, public: str
    ) -> None:
        use(settings, base_cap=WRITE_CAP, base_url=gateway, public_base_url=public)

        (message,) = findings()

        assert message.id == "tahoestorage.E004"
        assert "is the gateway itself" in message.msg

    @pytest.mark.parametrize(
        ("gateway", "public"),
        [
            ("http://localhost:3456", "http://localhost:3456/"),
            ("http://127.0.0.1:3456", "http://127.0.0.1:3456"),
            ("https://tahoe.example:3456", "https://tahoe.example"),
            ("https://tahoe.example", "https://files.example"),
            ("https://tahoe.example", None),
        ],
    )
    def test_loopback_and_other_servers_are_fine(
        self, settings: Settings, gateway: str, public: str | None
    ) -> None:
        use(settings, base_cap=WRITE_CAP, base_url=gateway, public_base_url=public)

        assert findings() == []


class TestWhichStoragesAreLookedAt:
    @pytest.mark.parametrize(
        "backend", ["storage.TahoeStorage", "backends.tahoe.TahoeStorage"]
    )
    def test_both_import_paths(self, settings: Settings, backend: str) -> None:
        use(settings, backend)

        assert ids() == ["W001"]

    def test_subclasses_and_every_alias(self, settings: Settings) -> None:
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "own": {"BACKEND": f"{__name__}.OwnStorage"},
        }

        (message,) = findings()

        assert message.msg == 'STORAGES["own"]: no root cap is set.'

    @pytest.mark.usefixtures("no_grid")
    def test_others_are_left_alone(self, settings: Settings) -> None:
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "function": {"BACKEND": "os.path.join"},
            "missing": {"BACKEND": "nowhere.Storage"},
        }

        assert findings() == []

    def test_storages_with_the_same_finding_share_a_message(
        self, settings: Settings
    ) -> None:
        backend = {"BACKEND": "tahoestorage.storage.TahoeStorage"}
        settings.STORAGES = {"default": backend, "other": backend}

        (message,) = findings()

        assert message.msg == (
            'STORAGES["default"], STORAGES["other"]: no root cap is set.'
        )

    def test_one_storage_may_have_several_findings(self, settings: Settings) -> None:
        use(
            settings,
            base_cap=READ_CAP,
            base_url="http://tahoe.example",
            public_base_url="http://tahoe.example",
        )

        assert ids() == ["E002", "E003", "E004"]

    def test_the_storages_of_fields(self, isolated: Apps) -> None:
        class Report(models.Model):
            given = models.FileField(storage=TahoeStorage(retries=-1))
            called = models.ImageField(storage=lambda: TahoeStorage(base_cap=READ_CAP))
            foreign = models.FileField(storage=InMemoryStorage())
            text = models.TextField()

            class Meta:
                app_label = "tahoestorage"

        messages = check_options(list(isolated.get_app_configs()))

        assert [
            (message.id, message.msg.partition(": ")[0]) for message in messages
        ] == [
            ("tahoestorage.E001", "tahoestorage.Report.given"),
            ("tahoestorage.E002", "tahoestorage.Report.called"),
        ]

    def test_a_storage_of_two_fields_is_reported_once(self, isolated: Apps) -> None:
        storage = TahoeStorage()

        class Report(models.Model):
            first = models.FileField(storage=storage)
            second = models.FileField(storage=storage)

            class Meta:
                app_label = "tahoestorage"

        (message,) = check_options(list(isolated.get_app_configs()))

        assert message.msg == "tahoestorage.Report.first: no root cap is set."

    def test_a_storage_with_an_alias_is_reported_by_its_alias(
        self, isolated: Apps, settings: Settings
    ) -> None:
        use(settings)

        class Report(models.Model):
            default = models.FileField()
            wrapped = models.FileField(storage=default_storage)
            alias = models.FileField(storage=storages["default"])

            class Meta:
                app_label = "tahoestorage"

        (message,) = check_options(list(isolated.get_app_configs()))

        assert message.msg == 'STORAGES["default"]: no root cap is set.'


class TestTheGateway:
    def test_one_that_answers_is_fine(
        self, settings: Settings, tahoe_grid: LocalGrid
    ) -> None:
        root = tahoe_grid.create_root().uri
        use(settings, base_cap=root, base_url=tahoe_grid.base_url)

        (message,) = findings(deploy=True)

        assert message.id == "tahoestorage.I001"
        assert message.level == checks.INFO
        assert message.msg == (
            f'STORAGES["default"]: looked at: the gateway at {tahoe_grid.base_url} '
            "responds, and has 1 storage server."
        )

    def test_the_cap_of_another_grid_is_an_error(
        self, settings: Settings, tahoe_grid: LocalGrid
    ) -> None:
        use(settings, base_cap=WRITE_CAP, base_url=tahoe_grid.base_url)

        (message,) = findings(deploy=True)

        assert message.id == "tahoestorage.E008"
        assert "the root directory cannot be read" in message.msg
        assert "the root cap is not of this grid" in message.msg
        assert "Compare the cap" in str(message.hint)
        # It is what says this.
        assert "check --deploy" not in str(message)
        assert KEY not in str(message)

    def test_a_cap_with_one_wrong_letter_is_an_error(
        self, settings: Settings, tahoe_grid: LocalGrid
    ) -> None:
        root = tahoe_grid.create_root().uri
        at = root.index(":", 10) - 5
        wrong = root[:at] + ("a" if root[at] != "a" else "b") + root[at + 1 :]
        use(settings, base_cap=wrong, base_url=tahoe_grid.base_url)

        assert ids(deploy=True) == ["E008"]

    def test_one_that_cannot_be_reached_is_an_error(
        self, settings: Settings, closed_port: int
    ) -> None:
        use(settings, base_cap=WRITE_CAP, base_url=f"http://127.0.0.1:{closed_port}")

        (message,) = findings(deploy=True)

        assert message.id == "tahoestorage.E005"
        assert f"http://127.0.0.1:{closed_port} does not respond" in message.msg

    def test_another_server_in_its_place_is_an_error(
        self, settings: Settings, other_server: str
    ) -> None:
        use(settings, base_cap=WRITE_CAP, base_url=other_server)

        (message,) = findings(deploy=True)

        assert message.id == "tahoestorage.E005"
        assert f"{other_server} does not respond as a gateway" in message.msg

    def test_it_is_asked_with_deploy_only(
        self, settings: Settings, closed_port: int
    ) -> None:
        use(settings, base_cap=WRITE_CAP, base_url=f"http://127.0.0.1:{closed_port}")

        call_command("check")
        with pytest.raises(SystemCheckError, match=r"tahoestorage\.E005"):
            call_command("check", "--deploy")

    def test_it_is_asked_without_a_root_cap(
        self, settings: Settings, closed_port: int
    ) -> None:
        use(settings, base_url=f"http://127.0.0.1:{closed_port}")

        assert ids(deploy=True) == ["W001", "E005"]

    def test_it_is_not_asked_when_the_options_are_wrong(
        self, settings: Settings
    ) -> None:
        use(settings, base_url="ftp://127.0.0.1")

        assert ids(deploy=True) == ["E001"]


def test_each_check_is_registered_once(settings: Settings) -> None:
    for _ in range(3):
        TahoeStorage()

    registered = [
        getattr(check, "__name__", "")
        for check in registry.get_checks(include_deployment_checks=True)
        if check.__module__.startswith("tahoestorage.")
    ]

    assert sorted(registered) == [
        *("check_gateways", "check_installed", "check_objects", "check_options"),
        "check_static",
    ]


@pytest.mark.usefixtures("no_grid")
class TestWhatCannotBeMade:
    """`manage.py check` says what is wrong, and never ends in a traceback."""

    @pytest.mark.parametrize(
        "made",
        [
            {"BACKEND": "tahoestorage.backends.s3.S3Storage", "OPTIONS": {"buckt": 1}},
            {
                "BACKEND": "tahoestorage.backends.s3.S3Storage",
                "OPTIONS": {
                    "bucket_name": "b",
                    "allow_overwrite": True,
                    "file_overwrite": False,
                },
            },
            {"BACKEND": "tahoestorage.storage.TahoStorage"},
            {"BACKEND": "tahoestorage.storage.TahoeStorage", "OPTIONS": ["a"]},
        ],
    )
    def test_of_ours_is_an_error(self, settings: Settings, made: Any) -> None:
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "archive": made,
        }

        (message,) = findings()

        assert message.id == "tahoestorage.E001"
        assert message.msg.startswith('STORAGES["archive"]: ')

    @pytest.mark.parametrize("made", [None, {}, {"BACKEND": None}, {"BACKEND": "a.b"}])
    def test_of_others_is_theirs_to_say(self, settings: Settings, made: Any) -> None:
        settings.STORAGES = {
            "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
            "archive": made,
        }

        assert findings(deploy=True) == []

    def test_a_media_url_that_is_none_is_a_warning(self, settings: Settings) -> None:
        settings.MEDIA_URL = "http://[bad/"
        use(settings, base_cap=WRITE_CAP, url_style="path")

        assert ids() == ["W005"]

    @pytest.mark.parametrize(
        ("media", "static", "expected"),
        [
            ("", "", ["E009"]),
            ("media", "", ["E009"]),
            ("media", "static", []),
            ("media", "med", []),
        ],
    )
    def test_static_files_among_the_uploads_of_a_bucket_are_an_error(
        self, settings: Settings, media: str, static: str, expected: list[str]
    ) -> None:
        keys = {"access_key": "k", "secret_key": "s", "region_name": "us-east-1"}
        one = {"bucket_name": "one", **keys}
        settings.STORAGES = {
            "default": {
                "BACKEND": "tahoestorage.backends.s3.S3Storage",
                "OPTIONS": {**one, "location": media},
            },
            "staticfiles": {
                "BACKEND": "tahoestorage.backends.s3.S3StaticStorage",
                "OPTIONS": {**one, "location": static},
            },
        }

        assert ids() == expected
