"""The guides to deployments: their commands and pictures are of what there is."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import hcl2
import pytest
import yaml

from tests.application.deploy import gcloud
from tests.application.deploy.definitions import container, definitions, render
from tests.application.site import EXAMPLE, ROOT
from tests.support.documents import block

GCP = EXAMPLE / "deploy" / "gcp"
OWN = EXAMPLE / "deploy" / "own"
DOCS = ROOT / "docs" / "deploy"


def commands() -> list[str]:
    return block("docs/deploy/google-cloud.md", "sh", 1).splitlines()


def in_line(line: str) -> list[list[str]]:
    """Return the words of each command of a line of a shell's."""
    words = shlex.shlex(line, posix=True, punctuation_chars="&|;()")
    words.whitespace_split = True
    found: list[list[str]] = [[]]
    for word in words:
        if word.strip("&|;()"):
            found[-1].append(word)
        else:
            found.append([])
    return [one for one in found if one]


def test_a_service_takes_twelve_commands_at_most_and_bash_reads_them() -> None:
    for command in commands():
        subprocess.run(["bash", "-n", "-c", command], check=True)
    found = [one for line in commands() for one in in_line(line)]

    assert len(in_line("a && b 'c && d' | e; (f)")) == 4
    assert len(found) <= 12
    # None of a shell's own that hide others, but for what writes a file.
    assert {one[0] for one in found} == {"bash", "gcloud", "printf", "terraform"}
    for script in (one[1] for one in found if one[0] == "bash"):
        subprocess.run(["bash", "-n", ROOT / script], check=True)


def written(command: str, directory: Path) -> dict[str, Any]:
    """Return what a command's printf writes for Terraform, below ``directory``."""
    (line,) = re.findall(r"printf .*?\.tfvars", command)
    (name,) = re.findall(r">(\S+/terraform/\S+)$", line)
    (directory / name).parent.mkdir(parents=True, exist_ok=True)
    given = {"PATH": os.environ["PATH"], "address": "10.0.0.9"}
    subprocess.run(["bash", "-euc", line], cwd=directory, env=given, check=True)
    found = hcl2.loads((directory / name).read_text())
    return {k: v for k, v in found.items() if not k.startswith("__")}


def test_terraform_is_told_once_and_by_files_that_each_apply_reads(
    tmp_path: Path,
) -> None:
    # An apply without a value that an earlier one had would undo what came of it.
    (told,) = (one for one in commands() if "terraform.tfvars" in one)
    (again,) = (one for one in BACK["database"].splitlines() if "tfvars" in one)
    for _ in range(2):
        later = written(again, tmp_path)

    assert "my-project" in str(written(told, tmp_path)["project"])
    # Its name is one of those that are read without being named.
    assert ".auto.tfvars" in again
    assert list(later) == ["database_host"]
    guide = (DOCS / "google-cloud.md").read_text()
    assert re.findall(r"[\s`]-var=", guide) == []
    rules = (ROOT / ".gitignore").read_text().splitlines()
    assert "*.tfvars" in rules


def test_the_commands_name_what_terraform_and_the_build_make(tmp_path: Path) -> None:
    text = "\n".join(commands())
    terraform = "".join(p.read_text() for p in (GCP / "terraform").glob("*.tf"))
    (told,) = (one for one in commands() if "terraform.tfvars" in one)
    given = set(written(told, tmp_path))
    needed = set()
    for name, body in re.findall(
        r'^variable "(\w+)" {\n(.*?)^}', terraform, re.MULTILINE | re.DOTALL
    ):
        if not re.search(r"^  default ", body, re.MULTILINE):
            needed.add(name)
    jobs = set(re.findall(r"jobs execute store-([a-z-]+)", text))
    steps = yaml.safe_load((GCP / "cloudbuild.yaml").read_text())["steps"]

    assert needed <= given
    assert jobs <= set(re.findall(r'"([a-z-]+)": \[', (GCP / "render.py").read_text()))
    assert "jobs replace" in str(steps)
    assert 'backend "gcs"' in terraform


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("cloudbuild.yaml", 6),
        ("google-cloud.md", 20),
        ("secrets.sh", 3),
        ("first-password.sh", 2),
    ],
)
def test_gcloud_has_each_command_and_its_flags(name: str, count: int) -> None:
    text = ((DOCS if name.endswith("md") else GCP) / name).read_text()
    found = list(gcloud.commands(text.replace("$$", "$")))

    assert len(found) >= count
    assert [(one, wrong) for one in found if (wrong := gcloud.wrong(one))] == []


