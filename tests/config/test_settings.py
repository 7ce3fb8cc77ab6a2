"""Options: where they come from, what they may be, and what is said of wrong ones."""

from __future__ import annotations

import ipaddress
import math
from base64 import b32encode
from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import override_settings
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from pytest_django.fixtures import Settings

from tahoestorage.config.settings import CacheOptions, Options, read_options
from tahoestorage.tahoe.caps import Cap


def base32(length: int) -> str:
    return b32encode(bytes(range(length))).decode().rstrip("=").lower()


KEY, HASH = base32(16), base32(32)
WRITE_CAP = f"URI:DIR2:{KEY}:{HASH}"
OTHER_CAP = f"URI:DIR2:{HASH[:25]}a:{HASH}"
READ_CAP = f"URI:DIR2-RO:{KEY}:{HASH}"
IMMUTABLE_CAP = f"URI:DIR2-CHK:{KEY}:{HASH}:1:1:1234"
VERIFY_CAP = f"URI:DIR2-Verifier:{KEY}:{HASH}"
FILE_CAP = f"URI:CHK:{KEY}:{HASH}:1:1:1234"


@pytest.fixture(autouse=True)
def no_settings(settings: Settings) -> None:
    for name in dir(settings):
        if name.startswith("TAHOE_"):
            delattr(settings, name)


def read(**given: Any) -> Options:
    return read_options(given)


def errors(**given: Any) -> list[str]:
    """Return the errors that are reported, one by one."""
    with pytest.raises(ImproperlyConfigured) as raised:
        read_options(given)
    return str(raised.value).split("\n- ")[1:]


