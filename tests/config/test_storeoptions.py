"""What a text in the environment says is what the validator of its option takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import Field, fields
from datetime import timedelta
from pathlib import Path
from typing import Any, get_type_hints

import pytest

from tahoestorage import env
from tahoestorage.backends.gcs import GCSStorage
from tahoestorage.backends.s3 import S3Storage
from tahoestorage.config import storeoptions
from tahoestorage.config.keywords import CacheKeywords, TahoeKeywords
from tahoestorage.config.options import CacheOptions, Options
from tahoestorage.config.storeoptions import Option
from tahoestorage.storage import TahoeStorage
from tests.support.environment import (
    FOLDER,
    as_text,
    options,
    run,
    wrong,
)

ROOT = Path(__file__).resolve().parent.parent.parent
pytestmark = pytest.mark.usefixtures("no_store_variables")
DIRCAP = "URI:DIR2:" + "a" * 26 + ":" + "a" * 52
TEXTS = {
    "base_url": "http://one.example,http://two.example",
    "base_cap": DIRCAP,
    "base_cap_file": "/run/root.cap",
    "public_base_url": "https://files.example",
    "url_style": "path",
    "media_url": "/static/",
    "allow_overwrite": "yes",
    "connect_timeout": "2.5",
    "read_timeout": "30",
    "min_rate": "1024",
    "retries": "0",
    "cache": "on",
    "directory_format": "MDMF",
    "server_count": "4",
    "retired_servers": "v0-2nd3ab4cd,v0-5th6ij7kl",
    "trusted_hosts": "10.0.0.0/8,gateway",
    "cache.directory": "/var/cache/mysite",
    "cache.size_limit": "16777216",
    "cache.lifetime": "60",
    "cache.memory_entries": "500",
    "cache.redis": "redis://cache:6379/0",
    "cache.content_size_limit": "1073741824",
}
FIELDS: dict[str, Field[Any]] = {
    **{declared.name: declared for declared in fields(Options)},
    **{f"cache.{declared.name}": declared for declared in fields(CacheOptions)},
}


@pytest.mark.parametrize("name", FIELDS)
def test_each_field_can_be_given_as_text(name: str) -> None:
    option = storeoptions.tahoe_options()[name]

    value = FIELDS[name].metadata["convert"](option.convert(TEXTS[name]))

    assert value not in (None, "")
    variable = "TAHOE_STORAGE_" + name.upper().replace(".", "_")
    assert variable in option.variables


def test_the_limit_of_contents_comes_from_a_url_or_a_variable(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    url = "s3://media?cache.content_size_limit=1073741824"
    assert env.storage("NONE_SUCH", default=url)["OPTIONS"]["cache"] == {
        "content_size_limit": 2**30
    }

    monkeypatch.setenv("TAHOE_STORAGE_CACHE_CONTENT_SIZE_LIMIT", "1073741824")
    made = env.storage("NONE_SUCH", default="tahoe+http://gateway/")
    assert made["OPTIONS"]["cache"] == {"content_size_limit": 2**30}


def test_the_documentation_names_each_variable_of_the_cache() -> None:
    text = (ROOT / "docs" / "environment.md").read_text("utf-8")
    options = storeoptions.cache_options().values()
    variables = {name for option in options for name in option.variables}

    assert {name for name in variables if f"`{name}`" not in text} == set()


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