def test_what_gcloud_would_refuse_is_seen() -> None:
    text = 'x && gcloud run worker-pools replace "$file" \\\n  --region="$r" | cat -n'

    (command,) = gcloud.commands(text)

    assert gcloud.wrong(command) == ["--region"]
    assert gcloud.wrong(["run", "pools", "replace"]) == ["run pools replace"]


BACK = {
    "release": block("docs/deploy/google-cloud.md", "bash", 1),
    "database": block("docs/deploy/google-cloud.md", "bash", 2),
}


@pytest.mark.parametrize(
    ("to", "left", "changed"),
    [
        # It has been migrated, and the static files are there.
        ("release", {"migrate", "collectstatic"}, "RELEASE"),
        ("database", set(), "DATABASE_URL"),
    ],
    ids=BACK,
)
def test_who_goes_back_changes_all_that_the_build_made(
    to: str, left: set[str], changed: str
) -> None:
    text = BACK[to]
    subprocess.run(["bash", "-n", "-c", text], check=True)
    (loop,) = re.findall(r"for job in ([a-z -]+);", text)
    updated = set(re.findall(r"run ([a-z-]+) update(?:-traffic)? \"?store", text))
    names = {one["name"] for one in container(definitions()["worker.yaml"])["env"]}

    assert set(loop.split()) == set(render.JOBS) - left
    assert updated == {"services", "worker-pools", "jobs"}
    assert set(re.findall(r"-env-vars=\"?(\w+)", text)) == {changed} <= names


def test_visitors_get_an_older_database_only_when_it_is_migrated() -> None:
    # A probe does not notice which tables there are.
    text = BACK["database"]
    order = ["jobs update", "migrate,", "services update store", "services update-t"]
    places = [text.index(one) for one in [*order, "objects_sweep,"]]

    assert places == sorted(places)


def own_commands() -> list[str]:
    text = (DOCS / "own-hosts.md").read_text()
    return re.findall(r"^ +# (.+)$", text, re.MULTILINE)


def test_bash_reads_the_commands_on_one_s_own_hosts() -> None:
    for command in own_commands():
        subprocess.run(["bash", "-n", "-c", command], check=True)


def test_no_password_gets_into_the_shell_s_history() -> None:
    script = (GCP / "secrets.sh").read_text().splitlines()
    shown = [one for one in own_commands() + script if "PASSWORD@" in one]

    assert len(shown) == 3
    for command in shown:
        (prompt,) = re.findall(r'read -rsp "[^"]+" mail', command)
        assert "PASSWORD@" in prompt
        assert "PASSWORD@" not in command.replace(prompt, "")


@pytest.mark.parametrize("folder", ["/etc/store", "secrets"])
def test_keys_that_were_brought_back_stay(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder.strip("/")).mkdir(parents=True)
    made = [one for one in own_commands() if re.search(rf"-s {folder}/", one)]
    script = "chown() { :; }; install() { cat >email-url; }; read() { mail=new; }\n"
    script += "\n".join(made).replace(folder, str(tmp_path / folder.strip("/")))
    place = tmp_path / folder.strip("/")

    def run() -> dict[str, str]:
        subprocess.run(["bash", "-euc", script], cwd=place, check=True)
        return {path.name: path.read_text() for path in place.iterdir()}

    (place / "passphrase").write_text("planted")
    first = run()
    (place / "email-url").write_text("planted")
    second = run()

    assert len(made) == 2
    assert first["email-url"] == "new\n"
    assert first["passphrase"] == "planted"
    assert len(first["secret-key"]) == 65
    assert second == first | {"email-url": "planted"}


def test_what_is_brought_back_belongs_to_the_users_of_the_new_host() -> None:
    units = "".join(
        path.read_text() for path in (OWN / "systemd").glob("store-*.service")
    )
    text = (OWN / "store.env").read_text() + units
    kept = set(re.findall(r"/etc/store/([a-z.-]+[a-z])\b", text))
    given = "\n".join(one for one in own_commands() if "chown" in one)
    (loop,) = re.findall(r"for name in ([a-z -]+); do .*chown store /etc/store", given)

    assert {"root.cap", "passphrase", "secret-key", "store.env"} <= kept
    assert kept == {*loop.split(), *re.findall(r" /etc/store/([a-z.-]+\w)\b", given)}
    for folder in ("/srv/backup", "/srv/tahoe/gateway/private"):
        assert re.search(rf"chown -R (store|tahoe) {folder}", given)


