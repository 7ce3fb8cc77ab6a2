"""The image: how it is built, and what it is given."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import subprocess
from pathlib import Path

import docker.utils.build
from dockerfile_parse import DockerfileParser

from tests.application.deploy.definitions import GCP, PLANTED
from tests.application.site import ROOT


def test_the_image_is_built_in_stages_by_hashes_and_is_not_root(tmp_path: Path) -> None:
    parser = DockerfileParser(str(tmp_path / "Dockerfile"))
    parser.content = (GCP / "Dockerfile").read_text()
    steps = parser.structure
    last = max(n for n, step in enumerate(steps) if step["instruction"] == "FROM")
    final = {step["instruction"]: step["value"] for step in steps[last:]}
    installs = re.findall(r"pip install [^&]+", parser.content)

    assert [step["instruction"] for step in steps].count("FROM") == 2
    assert final["USER"].split(":")[0] not in ("root", "0")
    assert "RUN" not in final
    assert "/health/process" in final["HEALTHCHECK"]
    assert json.loads(final["CMD"]) == ["/app/deploy/gcp/entrypoint.sh"]
    assert installs
    assert [one for one in installs if "--require-hashes" not in one] == []
    for lock in ("build", "service"):
        text = (ROOT / f"requirements/{lock}.txt").read_text()
        pins = re.findall(r"^[a-z][\w.-]+==", text, re.MULTILINE)
        assert pins
        assert len(re.findall(r"^[a-z].*\\$", text, re.MULTILINE)) == len(pins)


def pins(lock: str) -> dict[str, str]:
    text = (ROOT / "requirements" / lock).read_text()
    return dict(re.findall(r"^([a-z0-9][\w.-]*)==([^\s;]+)", text, re.MULTILINE))


def test_the_image_has_what_the_application_needs_in_the_versions_of_the_tests() -> (
    None
):
    needed = set()
    for name in ("application.in", "celery.in", "secret-manager.in"):
        text = (ROOT / "requirements" / name).read_text()
        needed |= set(re.findall(r"^([A-Za-z][\w.-]*)", text, re.MULTILINE))
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    extras = setup["options.extras_require"]
    for wanted in (setup["options"]["install_requires"], extras["gcs"]):
        needed |= set(re.findall(r"^([A-Za-z][\w.-]*)", wanted, re.MULTILINE))
    image, tested = pins("service.txt"), pins("dev-py311-django52.txt")

    assert {name.lower() for name in needed} <= set(image)
    other = {name for name, version in image.items() if tested.get(name) != version}
    assert other == set()


def context(root: Path) -> set[str]:
    """Return the files that a build is given of a tree, by Docker's own rules."""
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    lines = [line for line in rules if line and not line.startswith("#")]
    found = docker.utils.build.exclude_paths(str(root), lines)
    return {path for path in found if (root / path).is_file()}


def test_the_image_is_given_what_it_needs_and_no_secret_that_lies_about(
    tmp_path: Path,
) -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    tree = tmp_path / "tree"
    for name in filter(None, listed.stdout.split("\0")):
        if name.startswith(("docs/", "tests/")) or not (ROOT / name).is_file():
            continue
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tree / name)
    planted = [
        *(".env", "example/.env", "root.cap", "example/root.cap", "key.json"),
        *("example/key.json", "example/db.sqlite3", "example/db.sqlite3-wal"),
        *("example/media/a.txt", ".git/config", "example/config/.env.production"),
        *("tls.pem", "example/deploy/gcp/tls.key", "example/deploy/own/store.env"),
        *("example/deploy/gcp/terraform/secret.tfvars", "tahoestorage/private.key"),
        *("example/deploy/gcp/terraform/terraform.tfstate", "example/site.log"),
        *(".demo/secrets.txt", "tests/secret.txt", "notes.txt"),
    ]
    for name in planted:
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(PLANTED)

    given = context(tree)

    holds = {name for name in given if PLANTED in (tree / name).read_text("latin-1")}
    assert holds == set()
    for name in listed.stdout.split("\0"):
        if name.startswith(("tahoestorage/", "example/")) and not name.startswith(
            ("example/deploy/own/", "example/deploy/gcp/terraform/", "example/demo.py")
        ):
            assert name in given
    assert {"requirements/service.txt", "requirements/build.txt", "setup.cfg"} <= given