class TestWhereAnOptionComesFrom:
    def test_defaults(self) -> None:
        options = read()

        assert options.base_url == "http://127.0.0.1:3456"
        assert options.base_cap is None
        assert options.base_cap_file is None
        assert options.public_base_url is None
        assert options.allow_overwrite is False
        assert options.connect_timeout == 10
        assert options.read_timeout == 60
        assert options.min_rate == 65536
        assert options.retries == 3
        assert options.directory_format == "SDMF"
        assert options.trusted_hosts == ()

    def test_a_setting_beats_the_default(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_RETRIES = 7

        assert read().retries == 7

    def test_a_keyword_beats_the_setting(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_RETRIES = 7

        assert read(retries=0).retries == 0

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_a_keyword_that_says_nothing_means_the_setting(
        self, settings: Settings, nothing: Any
    ) -> None:
        settings.TAHOE_STORAGE_BASE_URL = "http://10.0.0.1:3456"

        assert read(base_url=nothing).base_url == "http://10.0.0.1:3456"

    @pytest.mark.parametrize("nothing", [None, ""])
    def test_a_setting_that_says_nothing_means_the_default(
        self, settings: Settings, nothing: Any
    ) -> None:
        settings.TAHOE_STORAGE_BASE_CAP = nothing

        assert read().base_cap is None

    def test_false_is_said(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_ALLOW_OVERWRITE = True

        assert read(allow_overwrite=False).allow_overwrite is False

    def test_settings_are_read_at_each_call(self) -> None:
        with override_settings(TAHOE_STORAGE_RETRIES=7):
            assert read().retries == 7
        assert read().retries == 3

    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("base_url", "https://gateway.example"),
            ("base_cap", Cap.parse(WRITE_CAP)),
            ("base_cap_file", Path("/run/secrets/cap")),
            ("public_base_url", "https://files.example"),
            ("allow_overwrite", True),
            ("connect_timeout", 1.5),
            ("read_timeout", 2.5),
            ("min_rate", 10),
            ("retries", 5),
            ("cache", False),
            ("directory_format", "MDMF"),
            ("trusted_hosts", ["gateway"]),
        ],
    )
    def test_every_option_has_a_setting(
        self, settings: Settings, name: str, value: Any
    ) -> None:
        setattr(settings, f"TAHOE_STORAGE_{name.upper()}", value)

        assert getattr(read(), name) == getattr(read(**{name: value}), name)
        assert getattr(read(), name) != getattr(Options(), name)

    def test_every_option_says_what_it_means(self) -> None:
        declared = [*fields(Options), *fields(CacheOptions)]

        assert all(field.metadata["meaning"] for field in declared)

    def test_options_are_frozen(self) -> None:
        with pytest.raises(FrozenInstanceError):
            read().retries = 4  # type: ignore[misc]


class TestTheClassicNameOfThePublicUrl:
    def test_it_is_read(self, settings: Settings) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = "http://localhost:3456/"

        assert read().public_base_url == "http://localhost:3456"

    def test_both_names_may_say_the_same(self, settings: Settings) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = "https://files.example/"
        settings.TAHOE_STORAGE_PUBLIC_BASE_URL = "https://files.example"

        assert read().public_base_url == "https://files.example"

    def test_both_names_may_not_differ(self, settings: Settings) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = "https://a.example"
        settings.TAHOE_STORAGE_PUBLIC_BASE_URL = "https://b.example"

        assert errors() == [
            "TAHOE_PUBLIC_BASE_URL and TAHOE_STORAGE_PUBLIC_BASE_URL differ; "
            "expected one of them"
        ]

    def test_a_keyword_beats_it(self, settings: Settings) -> None:
        settings.TAHOE_PUBLIC_BASE_URL = "https://a.example"

        options = read(public_base_url="https://b.example")

        assert options.public_base_url == "https://b.example"


class TestTheRootCap:
    @pytest.mark.parametrize(
        "cap", [WRITE_CAP, READ_CAP, IMMUTABLE_CAP], ids=["write", "read", "immutable"]
    )
    def test_any_directory_that_can_be_read_will_do(self, cap: str) -> None:
        assert read(base_cap=cap).root.uri == cap

    def test_white_space_around_it_is_dropped(self) -> None:
        assert read(base_cap=f" {WRITE_CAP}\n").root.uri == WRITE_CAP

    @pytest.mark.parametrize(
        ("cap", "reason"),
        [
            (VERIFY_CAP, "is a verify cap, which cannot be read"),
            (FILE_CAP, "is not the cap of a directory"),
            ("secret", "is not a cap ("),
            (WRITE_CAP[:-10], "is not a cap ("),
            (17, "is not a cap ("),
        ],
        ids=["verify cap", "file cap", "no cap", "cut short", "number"],
    )
    def test_other_caps_are_errors(self, cap: Any, reason: str) -> None:
        (error,) = errors(base_cap=cap)

        assert error.startswith(f"base_cap {reason}")
        assert error.endswith(
            "; expected a directory cap, as `manage.py tahoe_create_root` makes one"
        )
        assert "secret" not in error
        assert KEY not in error

    def test_without_one_the_options_are_there_but_no_root(self) -> None:
        options = read()

        assert not options.has_root
        with pytest.raises(ImproperlyConfigured, match="tahoe_create_root"):
            _ = options.root

    def test_nothing_of_it_is_in_the_repr(self) -> None:
        assert repr(read(base_cap=WRITE_CAP)) == repr(read())

    @hypothesis_settings(max_examples=50, deadline=None)
    @given(text=st.text(st.characters(categories=["L", "N"]), min_size=20))
    def test_a_wrong_one_is_in_no_message(self, text: str) -> None:
        for cap in (text, f"URI:DIR2:{text}", f"URI:CHK:{text}:{text}:1:1:1"):
            for name in ("base_cap", "base_cap_file", "base_url", "retries", "cache"):
                if name == "base_cap" or cap != text:
                    assert text not in str(errors(**{name: cap}))

    def test_the_frames_of_the_error_do_not_hold_it(self) -> None:
        with pytest.raises(ImproperlyConfigured) as raised:
            read_options({"base_cap": FILE_CAP})

        ours = [
            entry
            for entry in raised.traceback
            if Path(entry.path).name == "settings.py"
        ]
        assert ours
        assert all(KEY not in repr(entry.locals) for entry in ours)


class TestTheFileOfTheRootCap:
    def test_white_space_around_the_cap_is_dropped(self, tmp_path: Path) -> None:
        file = tmp_path / "cap"
        file.write_text(f"\n {WRITE_CAP} \n")

        assert read(base_cap_file=str(file)).root.uri == WRITE_CAP

    def test_it_is_read_when_the_root_is_first_needed(self, tmp_path: Path) -> None:
        file = tmp_path / "cap"
        options = read(base_cap_file=file)
        file.write_text(WRITE_CAP)

        assert options.root.uri == WRITE_CAP

    def test_it_is_read_once(self, tmp_path: Path) -> None:
        file = tmp_path / "cap"
        file.write_text(WRITE_CAP)
        options = read(base_cap_file=file)
        _ = options.root
        file.unlink()

        assert options.root.uri == WRITE_CAP

    def test_a_missing_one_is_named(self, tmp_path: Path) -> None:
        file = tmp_path / "cap"

        with pytest.raises(ImproperlyConfigured, match="No such file") as raised:
            _ = read(base_cap_file=file).root
        assert str(file) in str(raised.value)

    def test_a_directory_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(ImproperlyConfigured, match="cannot be read") as raised:
            _ = read(base_cap_file=tmp_path).root
        assert str(tmp_path) in str(raised.value)

    @pytest.mark.parametrize(
        ("content", "reason"),
        [
            (b"", "is not a cap"),
            (b"\n", "is not a cap"),
            (b"\xff\xfe" + KEY.encode(), "is not a cap"),
            (FILE_CAP.encode(), "is not the cap of a directory"),
        ],
    )
    def test_a_useless_one_is_named_but_not_quoted(
        self, tmp_path: Path, content: bytes, reason: str
    ) -> None:
        file = tmp_path / "cap"
        file.write_bytes(content)

        with pytest.raises(ImproperlyConfigured, match=reason) as raised:
            _ = read(base_cap_file=file).root
        assert str(file) in str(raised.value)
        assert KEY not in str(raised.value)

    def test_a_cap_in_its_place_is_not_quoted(self) -> None:
        assert errors(base_cap_file=WRITE_CAP) == [
            "base_cap_file has a cap in it; expected a path"
        ]

    def test_the_home_directory_is_found(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))

        assert read(base_cap_file="~/cap").base_cap_file == tmp_path / "cap"

    @pytest.mark.parametrize("path", [7, b"/cap", "/a\0b", "~nobody-at-all/cap"])
    def test_what_is_no_path_is_an_error(self, path: Any) -> None:
        (error,) = errors(base_cap_file=path)

        assert error.startswith("base_cap_file is ")


