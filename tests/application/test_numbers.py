"""Numbers in the environment that would do harm stop the site before it starts."""

from __future__ import annotations

import os
import runpy
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured

from tests.application.site import EXAMPLE

DEVELOPMENT = {"DEBUG": "1", "HTTPS": "1", "STORAGE_URL": "memory://"}


def settings_with(**numbers: str) -> dict[str, object]:
    with mock.patch.dict(os.environ, DEVELOPMENT | numbers):
        return runpy.run_path(str(EXAMPLE / "config" / "settings.py"))


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("EXPORT_KEEP_DAYS", ["-1", "1000000", "ten"]),
        ("EXPORT_KEEP_LATEST", ["-1", "1000000"]),
        ("JOBS_KEEP_DAYS", ["-1", "0", "1000000"]),
        ("JOBS_ATTEMPTS", ["-1", "0", "1000000"]),
        ("UPLOAD_HOURS", ["-1", "0", "1000000000000"]),
        ("UPLOAD_LIMIT", ["-1", "0", "1" * 30]),
        ("UPLOAD_PART_BYTES", ["-1", "0"]),
        ("UPLOAD_PATIENCE", ["-1", "0"]),
        ("READ_BACK_BYTES", ["-1", "ALL", "64M"]),
        ("PICTURE_MAX_PIXELS", ["-1", "0"]),
        ("PROXIES", ["-1"]),
        ("HSTS_SECONDS", ["-1"]),
    ],
)
def test_a_number_out_of_bounds_is_refused(name: str, numbers: list[str]) -> None:
    for number in numbers:
        with pytest.raises(ImproperlyConfigured, match=f"{name} must be .* from "):
            settings_with(**{name: number})


def test_numbers_within_bounds_are_taken() -> None:
    made = settings_with(EXPORT_KEEP_DAYS="0", UPLOAD_LIMIT="", JOBS_ATTEMPTS="7")

    assert made["EXPORT_KEEP_DAYS"] == 0
    assert made["UPLOAD_LIMIT"] is None
    assert made["JOBS_ATTEMPTS"] == 7
    assert made["JOBS_KEEP_DAYS"] == 30
    assert made["READ_BACK_BYTES"] == 64 << 20
    assert settings_with(READ_BACK_BYTES="0")["READ_BACK_BYTES"] == 0


def test_all_of_any_size_is_read_back_where_that_is_said() -> None:
    assert settings_with(READ_BACK_BYTES="all")["READ_BACK_BYTES"] is None