def test_a_node_learns_of_its_introducer_by_a_file(tmp_path: Path) -> None:
    furl = "pb://abc@tcp:grid1:3400/planted-value-of-a-secret"
    (tmp_path / "introducer.furl").write_text(f"{furl}\n")
    (function,) = (one for one in own_commands() if one.startswith("introduce()"))
    (inner,) = (one for one in own_commands() if "introducers:" in one and "-T" in one)
    inner = inner.partition("gateway ")[2].replace("~", ".")
    done = [
        (f"chown() {{ :; }}; {function}; introduce server", "server"),
        (inner.replace("/gateway", "gateway"), "gateway"),
    ]

    for command, node in done:
        (tmp_path / node / "private").mkdir(parents=True)
        subprocess.run(["bash", "-ec", command], cwd=tmp_path, check=True)
        made = tmp_path / node / "private" / "introducers.yaml"

        assert yaml.safe_load(made.read_text()) == {
            "introducers": {"grid": {"furl": furl}}
        }
        assert made.stat().st_mode & 0o77 == 0
    assert "--introducer" not in "\n".join(own_commands())


def test_without_the_introducer_s_furl_a_node_gets_none_that_is_empty(
    tmp_path: Path,
) -> None:
    (function,) = (one for one in own_commands() if one.startswith("introduce()"))
    (tmp_path / "server" / "private").mkdir(parents=True)

    done = subprocess.run(
        ["bash", "-c", f"chown() {{ :; }}; {function}; introduce server"],
        cwd=tmp_path,
        check=False,
        capture_output=True,
    )

    assert done.returncode != 0
    assert list((tmp_path / "server" / "private").iterdir()) == []


def test_nothing_is_installed_but_by_its_hash() -> None:
    installs = re.findall(r"pip install [^&\n]+", "\n".join(own_commands()))
    by_hash = [one for one in installs if "--require-hashes" in one]
    # What is here is built by what is there already.
    own = [one for one in installs if one.rstrip().endswith(" .")]

    assert len(by_hash) > 2
    assert sorted(by_hash + own) == sorted(installs)
    for one in own:
        assert {"--no-deps", "--no-index", "--no-build-isolation"} <= set(one.split())
    assert any("requirements/build.txt" in one for one in by_hash)


def test_containers_get_every_secret_that_they_name_before_they_start() -> None:
    secrets = yaml.safe_load((OWN / "compose.yaml").read_text())["secrets"]
    told = own_commands()
    (start,) = (n for n, one in enumerate(told) if one == "docker compose up --detach")
    before = "\n".join(told[:start])
    (loop,) = re.findall(r"for name in ([a-z -]+); do [^;]+ >secrets/", before)

    made = {*loop.split(), *re.findall(r"(?:touch |cat >)secrets/(\S+)", before)}
    assert {Path(one["file"]).name for one in secrets.values()} == made
    for command in ("tahoe_create_root", "migrate", "createsupertenant"):
        assert f"run --rm manage {command}" in before


@pytest.mark.parametrize("name", ["google-cloud", "own-hosts"])
def test_the_picture_is_drawn_from_the_text_beside_it(name: str) -> None:
    text = (DOCS / f"{name}.dot").read_text()
    drawn = unescape((DOCS / f"{name}.svg").read_text())
    labels = re.findall(r'\[?label="([^"]+)"', text)
    lines = {line for label in labels for line in label.split("\\n")}
    arrows = re.findall(r"^ +(\w+) -> (\w+)", text, re.MULTILINE)

    assert [line for line in lines if f">{line}</text>" not in drawn] == []
    assert re.findall(r"<title>(\w+)&#45;&gt;(\w+)</title>", drawn) or sorted(
        re.findall(r"<title>(\w+)->(\w+)</title>", drawn)
    ) == sorted(arrows)


def test_what_the_guides_name_is_there() -> None:
    for guide, folder in (("google-cloud", GCP), ("own-hosts", OWN)):
        text = (DOCS / f"{guide}.md").read_text()
        rows = re.findall(r"^\| ((?:`[\w.-]+/?`(?:, )?)+) \|", text, re.MULTILINE)
        named = [name for row in rows for name in re.findall(r"`([^`]+)`", row)]
        files = [name for name in named if re.search(r"\.\w+$|^Dockerfile$|/$", name)]
        missing = [name for name in files if not (folder / name).exists()]
        assert missing == []
    units = {path.name for path in (OWN / "systemd").iterdir()}
    own = (DOCS / "own-hosts.md").read_text()
    started = set(re.findall(r"\bstore-[\w-]+\.(?:service|timer)\b", own))
    assert started <= units
    (enabled,) = re.findall(r"systemctl enable --now (store-web .+)", own)
    for name in enabled.split():
        assert (name if "." in name else f"{name}.service") in units
