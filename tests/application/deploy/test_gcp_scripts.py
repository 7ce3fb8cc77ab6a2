"""What gives the secrets their values, run with a gcloud that is played."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import yaml

from tests.application.deploy.definitions import GCP

GCLOUD = """#!/bin/bash
printf '%s\\n' "$*" >>calls
case "$*" in
*"versions list"*) name=${4}; [ ! -e "$name" ] || echo 1 ;;
*"versions add"*) cat >"$4" ;;
*"users create"*) cat "${6#--flags-file=}" >flags ;;
*"versions access"*) cat store-first-password ;;
esac
"""


def run_script(name: str, directory: Path, typed: str = "") -> str:
    """Run a script of the folder with a gcloud that keeps secrets as files there."""
    programs = directory / "bin"
    programs.mkdir(exist_ok=True)
    (programs / "gcloud").write_text(GCLOUD)
    (programs / "gcloud").chmod(0o755)
    return subprocess.run(
        ["bash", GCP / name],
        cwd=directory,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        input=f"{typed}\n",
        capture_output=True,
        text=True,
        check=True,
    ).stdout


def test_secrets_are_made_once_and_are_in_no_command_line(tmp_path: Path) -> None:
    mail = "smtp+tls://site:planted@mail.example.org:587"
    said = run_script("secrets.sh", tmp_path, mail)
    made = {path.name: path.read_text() for path in tmp_path.glob("store-*")}
    again = run_script("secrets.sh", tmp_path, "another")
    kept = {path.name: path.read_text() for path in tmp_path.glob("store-*")}
    shown = run_script("first-password.sh", tmp_path)
    calls = (tmp_path / "calls").read_text()
    terraform = (GCP / "terraform" / "secrets.tf").read_text()

    assert set(made) == {
        f"store-{name}"
        for name in re.findall(r'^    "([a-z-]+)",$', terraform, re.MULTILINE)
    }
    assert made["store-email-url"] == mail
    # As YAML, which gcloud reads there.
    flags = yaml.safe_load((tmp_path / "flags").read_text())
    assert flags == {"--password": made["store-database-password"]}
    assert len(set(made.values())) == 5
    assert min(map(len, made.values())) > 40
    assert kept == made
    assert shown == f"{made['store-first-password']}\n"
    for value in made.values():
        assert value not in said + again + calls
    assert "versions destroy 1 --secret=store-first-password" in calls


def test_a_secret_whose_versions_can_t_be_listed_gets_no_other(tmp_path: Path) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "gcloud").write_text('#!/bin/sh\necho "$2 $3" >>calls\nexit 1\n')
    (programs / "gcloud").chmod(0o755)
    done = subprocess.run(
        ["bash", GCP / "secrets.sh"],
        cwd=tmp_path,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        check=False,
    )

    assert done.returncode == 1
    assert (tmp_path / "calls").read_text() == "versions list\n"
