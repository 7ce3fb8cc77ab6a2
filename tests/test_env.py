"""The stores that the environment names: what is made of it, and what is said of it."""

from __future__ import annotations

import copy
import json
import os
import pickle
import re
import string
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.contrib.staticfiles.storage import ManifestFilesMixin
from django.core.exceptions import ImproperlyConfigured
from django.core.files.base import ContentFile
from django.core.files.storage import FileSystemStorage, InMemoryStorage
from django.utils.module_loading import import_string
from django.views.debug import SafeExceptionReporterFilter
from hypothesis import given
from hypothesis import strategies as st

from tahoestorage import env
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.config import storeoptions
from tahoestorage.config.keywords import CacheKeywords, TahoeKeywords
from tahoestorage.config.options import CacheOptions, Options
from tahoestorage.config.secrets import KeyFile
from tahoestorage.config.storeoptions import Option
from tahoestorage.config.storeurls import STORES
from tahoestorage.storage import TahoeStorage
from tahoestorage.testing.grid import LocalGrid

ROOT = Path(__file__).resolve().parent.parent
S3 = "tahoestorage.backends.s3.S3Storage"
GCS = "tahoestorage.backends.gcs.GCSStorage"
TAHOE = "tahoestorage.storage.TahoeStorage"
FOLDER = "django.core.files.storage.FileSystemStorage"
MEMORY = "django.core.files.storage.InMemoryStorage"
CAP = "URI:DIR2:" + "a" * 26 + ":" + "a" * 52
OURS = ("AWS_", "GS_", "GZIP_", "GOOGLE_", "TAHOE_", "STORAGE_", "STATIC_")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of these tests is set outside."""
    for name in os.environ:
        if name.startswith(OURS):
            monkeypatch.delenv(name)


@pytest.fixture
def setenv(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def setenv(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return setenv


def errors(make: Callable[[], object]) -> list[str]:
    """Return the errors that are reported, one by one."""
    with pytest.raises(ImproperlyConfigured) as raised:
        make()
    return str(raised.value).split("\n- ")[1:]


def from_url(url: str) -> dict[str, Any]:
    return env.storage("NONE_SUCH", default=url)


def options(url: str) -> dict[str, Any]:
    made: dict[str, Any] = from_url(url)["OPTIONS"]
    return made


def wrong(url: str) -> list[str]:
    return [
        error.removeprefix("The default") for error in errors(lambda: from_url(url))
    ]


class TestAUrlNamesAStore:
    @pytest.mark.parametrize(
        ("url", "backend", "expected"),
        [
            (
                "tahoe+http://127.0.0.1:3456/?base_cap_file=/run/root.cap",
                TAHOE,
                {
                    "base_url": "http://127.0.0.1:3456",
                    "base_cap_file": "/run/root.cap",
                },
            ),
            (
                "tahoe+https://gateway.example/grid/?retries=5&read_timeout=1.5"
                "&allow_overwrite=yes&trusted_hosts=10.0.0.0/8,gateway",
                TAHOE,
                {
                    "base_url": "https://gateway.example/grid",
                    "retries": 5,
                    "read_timeout": 1.5,
                    "allow_overwrite": True,
                    "trusted_hosts": ["10.0.0.0/8", "gateway"],
                },
            ),
            ("s3://media", S3, {"bucket_name": "media"}),
            (
                "s3://My_media.2/a%20site/2026/?endpoint_url=http://127.0.0.1:9000"
                "&region_name=eu-central-1&querystring_expire=60",
                S3,
                {
                    "bucket_name": "My_media.2",
                    "location": "a site/2026",
                    "endpoint_url": "http://127.0.0.1:9000",
                    "region_name": "eu-central-1",
                    "querystring_expire": 60,
                },
            ),
            (
                "s3://media?gzip=on&gzip_content_types=text/css,image/svg+xml"
                '&object_parameters={"CacheControl":%20"max-age=60"}',
                S3,
                {
                    "bucket_name": "media",
                    "gzip": True,
                    "gzip_content_types": ["text/css", "image/svg+xml"],
                    "object_parameters": {"CacheControl": "max-age=60"},
                },
            ),
            (
                "gs://media/site?project_id=mine&expiration=PT1H&blob_chunk_size=262144",
                GCS,
                {
                    "bucket_name": "media",
                    "location": "site",
                    "project_id": "mine",
                    "expiration": timedelta(hours=1),
                    "blob_chunk_size": 262144,
                },
            ),
            ("file:///srv/media%20files", FOLDER, {"location": "/srv/media files"}),
            (
                "file:///srv/media/?base_url=/files/&file_permissions_mode=0640",
                FOLDER,
                {
                    "location": "/srv/media/",
                    "base_url": "/files/",
                    "file_permissions_mode": 0o640,
                },
            ),
            ("memory://", MEMORY, {}),
            ("MEMORY:///?base_url=/files/", MEMORY, {"base_url": "/files/"}),
        ],
    )
    def test_with_its_options(
        self, url: str, backend: str, expected: dict[str, Any]
    ) -> None:
        assert from_url(url) == {"BACKEND": backend, "OPTIONS": expected}

    @pytest.mark.parametrize(
        "url", ["s3://media?profile=site", "s3://media?session_profile=site"]
    )
    def test_with_a_profile_that_beats_the_keys_of_the_environment(
        self, url: str, setenv: Callable[..., None]
    ) -> None:
        setenv(AWS_ACCESS_KEY_ID="other", AWS_SECRET_ACCESS_KEY="other")

        made = env.storage_from_url(url)

        assert isinstance(made, import_string(S3))
        assert (made.session_profile, made.access_key) == ("site", None)

    @pytest.mark.parametrize(
        ("query", "expected"),
        [
            ("cache=false", {"cache": False}),
            ("cache=true", {"cache": True}),
            (
                "cache.directory=/var/cache/site&cache.lifetime=60&cache.size_limit=16777216"
                "&cache.redis=redis://cache:6379/0",
                {
                    "cache": {
                        "directory": "/var/cache/site",
                        "lifetime": 60.0,
                        "size_limit": 16777216,
                        "redis": "redis://cache:6379/0",
                    }
                },
            ),
        ],
    )
    @pytest.mark.parametrize(
        "store", ["tahoe+http://gateway/", "s3://media", "gs://media"]
    )
    def test_with_its_cache(
        self, store: str, query: str, expected: dict[str, Any]
    ) -> None:
        assert options(f"{store}?{query}")["cache"] == expected["cache"]

    @pytest.mark.parametrize(
        ("url", "kind"),
        [
            (
                "tahoe+http://gateway/?cache.lifetime=60&directory_format=mdmf",
                TahoeStorage,
            ),
            ("s3://media/site?region_name=x&verify=false&cache.lifetime=60", S3),
            ("gs://media/site?project_id=x&gzip=true&allow_overwrite=true", GCS),
            ("file:///srv/media?allow_overwrite=true", FileSystemStorage),
            ("memory://?base_url=/media/", InMemoryStorage),
        ],
    )
    def test_of_which_a_storage_can_be_made(self, url: str, kind: Any) -> None:
        made = env.storage_from_url(url)

        assert type(made) is (import_string(kind) if isinstance(kind, str) else kind)

    def test_that_stores_and_reads(self, tahoe_grid: LocalGrid, tmp_path: Path) -> None:
        cap = tmp_path / "root.cap"
        cap.write_text(tahoe_grid.create_root().uri)
        for url in (
            f"tahoe+{tahoe_grid.base_url}/?base_cap_file={cap}"
            f"&cache.directory={tmp_path}/cache",
            f"file://{tmp_path}/media",
            "memory://",
        ):
            made = env.storage_from_url(url)
            name = made.save("a/b.txt", ContentFile(b"kept" * 100))
            with made.open(name) as file:
                assert file.read() == b"kept" * 100


class TestTheOptionsAreThoseOfTheStorages:
    @pytest.mark.parametrize(
        ("parent", "module", "storage", "options"),
        [
            ("s3", "s3", S3Storage, storeoptions.s3_options),
            ("gcloud", "gcs", GCSStorage, storeoptions.gcs_options),
        ],
    )
    def test_of_django_storages(
        self,
        parent: str,
        module: str,
        storage: Any,
        options: Callable[[], Mapping[str, Option]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        asked = set()

        def setting(name: str, default: object = None) -> object:
            asked.add(name)
            return default

        monkeypatch.setattr(f"storages.backends.{parent}.setting", setting)
        monkeypatch.setattr(f"tahoestorage.backends.{module}.options.setting", setting)
        defaults = storage.get_default_settings(storage.__new__(storage))
        ours = {*storeoptions.cache_options(), "allow_overwrite"}
        # It has no setting, and is an object.
        besides = {*ours, "cloudfront_signer"}
        found = {n: option for n, option in options().items() if n not in besides}

        assert found.keys() == defaults.keys()
        assert {v for option in found.values() for v in option.variables} == asked
        for name, default in defaults.items():
            if default is not None:
                value = found[name].convert(as_text(default))
                assert (
                    tuple(value) if name == "gzip_content_types" else value
                ) == default

    @pytest.mark.parametrize(
        ("keywords", "options"),
        [(TahoeKeywords, Options), (CacheKeywords, CacheOptions)],
    )
    def test_of_a_constructor(self, keywords: type, options: type) -> None:
        assert [*get_type_hints(keywords)] == [each.name for each in fields(options)]

    def test_of_tahoe_with_a_variable_for_each_setting(self) -> None:
        found = storeoptions.tahoe_options()

        assert TahoeStorage(**{n: None for n in found if "." not in n}).options
        assert found["retries"].variables == ("TAHOE_STORAGE_RETRIES",)
        assert found["cache.directory"].variables == ("TAHOE_STORAGE_CACHE_DIRECTORY",)
        assert found["public_base_url"].variables == (
            "TAHOE_PUBLIC_BASE_URL",
            "TAHOE_STORAGE_PUBLIC_BASE_URL",
        )

    def test_of_django(self) -> None:
        assert storeoptions.django_options(FOLDER).keys() >= {
            "location",
            "base_url",
            "file_permissions_mode",
            "directory_permissions_mode",
            "allow_overwrite",
        }

    def test_where_django_storages_is_not_installed_it_is_asked_for(self) -> None:
        program = (
            "import sys; sys.modules['storages'] = None\n"
            "from tahoestorage import env\n"
            "env.storage(default='gs://media')"
        )
        assert "The default needs django-storages: pip install" in run(
            program, status=1
        )
        assert 'django-tahoestorage[gcs]"' in run(program, status=1)


def as_text(value: object) -> str:
    """Return how somebody would write it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, timedelta):
        return str(int(value.total_seconds()))
    if isinstance(value, list | tuple):
        return ",".join(value)
    if isinstance(value, dict):
        return json.dumps(value)
    return str(value)


