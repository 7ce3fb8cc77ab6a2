"""What a text in the environment says is what the validator of its option takes."""

from __future__ import annotations

from dataclasses import Field, fields
from pathlib import Path
from typing import Any

import pytest

from tahoestorage import env
from tahoestorage.config import storeoptions
from tahoestorage.config.options import CacheOptions, Options

ROOT = Path(__file__).resolve().parent.parent.parent
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