class TestCapAndFileTogether:
    def test_two_keywords_are_an_error(self) -> None:
        assert errors(base_cap=WRITE_CAP, base_cap_file="/cap") == [
            "base_cap and base_cap_file are both set; expected one of them"
        ]

    def test_two_settings_are_an_error(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_BASE_CAP = WRITE_CAP
        settings.TAHOE_STORAGE_BASE_CAP_FILE = "/cap"

        assert errors() == [
            "TAHOE_STORAGE_BASE_CAP and TAHOE_STORAGE_BASE_CAP_FILE are both set; "
            "expected one of them"
        ]

    def test_the_keyword_cap_beats_the_setting_file(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_BASE_CAP_FILE = "/cap"

        options = read(base_cap=WRITE_CAP)

        assert options.root.uri == WRITE_CAP
        assert options.base_cap_file is None

    def test_the_keyword_file_beats_the_setting_cap(
        self, settings: Settings, tmp_path: Path
    ) -> None:
        settings.TAHOE_STORAGE_BASE_CAP = WRITE_CAP
        file = tmp_path / "cap"
        file.write_text(OTHER_CAP)

        options = read(base_cap_file=file)

        assert options.root.uri == OTHER_CAP
        assert options.base_cap is None


class TestUrls:
    @pytest.mark.parametrize("name", ["base_url", "public_base_url"])
    @pytest.mark.parametrize(
        ("given", "normal"),
        [
            ("http://127.0.0.1:3456/", "http://127.0.0.1:3456"),
            ("HTTP://Gateway.Example:3456", "http://gateway.example:3456"),
            ("https://gateway.example:443/", "https://gateway.example"),
            ("http://gateway.example:443/", "http://gateway.example:443"),
            ("http://[::1]:3456//", "http://[::1]:3456"),
            ("https://gateway.example/a/Path/", "https://gateway.example/a/Path"),
            ("http://tahoe_gateway:80", "http://tahoe_gateway"),
            ("http://gateway.:3456", "http://gateway:3456"),
        ],
    )
    def test_one_form_for_equal_ones(self, name: str, given: str, normal: str) -> None:
        assert getattr(read(**{name: given}), name) == normal
        assert getattr(read(**{name: normal}), name) == normal

    @pytest.mark.parametrize("name", ["base_url", "public_base_url"])
    @pytest.mark.parametrize(
        ("url", "reason"),
        [
            ("ftp://host", "does not begin with http:// or https://"),
            ("127.0.0.1:3456", "does not begin with http:// or https://"),
            ("http://", "has no proper host"),
            ("http:///path", "has no proper host"),
            ("http://a..b", "has no proper host"),
            ("http://10.0.0.300", "has no proper host"),
            ("http://[::1", "is not a URL"),
            ("http://host:0", "has a wrong port"),
            ("http://host:65536", "has a wrong port"),
            ("http://host:port", "has a wrong port"),
            ("http://user:password@host", "has a user name or password in it"),
            ("http://host?", "has a query or a fragment"),
            ("http://host/?x=1", "has a query or a fragment"),
            ("http://host/#x", "has a query or a fragment"),
            ("http://ho st", "has white space or backslashes in it"),
            ("http://host\n", "has white space or backslashes in it"),
            ("http://host\\path", "has white space or backslashes in it"),
            (f"http://host/uri/{WRITE_CAP}", "has a cap in it"),
            (f"http://host/uri/{WRITE_CAP.replace(':', '%3A')}", "has a cap in it"),
            (3456, "is 3456"),
            (b"http://host", "is a bytes"),
        ],
    )
    def test_wrong_ones_are_named_but_not_quoted(
        self, name: str, url: Any, reason: str
    ) -> None:
        (error,) = errors(**{name: url})

        assert error.startswith(f"{name} {reason}; expected ")
        assert "password@" not in error
        assert KEY not in error


class TestNumbers:
    @pytest.mark.parametrize("name", ["connect_timeout", "read_timeout"])
    @pytest.mark.parametrize(
        "value", [0, -1, -0.5, math.nan, math.inf, 10**400, True, "10", [1]]
    )
    def test_seconds_are_finite_and_above_zero(self, name: str, value: Any) -> None:
        (error,) = errors(**{name: value})

        assert error.startswith(f"{name} is ")
        assert error.endswith("; expected a finite number above 0")

    @pytest.mark.parametrize("value", [0, -1, 1.5, True, "10"])
    def test_the_least_rate_is_whole_and_above_zero(self, value: Any) -> None:
        (error,) = errors(min_rate=value)

        assert error.endswith("; expected a whole number, at least 1")

    @pytest.mark.parametrize("value", [-1, 1.5, True, "3"])
    def test_retries_are_whole_and_not_below_zero(self, value: Any) -> None:
        (error,) = errors(retries=value)

        assert error.endswith("; expected a whole number, at least 0")

    def test_whole_seconds_will_do(self) -> None:
        assert read(read_timeout=5).read_timeout == 5


class TestOtherKinds:
    @pytest.mark.parametrize("value", [0, 1, "yes", "False"])
    def test_a_flag_is_true_or_false(self, value: Any) -> None:
        (error,) = errors(allow_overwrite=value)

        assert error.endswith("; expected True or False")

    def test_the_directory_format_may_be_in_lower_case(self) -> None:
        assert read(directory_format="mdmf").directory_format == "MDMF"

    @pytest.mark.parametrize("value", ["CHK", "SDMF ", 1, True])
    def test_other_directory_formats_are_errors(self, value: Any) -> None:
        (error,) = errors(directory_format=value)

        assert error.endswith('; expected "SDMF" or "MDMF"')

    def test_trusted_hosts_are_names_addresses_and_networks(self) -> None:
        given = ["Gateway.Example.", "10.1.2.3", "fd00::/8"]

        assert read(trusted_hosts=given).trusted_hosts == (
            "gateway.example",
            ipaddress.ip_network("10.1.2.3/32"),
            ipaddress.ip_network("fd00::/8"),
        )

    def test_every_wrong_trusted_host_is_reported(self) -> None:
        given = ["10.0.0.1/8", "host:3456", "fine", "http://host", 7]

        reported = errors(trusted_hosts=given)

        assert [error.split(" in it")[0] for error in reported] == [
            "trusted_hosts has '10.0.0.1/8'",
            "trusted_hosts has 'host:3456'",
            "trusted_hosts has 'http://host'",
            "trusted_hosts has 7",
        ]

    def test_a_single_text_is_not_a_list_of_hosts(self) -> None:
        assert errors(trusted_hosts="10.0.0.0/8") == [
            "trusted_hosts is '10.0.0.0/8'; expected a list, such as [\"10.0.0.0/8\"]"
        ]

    def test_a_long_wrong_value_is_not_quoted(self) -> None:
        (error,) = errors(retries="x" * 1000)

        assert len(error) < 100


class TestTheCache:
    def test_defaults(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))

        assert read().cache == CacheOptions(
            directory=tmp_path / "tahoestorage",
            size_limit=256 * 1024 * 1024,
            lifetime=300.0,
            memory_entries=12_000,
        )

    @pytest.mark.parametrize("xdg", ["", "relative"])
    def test_without_xdg_it_is_in_the_home_directory(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, xdg: str
    ) -> None:
        monkeypatch.setenv("XDG_CACHE_HOME", xdg)
        monkeypatch.setenv("HOME", str(tmp_path))

        assert CacheOptions().directory == tmp_path / ".cache" / "tahoestorage"

    def test_without_any_home_there_is_no_disk_tier(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr("os.getuid", lambda: 2**31 - 7)  # in no user database

        assert CacheOptions().directory is None

    def test_false_turns_it_off(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_CACHE = False

        assert read().cache is None

    def test_true_means_the_defaults(self, settings: Settings) -> None:
        settings.TAHOE_STORAGE_CACHE = False

        assert read(cache=True).cache == CacheOptions()

    def test_a_mapping_changes_what_it_names(self, tmp_path: Path) -> None:
        options = read(cache={"directory": str(tmp_path), "lifetime": 5}).cache

        assert options == CacheOptions(directory=tmp_path, lifetime=5.0)

    def test_what_says_nothing_has_its_default(self) -> None:
        assert read(cache={"directory": None, "lifetime": ""}).cache == CacheOptions()

    def test_all_its_errors_are_reported_with_their_places(
        self, settings: Settings
    ) -> None:
        settings.TAHOE_STORAGE_CACHE = {"size_limit": 0, "life_time": 5, "lifetime": -1}

        assert errors() == [
            "TAHOE_STORAGE_CACHE['size_limit'] is 0; "
            "expected a whole number, at least 8388608",
            "TAHOE_STORAGE_CACHE['lifetime'] is -1; expected a finite number above 0",
            "TAHOE_STORAGE_CACHE['life_time'] is not known; did you mean lifetime?",
        ]

    @pytest.mark.parametrize("name", ["dir", "path", "folder"])
    def test_its_directory_by_another_name_is_not_taken_for_redis(
        self, name: str
    ) -> None:
        (error,) = errors(cache={name: "/var/cache"})

        assert "redis" not in error or "directory" in error

    @pytest.mark.parametrize("value", [0, 1, "on", ["directory"]])
    def test_anything_else_is_an_error(self, value: Any) -> None:
        (error,) = errors(cache=value)

        assert error.endswith("; expected False, True or a mapping")


class TestUnknownNames:
    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("base_ulr", "base_url"),
            ("BASE_CAP", "base_cap"),
            ("timeout", "read_timeout"),
            ("overwrite", "allow_overwrite"),
        ],
    )
    def test_an_option_gets_the_nearest_name(self, name: str, near: str) -> None:
        assert errors(**{name: "x"}) == [f"{name} is not known; did you mean {near}?"]

    def test_an_option_like_no_other_gets_all_names(self) -> None:
        (error,) = errors(location=None)

        assert error.startswith("location is not known; expected one of ")
        assert all(field.name in error for field in fields(Options))

    @pytest.mark.parametrize(
        ("name", "near"),
        [
            ("TAHOE_STORAGE_BASE_ULR", "TAHOE_STORAGE_BASE_URL"),
            ("TAHOE_STORAGE_OVERWRITE", "TAHOE_STORAGE_ALLOW_OVERWRITE"),
            ("TAHOE_BASE_URL", "TAHOE_STORAGE_BASE_URL"),
            ("TAHOE_BASE_CAP", "TAHOE_STORAGE_BASE_CAP"),
            ("TAHOE_PUBLIC_URL", "TAHOE_STORAGE_PUBLIC_BASE_URL"),
            ("TAHOE_STORGE_RETRIES", "TAHOE_STORAGE_RETRIES"),
        ],
    )
    @pytest.mark.parametrize("value", ["x", None])
    def test_a_setting_gets_the_nearest_name(
        self, settings: Settings, name: str, near: str, value: Any
    ) -> None:
        setattr(settings, name, value)

        assert errors() == [f"{name} is not known; did you mean {near}?"]

    def test_a_setting_with_our_prefix_is_reported_however_strange(
        self, settings: Settings
    ) -> None:
        settings.TAHOE_STORAGE_XYZZY = 1

        (error,) = errors()

        assert error.startswith("TAHOE_STORAGE_XYZZY is not known; expected one of ")

    def test_settings_of_others_are_left_alone(self, settings: Settings) -> None:
        settings.TAHOE_GRID_NAME = "family"
        settings.TAHOE_DIRECTORY = "/srv/tahoe"

        assert read() == Options()


def test_everything_wrong_is_reported_together(settings: Settings) -> None:
    settings.TAHOE_STORAGE_BASE_CAP = FILE_CAP
    settings.TAHOE_STORAGE_RETRYS = 3
    settings.TAHOE_STORAGE_MIN_RATE = "fast"

    reported = errors(
        base_url="http://u:p@host", retries=-1, bas_url="x", cache={"size": 1}
    )

    assert [error.split()[0] for error in reported] == [
        "base_url",
        "TAHOE_STORAGE_BASE_CAP",
        "TAHOE_STORAGE_MIN_RATE",
        "retries",
        "cache['size']",
        "bas_url",
        "TAHOE_STORAGE_RETRYS",
    ]


def test_a_wrong_setting_is_reported_though_a_keyword_beats_it(
    settings: Settings,
) -> None:
    settings.TAHOE_STORAGE_RETRIES = -1

    (error,) = errors(retries=2)

    assert error.startswith("TAHOE_STORAGE_RETRIES is -1")