def run(program: str, status: int = 0) -> str:
    """Run a program without any Django settings; return what it says."""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={k: v for k, v in os.environ.items() if k != "DJANGO_SETTINGS_MODULE"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_it_needs_no_settings_and_imports_nothing_heavy() -> None:
    heavy = {
        "boto3",
        "botocore",
        "google",
        "redis",
        "diskcache",
        "requests",
        "whitenoise",
    }
    program = (
        "import sys\n"
        "from django.conf import settings\n"
        "from tahoestorage import env\n"
        "urls = ('tahoe+http://g/', 's3://media', 'gs://media', 'memory://')\n"
        "for url in urls: env.storages(default=url)\n"
        "assert not settings.configured\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    assert heavy.isdisjoint(run(program).split())


class TestTexts:
    @pytest.mark.parametrize("text", ["true", "True", "YES", "on", "1"])
    def test_that_say_yes(self, text: str) -> None:
        assert options(f"s3://media?gzip={text}")["gzip"] is True

    @pytest.mark.parametrize("text", ["false", "No", "OFF", "0"])
    def test_that_say_no(self, text: str) -> None:
        assert options(f"s3://media?verify={text}")["verify"] is False

    def test_that_name_the_certificates(self) -> None:
        assert options("s3://media?verify=/etc/ca.pem")["verify"] == "/etc/ca.pem"

    @pytest.mark.parametrize(
        ("text", "seconds"), [("3600", 3600), ("01:00:00", 3600), ("P1DT1H", 90000)]
    )
    def test_of_durations(self, text: str, seconds: int) -> None:
        made = options(f"gs://media?expiration={text}")

        assert made["expiration"] == timedelta(seconds=seconds)

    @pytest.mark.parametrize(
        ("url", "error"),
        [
            ("s3://media?gzip=maybe", ": gzip is no flag; expected true or false"),
            (
                "s3://media?max_memory_size=1MB",
                ": max_memory_size is not a whole number",
            ),
            ("gs://media?expiration=soon", ": expiration is no duration; expected"),
            ("gs://media?expiration=-5", ": expiration is no duration; expected"),
            (
                "gs://media?object_parameters=[]",
                ": object_parameters is not a JSON object",
            ),
            (
                "file:///srv?file_permissions_mode=rw",
                ": file_permissions_mode is no mode",
            ),
            ("tahoe+http://g/?read_timeout=1m", ": read_timeout is not a number"),
            (
                "tahoe+http://g/?read_timeout=0",
                ": read_timeout is 0.0; expected a finite",
            ),
            (
                "tahoe+http://g/?directory_format=x",
                ": directory_format is 'x'; expected",
            ),
            (
                "s3://media?cache.lifetime=0",
                ": cache.lifetime is 0.0; expected a finite",
            ),
            (
                "s3://media?cache.redis=http://h",
                ": cache.redis does not begin with redis",
            ),
            (
                "s3://media?cache=off&cache.lifetime=1",
                ": cache says off, and The default: cache.lifetime is set",
            ),
            ("s3://media?client_config=x", ": client_config cannot be given as text"),
        ],
    )
    def test_that_are_wrong(self, url: str, error: str) -> None:
        (found,) = wrong(url)

        assert found.startswith(error)


class TestWhatIsWrongIsSaid:
    @pytest.mark.parametrize(
        ("url", "error"),
        [
            (
                "/srv/media",
                " has no scheme; expected one of tahoe+http, tahoe+https, s3",
            ),
            ("media", " has no scheme"),
            ("s3:media", " has no scheme"),
            ("gcs://media", ": the scheme gcs is not known; did you mean gs?"),
            (
                "http://h/?x=y",
                ": the scheme http is not known; did you mean tahoe+http?",
            ),
            ("tahoe://h/", ": the scheme tahoe is not known; did you mean tahoe+http?"),
            ("azure://media", ": the scheme azure is not known; expected one of file"),
            ("s3://media/a b", " has white space in it; expected it as %20"),
            ("s3://media/a#b", " has a # in it; expected it as %23"),
            ("s3://[media", " has brackets without an address in them"),
            ("s3://", ": the bucket has no proper name; expected s3://BUCKET/PREFIX"),
            ("s3:///media", ": the bucket has no proper name"),
            (
                "s3://127.0.0.1:9000/media",
                ": the bucket has a port; expected s3://BUCKET/PREFIX, with the server "
                "in the option endpoint_url",
            ),
            ("gs://media/a//b", ": the prefix has an empty part, or . or .., in it"),
            ("gs://media/../b", ": the prefix has an empty part, or . or .., in it"),
            (
                "file://srv/media",
                ": there is no folder; expected file:///DIR, with three",
            ),
            ("file:///", ": there is no folder"),
            ("memory://media", ": memory has no address; expected memory://"),
            ("tahoe+http:///", ": the gateway has no proper host"),
            ("tahoe+http://h:x/", ": the gateway has a wrong port"),
            (
                "s3://media?regoin_name=x",
                ": regoin_name is not known; did you mean region_name?",
            ),
            ("s3://media?region=x", ": region is not known; did you mean region_name?"),
            (
                "gs://media?project=x",
                ": project is not known; did you mean project_id?",
            ),
            (
                "gs://media?endpoint_url=x",
                ": endpoint_url is not known; expected one of",
            ),
            (
                "tahoe+http://h/?retires=x",
                ": retires is not known; did you mean retries?",
            ),
            (
                "s3://media?cache.life=x",
                ": cache.life is not known; did you mean cache.lifetime?",
            ),
            ("s3://media?bucket_name=x", ": bucket_name is what the address says"),
            ("file:///srv?location=x", ": location is what the address says"),
            ("gs://media?loction=x", ": loction is not known; expected one of"),
            ("s3://media?gzip", ": gzip has no value"),
            ("s3://media?gzip=", ": gzip has no value"),
            ("s3://media?gzip=1&gzip=0", ": gzip is given twice"),
            (
                "s3://media?profile=a&session_profile=b",
                ": session_profile is given twice",
            ),
        ],
    )
    def test_by_its_part_and_what_was_meant(self, url: str, error: str) -> None:
        (found,) = wrong(url)

        assert found.startswith(error)

    def test_all_together_each_with_its_variable(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(
            STORAGE_URL="s3://m?gzip=maybe&retries=1&cache.lifetime=0",
            STORAGE_URL_OLD="gcs://media",
            STATIC_STORAGE_URL="file://static",
            TAHOE_STORAGE_CACHE_SIZE_LIMIT="much",
        )

        found = errors(env.storages)

        assert [error.partition(" is ")[0].partition(";")[0] for error in found] == [
            "STORAGE_URL: the bucket has no proper name",
            "STORAGE_URL: gzip",
            "STORAGE_URL: retries",
            "STORAGE_URL: cache.lifetime",
            "STATIC_STORAGE_URL: there",
            "STORAGE_URL_OLD: the scheme gcs",
        ]

    def test_of_a_url_given_by_hand(self) -> None:
        (found,) = errors(lambda: env.storage_from_url("gcs://media"))

        assert found == "The URL: the scheme gcs is not known; did you mean gs?"


class TestSecrets:
    @pytest.mark.parametrize(
        ("url", "error"),
        [
            (
                "s3://key:secret@media",
                ": there is a user name or a key before the bucket",
            ),
            ("gs://secret@media", ": there is a user name or a key before the bucket"),
            ("tahoe+http://u:secret@h/", ": the gateway has a user name or password"),
            ("tahoe+http://h/URI:secret", ": the gateway has a cap in it"),
            (
                f"tahoe+http://h/?base_cap={CAP}",
                ": base_cap is a secret, and not for a URL; "
                "expected base_cap_file=FILE",
            ),
            (
                "s3://media?secret_key=secret",
                ": secret_key is a secret, and not for a URL; "
                "expected secret_key_file=FILE",
            ),
            ("s3://media?access_key=secret", ": access_key is a secret"),
            ("s3://media?security_token=secret", ": security_token is a secret"),
            ("s3://media?cloudfront_key=secret", ": cloudfront_key is a secret"),
            ("gs://media?credentials=secret", ": credentials is a secret"),
            (
                "s3://media?cache.redis=redis://:secret@h/0",
                ": cache.redis has a password in it; expected cache.redis_file=FILE",
            ),
            (
                "s3://media?endpoint_url=http://u:secret@h",
                ": endpoint_url has a password",
            ),
        ],
    )
    def test_are_refused_in_a_url_with_the_way_out(self, url: str, error: str) -> None:
        (found,) = wrong(url)

        assert found.startswith(error)
        assert "secret@" not in found
        assert CAP not in found

    # Never digits and a slash: they could be a port and a path.
    @given(
        st.text(string.ascii_letters + string.digits + "/+=", min_size=20).map(
            lambda text: f"0x{text}z"
        ),
        st.sampled_from(
            [
                "{}",
                "://{}",
                "s3://key:{}@media",
                "s3://media:{}",
                "s3://media?{}",
                "s3://media?{}=",
                "s3://media?{}=x",
                "s3://media?=x&{}=x",
                "s3://media?access_key={}&secret_key={}",
                "s3://media?gzip={}",
                "s3://media?querystring_expire={}",
                "gs://media?expiration={}",
                "gs://media?credentials={}",
                "memory://{}",
                "tahoe+http://h/?base_cap={}",
                "tahoe+http://u:{}@h/",
                "tahoe+http://h/?cache.redis=redis://:{}@h",
            ]
        ),
    )
    def test_are_never_repeated(self, secret: str, url: str) -> None:
        found = "\n".join(wrong(url.replace("{}", secret)))

        assert secret not in found

    def test_come_from_files(self, tmp_path: Path) -> None:
        key, secret = tmp_path / "key", tmp_path / "secret"
        key.write_text("AKIA\n")
        secret.write_text("very secret\n")

        made = options(f"s3://media?access_key_file={key}&secret_key_file={secret}")

        assert (made["access_key"], made["secret_key"]) == ("AKIA", "very secret")
        assert "AKIA" not in repr(made)
        assert "very secret" not in repr(made)

    def test_of_redis_too(self, tmp_path: Path) -> None:
        file = tmp_path / "redis"
        file.write_text("redis://:very-secret@cache/0")

        made = options(f"gs://media?cache.redis_file={file}")

        assert made["cache"]["redis"] == "redis://:very-secret@cache/0"
        assert "very-secret" not in repr(made)

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (None, "names a file that cannot be read: No such file or directory"),
            (b" \n", "names an empty file"),
            (b"\xff\xfe", "names a file that is no text"),
        ],
    )
    def test_in_a_file_that_is_of_no_use(
        self, tmp_path: Path, content: bytes | None, error: str
    ) -> None:
        if content is not None:
            (tmp_path / "file").write_bytes(content)

        for name in ("secret_key_file", "credentials_file"):
            scheme = "gs" if name == "credentials_file" else "s3"
            assert wrong(f"{scheme}://media?{name}={tmp_path}/file") == [
                f": {name} {error}"
            ]

    def test_one_key_without_the_other_is_of_no_use(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("AKIA")

        found = wrong(f"s3://media?access_key_file={tmp_path}/key")

        assert found == [": access_key_file is set without the secret_key to it"]

    def test_the_url_itself_may_be_in_a_file(
        self, tmp_path: Path, setenv: Callable[..., None]
    ) -> None:
        (tmp_path / "url").write_text("s3://media\n")
        setenv(
            STORAGE_URL_FILE=f"{tmp_path}/url",
            STATIC_STORAGE_URL_FILE=f"{tmp_path}/url",
            STORAGE_URL_OLD_FILE=f"{tmp_path}/url",
        )

        made = env.storages()

        assert made.keys() == {"default", "staticfiles", "old"}
        assert {one["OPTIONS"]["bucket_name"] for one in made.values()} == {"media"}

    def test_in_the_environment_are_hidden_too(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(
            STORAGE_URL="s3://media",
            AWS_ACCESS_KEY_ID="AKIA",
            AWS_SECRET_ACCESS_KEY="very-secret",
            AWS_SESSION_TOKEN="token-of-it",
        )

        made = env.storage()
        shown = SafeExceptionReporterFilter().cleanse_setting("STORAGES", made)

        assert made["OPTIONS"]["secret_key"] == "very-secret"
        for text in (repr(made), repr(shown)):
            assert not re.search("AKIA|very-secret|token-of-it", text)


class TestAKeyFile:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = {
            "type": "service_account",
            "client_email": "site@mine.iam.gserviceaccount.com",
            "token_uri": "http://127.0.0.1:9/",
            "private_key": pem.decode(),
        }
        file = tmp_path / "key.json"
        file.write_text(json.dumps(account))
        return file

    def test_becomes_credentials_when_they_are_used(self, file: Path) -> None:
        from google.oauth2.service_account import Credentials

        credentials = options(f"gs://media?credentials_file={file}")["credentials"]
        assert isinstance(credentials, Credentials)
        assert credentials.service_account_email == "site@mine.iam.gserviceaccount.com"

    def test_signs_the_urls_of_a_storage(self, file: Path) -> None:
        made = env.storage_from_url(f"gs://media?credentials_file={file}&cache=no")

        assert "X-Goog-Signature=" in made.url("a.txt")

    def test_travels_as_a_path(self, file: Path) -> None:
        credentials = KeyFile(str(file))
        assert credentials.service_account_email

        travelled = pickle.loads(pickle.dumps(credentials))  # noqa: S301

        assert b"PRIVATE KEY" not in pickle.dumps(credentials)
        assert travelled.service_account_email == credentials.service_account_email
        assert copy.deepcopy(credentials) is credentials
        assert copy.copy(credentials) is credentials
        assert "PRIVATE" not in repr(credentials)

    def test_may_be_in_a_variable(
        self, file: Path, setenv: Callable[..., None]
    ) -> None:
        setenv(GS_BUCKET_NAME="media", GS_CREDENTIALS_FILE=str(file))

        assert isinstance(env.storage()["OPTIONS"]["credentials"], KeyFile)


class TestVariablesThatPeopleHave:
    def test_of_amazon(self, setenv: Callable[..., None]) -> None:
        setenv(
            AWS_STORAGE_BUCKET_NAME="media",
            AWS_S3_ENDPOINT_URL="http://127.0.0.1:9000",
            AWS_S3_REGION_NAME="eu-central-1",
            AWS_QUERYSTRING_AUTH="False",
            AWS_QUERYSTRING_EXPIRE="60",
            AWS_LOCATION="site",
            AWS_S3_OBJECT_PARAMETERS='{"CacheControl": "max-age=60"}',
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_PROFILE="not of django-storages",
        )

        assert env.storage() == {
            "BACKEND": S3,
            "OPTIONS": {
                "bucket_name": "media",
                "endpoint_url": "http://127.0.0.1:9000",
                "region_name": "eu-central-1",
                "querystring_auth": False,
                "querystring_expire": 60,
                "location": "site",
                "object_parameters": {"CacheControl": "max-age=60"},
                "access_key": "key",
                "secret_key": "secret",
                "session_profile": None,
            },
        }

    def test_of_google(self, setenv: Callable[..., None]) -> None:
        setenv(
            GS_BUCKET_NAME="media",
            GS_PROJECT_ID="mine",
            GS_EXPIRATION="3600",
            GS_FILE_OVERWRITE="false",
            GOOGLE_APPLICATION_CREDENTIALS="/run/key.json",
        )

        assert env.storage() == {
            "BACKEND": GCS,
            "OPTIONS": {
                "bucket_name": "media",
                "project_id": "mine",
                "expiration": timedelta(hours=1),
                "file_overwrite": False,
            },
        }

    def test_of_tahoe(self, setenv: Callable[..., None]) -> None:
        setenv(
            TAHOE_STORAGE_BASE_URL="http://gateway:3456",
            TAHOE_STORAGE_BASE_CAP=CAP,
            TAHOE_PUBLIC_BASE_URL="https://files.example",
            TAHOE_STORAGE_RETRIES="5",
            TAHOE_STORAGE_CACHE_DIRECTORY="/var/cache/site",
        )

        made = env.storage()

        assert made == {
            "BACKEND": TAHOE,
            "OPTIONS": {
                "base_url": "http://gateway:3456",
                "base_cap": CAP,
                "public_base_url": "https://files.example",
                "retries": 5,
                "cache": {"directory": "/var/cache/site"},
            },
        }
        assert CAP not in repr(made)
        assert TahoeStorage(**made["OPTIONS"]).options.root.uri == CAP

    @pytest.mark.parametrize("name", ["BASE_URL", "BASE_CAP_FILE"])
    def test_one_is_enough_for_a_grid(
        self, name: str, setenv: Callable[..., None]
    ) -> None:
        setenv(**{f"TAHOE_STORAGE_{name}": "http://gateway"})

        assert env.storage()["BACKEND"] == TAHOE

    def test_each_may_be_in_a_file(
        self, tmp_path: Path, setenv: Callable[..., None]
    ) -> None:
        for name, text in (("bucket", "media"), ("key", "AKIA"), ("secret", "s3cret")):
            (tmp_path / name).write_text(f"{text}\n")
        setenv(
            AWS_STORAGE_BUCKET_NAME_FILE=f"{tmp_path}/bucket",
            AWS_S3_ACCESS_KEY_ID_FILE=f"{tmp_path}/key",
            AWS_S3_SECRET_ACCESS_KEY_FILE=f"{tmp_path}/secret",
        )

        made = env.storage()["OPTIONS"]

        assert made["bucket_name"] == "media"
        assert (made["access_key"], made["secret_key"]) == ("AKIA", "s3cret")

    def test_keys_of_a_session_have_their_token(
        self, setenv: Callable[..., None]
    ) -> None:
        """django-storages takes the keys from the environment, but not the token."""
        setenv(
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_SESSION_TOKEN="token",
        )

        made = env.storage_from_url("s3://media")

        assert isinstance(made, import_string(S3))
        assert made.security_token == "token"

    def test_a_token_without_keys_means_nothing(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(AWS_SESSION_TOKEN="token")

        assert options("s3://media") == {"bucket_name": "media"}

    def test_those_of_django_storages_alone_come_first(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(
            AWS_S3_ACCESS_KEY_ID="ours",
            AWS_S3_SECRET_ACCESS_KEY="ours",
            AWS_ACCESS_KEY_ID="of all",
            AWS_SECRET_ACCESS_KEY="of all",
        )

        made = options("s3://media")

        assert (made["access_key"], made["secret_key"]) == ("ours", "ours")

    def test_the_keys_of_a_url_are_its_own(
        self, tmp_path: Path, setenv: Callable[..., None]
    ) -> None:
        (tmp_path / "key").write_text("own")
        setenv(
            AWS_ACCESS_KEY_ID="key",
            AWS_SECRET_ACCESS_KEY="secret",
            AWS_SESSION_TOKEN="token",
            AWS_S3_SESSION_PROFILE="site",
        )

        made = options(
            f"s3://media?access_key_file={tmp_path}/key&secret_key_file={tmp_path}/key"
        )

        assert made == {
            "bucket_name": "media",
            "access_key": "own",
            "secret_key": "own",
            "session_profile": None,
        }

    def test_a_url_is_told_where_the_cache_is(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(TAHOE_STORAGE_CACHE_DIRECTORY="/var/cache/site")

        assert options("gs://media")["cache"] == {"directory": "/var/cache/site"}
        assert options("gs://media?cache=off")["cache"] is False
        assert options("gs://media?cache.lifetime=9")["cache"] == {"lifetime": 9.0}
        assert options("file:///srv/media") == {"location": "/srv/media"}

    def test_beside_a_url_add_nothing_else(self, setenv: Callable[..., None]) -> None:
        setenv(AWS_S3_REGION_NAME="x", AWS_LOCATION="x", TAHOE_STORAGE_RETRIES="7")

        assert options("s3://media") == {"bucket_name": "media"}
        assert options("tahoe+http://h/") == {"base_url": "http://h"}

    @pytest.mark.parametrize(
        ("variables", "error"),
        [
            (
                {"STORAGE_URL": "s3://media", "GS_BUCKET_NAME": "media"},
                "STORAGE_URL and GS_BUCKET_NAME each name a store; expected one of",
            ),
            (
                {"AWS_STORAGE_BUCKET_NAME": "media", "GS_BUCKET_NAME": "media"},
                "AWS_STORAGE_BUCKET_NAME and GS_BUCKET_NAME each name a store",
            ),
            (
                {"STORAGE_URL_FILE": __file__, "TAHOE_STORAGE_BASE_CAP_FILE": "/x"},
                "STORAGE_URL_FILE and TAHOE_STORAGE_BASE_CAP_FILE each name a store",
            ),
            (
                {"STORAGE_URL": "s3://media", "STORAGE_URL_FILE": "/x"},
                "STORAGE_URL and STORAGE_URL_FILE are both set; expected one",
            ),
            (
                {"TAHOE_STORAGE_BASE_CAP": CAP, "TAHOE_STORAGE_BASE_CAP_FILE": "/x"},
                "TAHOE_STORAGE_BASE_CAP and TAHOE_STORAGE_BASE_CAP_FILE are both set",
            ),
            (
                {
                    "GS_BUCKET_NAME": "media",
                    "GS_PROJECT_ID": "a",
                    "GS_PROJECT_ID_FILE": "/x",
                },
                "GS_PROJECT_ID and GS_PROJECT_ID_FILE are both set; expected one",
            ),
            (
                {
                    "STORAGE_URL": "s3://media",
                    "AWS_S3_SESSION_PROFILE": "x",
                    "AWS_ACCESS_KEY_ID": "x",
                    "AWS_SECRET_ACCESS_KEY": "x",
                },
                "AWS_S3_SESSION_PROFILE and AWS_ACCESS_KEY_ID are both set",
            ),
            (
                {"AWS_STORAGE_BUCKET_NAME": "media", "AWS_SECRET_ACCESS_KEY": "x"},
                "AWS_SECRET_ACCESS_KEY is set without the access_key to it",
            ),
            (
                {"AWS_STORAGE_BUCKET_NAME": "media", "AWS_S3_VERIFY_FILE": "/none"},
                "AWS_S3_VERIFY_FILE names a file that cannot be read",
            ),
            (
                {"GS_BUCKET_NAME": "media", "GS_CREDENTIALS": "{}"},
                "GS_CREDENTIALS cannot be given as text",
            ),
            (
                {"TAHOE_STORAGE_BASE_URL": "http://h", "TAHOE_STORAGE_RETRIES": "-1"},
                "TAHOE_STORAGE_RETRIES is -1; expected a whole number, at least 0",
            ),
            (
                {"TAHOE_STORAGE_BASE_URL": "http://h", "TAHOE_STORAGE_RETIRES": "1"},
                "TAHOE_STORAGE_RETIRES is not known; did you mean TAHOE_STORAGE_RET",
            ),
            (
                {"AWS_STORAGE_BUCKET_NAME": "media", "AWS_S3_REGION": "x"},
                "AWS_S3_REGION is not known; did you mean AWS_S3_REGION_NAME?",
            ),
            (
                {"AWS_STORAGE_BUCKET": "media"},
                "AWS_STORAGE_BUCKET is not known; did you mean AWS_STORAGE_BUCKET_NAME",
            ),
            (
                {"GS_BUCKET_NAMES": "media"},
                "GS_BUCKET_NAMES is not known; did you mean GS_BUCKET_NAME?",
            ),
            ({}, "STORAGE_URL is not set, and nothing else in the environment names"),
        ],
    )
    def test_that_contradict_or_are_misspelt(
        self,
        variables: dict[str, str],
        error: str,
        setenv: Callable[..., None],
    ) -> None:
        setenv(**variables)

        (found,) = errors(env.storage)

        assert found.startswith(error)

    def test_of_other_programs_are_let_alone(self, setenv: Callable[..., None]) -> None:
        setenv(
            AWS_S3_USE_ARN_REGION="true",
            AWS_ENDPOINT_URL_S3="http://h",
            AWS_REGION="x",
            GS_LIB="/usr/share/ghostscript",
            GS_OPTIONS="-q",
            TAHOE_NODE="x",
        )

        assert env.storage(default="memory://")["BACKEND"] == MEMORY
        setenv(AWS_STORAGE_BUCKET_NAME="media")
        assert env.storage()["OPTIONS"] == {"bucket_name": "media"}

    def test_misspelt_options_of_a_store_that_is_not_used_are_let_alone(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(AWS_S3_REGION="x", GS_PROJECT="x")

        assert env.storage(default="memory://")["BACKEND"] == MEMORY

    def test_empty_ones_are_not_set(self, setenv: Callable[..., None]) -> None:
        setenv(
            STORAGE_URL="", GS_BUCKET_NAME="", STORAGE_URL_OLD="", STATIC_STORAGE_URL=""
        )

        made = env.storages(default="memory://")

        assert made.keys() == {"default", "staticfiles"}
        assert made["default"]["BACKEND"] == MEMORY


class TestAllStorages:
    def test_a_default_gives_way_to_the_environment(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(STORAGE_URL="s3://media")

        assert env.storages(default="file:///srv/media")["default"]["BACKEND"] == S3

    def test_each_further_url_is_an_alias(self, setenv: Callable[..., None]) -> None:
        setenv(
            STORAGE_URL="s3://media",
            STORAGE_URL_ARCHIVE="gs://archive",
            STORAGE_URL_OLD_FILES="file:///srv/media",
        )

        made = env.storages()

        assert made.keys() == {"default", "staticfiles", "archive", "old_files"}
        assert made["archive"]["OPTIONS"]["bucket_name"] == "archive"
        assert made["old_files"]["OPTIONS"] == {"location": "/srv/media"}

    def test_further_urls_leave_the_default_to_the_other_variables(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(AWS_STORAGE_BUCKET_NAME="media", STORAGE_URL_OLD="gs://media")

        made = env.storages()

        assert (made["default"]["BACKEND"], made["old"]["BACKEND"]) == (S3, GCS)

    @pytest.mark.parametrize(
        ("variable", "meant"),
        [
            ("STORAGE_URL_DEFAULT", "STORAGE_URL"),
            ("STORAGE_URL_STATICFILES", "STATIC_STORAGE_URL"),
        ],
    )
    def test_some_aliases_have_variables_of_their_own(
        self, variable: str, meant: str, setenv: Callable[..., None]
    ) -> None:
        setenv(**{variable: "memory://"})

        assert errors(lambda: env.storages(default="memory://")) == [
            f"{variable} is no further store; did you mean {meant}?"
        ]

    def test_any_variable_may_name_one(self, setenv: Callable[..., None]) -> None:
        setenv(AVATARS="gs://avatars", AWS_STORAGE_BUCKET_NAME="media")

        assert env.storage("AVATARS")["OPTIONS"] == {"bucket_name": "avatars"}
        (found,) = errors(lambda: env.storage("PHOTOS"))
        assert found.startswith("PHOTOS is not set")
        assert "s3://BUCKET" in found


class TestStaticFiles:
    @pytest.mark.parametrize(
        ("url", "backend", "expected"),
        [
            (
                "s3://static?region_name=x",
                "tahoestorage.backends.s3.S3StaticStorage",
                {"bucket_name": "static", "region_name": "x"},
            ),
            (
                "gs://static?querystring_auth=yes&file_overwrite=no",
                "tahoestorage.backends.gcs.GCSStaticStorage",
                {
                    "querystring_auth": True,
                    "file_overwrite": False,
                    "bucket_name": "static",
                },
            ),
            (
                "tahoe+http://127.0.0.1:3456/?retries=1",
                "tahoestorage.staticfiles.TahoeManifestStaticStorage",
                {"base_url": "http://127.0.0.1:3456", "retries": 1},
            ),
            (
                "file:///srv/static",
                "django.contrib.staticfiles.storage.ManifestStaticFilesStorage",
                {"location": "/srv/static"},
            ),
            ("", "django.contrib.staticfiles.storage.StaticFilesStorage", {}),
        ],
    )
    def test_go_to_their_own_store_or_where_django_has_them(
        self,
        url: str,
        backend: str,
        expected: dict[str, Any],
        setenv: Callable[..., None],
    ) -> None:
        setenv(STATIC_STORAGE_URL=url)

        made = env.storages(default="memory://")["staticfiles"]

        assert made == {"BACKEND": backend, "OPTIONS": expected}
        assert import_string(backend)

    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("memory://", "collectstatic is a process, whose memory goes with it"),
        ],
    )
    def test_are_refused_where_they_would_be_of_no_use(
        self, url: str, reason: str, setenv: Callable[..., None]
    ) -> None:
        setenv(STATIC_STORAGE_URL=url)

        (found,) = errors(lambda: env.storages(default="memory://"))

        assert found.startswith(
            f"STATIC_STORAGE_URL is no place for static files: {reason}"
        )

    def test_in_a_bucket_may_have_names_that_change(self) -> None:
        text = (ROOT / "docs" / "environment.md").read_text("utf-8")
        code = re.search(
            r'^    (STORAGES\["staticfiles"\]\["BACKEND"\] = .*)$', text, re.M
        )
        assert code
        program: dict[str, Any] = {"STORAGES": {"staticfiles": {}}}
        exec(code[1], program)  # noqa: S102
        backend = import_string(program["STORAGES"]["staticfiles"]["BACKEND"])
        assert issubclass(backend, ManifestFilesMixin)
        assert not backend.querystring_auth

    def test_of_the_default_store_are_not_those(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(STORAGE_URL="s3://media")

        static = env.storages()["staticfiles"]["BACKEND"]
        assert static.rpartition(".")[2] == "StaticFilesStorage"


class TestTheDocumentation:
    text = (ROOT / "docs" / "environment.md").read_text("utf-8")

    def test_names_every_scheme(self) -> None:
        told = re.findall(r"^\| `([a-z0-9+]+)://", self.text, re.MULTILINE)

        assert set(told) == STORES.keys()

    def test_names_no_variable_that_there_is_not(self) -> None:
        known = {
            name
            for store in STORES.values()
            for option in store.options().values()
            for name in option.variables
        }
        others = {"STORAGE_URL", "STATIC_STORAGE_URL", "STORAGE_URL_OLD"}
        others |= {"STATIC_URL", "STATIC_ROOT"}
        told = set(
            re.findall(r"`((?:AWS|GS|TAHOE|STORAGE|STATIC)_[A-Z0-9_]*)`", self.text)
        )
        plain = {name if name in known else name.removesuffix("_FILE") for name in told}

        assert plain - known - others == set()
        assert {"AWS_STORAGE_BUCKET_NAME", "GS_BUCKET_NAME"} <= told

    def test_has_urls_that_are_right(self) -> None:
        urls = re.findall(
            r"STORAGE_URL(?:_OLD)?='?((?:tahoe|s3|gs|file)[^\s'`]+)", self.text
        )

        assert len(urls) >= 4
        for url in urls:
            assert from_url(re.sub(r"[\w.]+_file=[^&]+&?", "", url))
