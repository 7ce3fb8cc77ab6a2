"""A site that uses the storages and has forgotten the app."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tahoestorage.testing.grid import LocalGrid

SETTINGS = """
SECRET_KEY = "of-the-tests"
INSTALLED_APPS = ["django.contrib.contenttypes"{app}]
STORAGES = {{"default": {{"BACKEND": "tahoestorage.storage.TahoeStorage"}}}}
TAHOE_STORAGE_BASE_URL = {base_url!r}
TAHOE_STORAGE_BASE_CAP_FILE = {cap_file!r}
TAHOE_STORAGE_CACHE = {{"directory": {cache!r}}}
"""
PROGRAM = """
import django
django.setup()
from django.core.files.storage import default_storage
for _ in range(3):
    default_storage.exists("a.txt")
"""


def said(grid: LocalGrid, folder: Path, app: str) -> str:
    """Return what a program of the site writes to its standard error."""
    cap = folder / "root.cap"
    cap.write_text(grid.create_root().uri)
    text = SETTINGS.format(
        app=app,
        base_url=grid.base_url,
        cap_file=str(cap),
        cache=str(folder / "cache"),
    )
    (folder / "site_settings.py").write_text(text)
    run = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        cwd=folder,
        env={**os.environ, "DJANGO_SETTINGS_MODULE": "site_settings"},
        capture_output=True,
        text=True,
        check=True,
    )
    return run.stderr


def test_is_told_in_the_log_once(tahoe_grid: LocalGrid, tmp_path: Path) -> None:
    log = said(tahoe_grid, tmp_path, "")

    assert log.count("is not in INSTALLED_APPS") == 1


def test_is_told_nothing_where_it_has_not(
    tahoe_grid: LocalGrid, tmp_path: Path
) -> None:
    assert said(tahoe_grid, tmp_path, ', "tahoestorage"') == ""
