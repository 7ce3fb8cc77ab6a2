"""What Terraform makes: read by a parser, and compared with what is deployed."""

from __future__ import annotations

import json
import re
from typing import Any
from uuid import uuid4

import hcl2
import pytest
from django.urls import reverse

from tests.application.deploy.definitions import (
    BUILD,
    GCP,
    TERRAFORM,
    definitions,
    render,
)
from tests.application.site import ROOT


def blocks(kind: str) -> list[dict[str, Any]]:
    """Return the blocks of a kind of all files, as `hcl2` reads them."""
    return [
        block
        for path in TERRAFORM
        for block in hcl2.loads(path.read_text()).get(kind, [])
    ]


def bare(text: str) -> str:
    return text.strip('"')


def resources() -> set[tuple[str, str]]:
    return {
        (bare(kind), bare(name))
        for block in blocks("resource")
        for kind, named in block.items()
        if not kind.startswith("__")
        for name in named
        if not name.startswith("__")
    }


def test_terraform_is_read_by_a_parser_and_names_what_there_is() -> None:
    text = "\n".join(path.read_text() for path in TERRAFORM)
    named = set(re.findall(r"\b(google_\w+)\.(\w+)\.\w", text))
    named -= {found for found in named if f"data.{found[0]}" in text}
    variables = {bare(name) for block in blocks("variable") for name in block}
    locals_ = {bare(name) for block in blocks("locals") for name in block}

    assert named <= resources() | {("google_secret_manager_secret", "this")}
    assert set(re.findall(r"\bvar\.(\w+)", text)) == {
        name for name in variables if not name.startswith("__")
    }
    assert set(re.findall(r"\blocal\.(\w+)", text)) <= locals_


@pytest.mark.parametrize("kind", ["variable", "output"])
def test_each_variable_and_output_is_described(kind: str) -> None:
    for block in blocks(kind):
        for name, said in block.items():
            if not name.startswith("__"):
                assert bare(said["description"]), name


APIS = {
    "google_artifact_registry": "artifactregistry",
    "google_cloud_scheduler": "cloudscheduler",
    "google_cloudbuild": "cloudbuild",
    "google_compute": "compute",
    "google_logging": "logging",
    "google_project_iam": "cloudresourcemanager",
    "google_secret_manager": "secretmanager",
    "google_service_account": "iam",
    "google_service_networking": "servicenetworking",
    "google_sql": "sqladmin",
    "google_vpc_access": "vpcaccess",
}
"""Which of Google's services resources of a kind are made by."""
ALWAYS_ON = ("google_storage_bucket", "google_project_service")


def test_the_services_are_on_that_resources_are_made_by() -> None:
    text = (GCP / "terraform" / "main.tf").read_text()
    turned_on = set(re.findall(r'^    "(\w+)\.googleapis\.com",$', text, re.MULTILINE))
    guide = (ROOT / "docs" / "deploy" / "google-cloud.md").read_text()
    before = guide.partition("terraform -chdir")[0]
    needed = set()
    for kind, _ in resources():
        if not kind.startswith(ALWAYS_ON):
            (api,) = {api for start, api in APIS.items() if kind.startswith(start)}
            needed.add(api)

    assert needed <= turned_on
    # By a plan, before Terraform turns on anything; and what roles and accounts take.
    for api in ("cloudresourcemanager", "compute", "iam", "serviceusage"):
        assert f" {api}.googleapis.com" in before


@pytest.mark.parametrize(
    ("name", "is_admitted"),
    [("store", True), ("s2", True), ("my-store", True), ("a" * 20, True)]
    + [(bad, False) for bad in ("store-", "s", "2s", "-s", "Store", "a" * 21)],
    ids=str,
)
def test_a_name_is_one_that_all_of_google_s_take(name: str, is_admitted: bool) -> None:
    text = (GCP / "terraform" / "variables.tf").read_text()
    (pattern,) = re.findall(r'can\(regex\("(.+)", var.name\)\)', text)

    assert bool(re.search(pattern, name)) == is_admitted
    # Names of accounts have 6 to 30, and begin with this one.
    assert is_admitted == bool(re.fullmatch("[a-z][a-z0-9-]{0,18}[a-z0-9]", name))


@pytest.mark.parametrize("branch", ["main", "release/1.x", "a+b", "fix_(2)"])
def test_the_trigger_watches_the_branch_of_that_name_alone(branch: str) -> None:
    text = (GCP / "terraform" / "build.tf").read_text()
    (name,) = re.findall(r'^  name += "(.*)"$', text, re.MULTILINE)
    # As Terraform reads it: a text whose backslashes are doubled.
    (replaced,) = re.findall(
        r'branch = "\^\$\{replace\(var\.branch, "/(.+)/", "(.+)"\)\}\$"$',
        text,
        re.MULTILINE,
    )
    characters, by = (one.replace("\\\\", "\\") for one in replaced)
    pattern = re.sub(characters, by.replace("\\$1", r"\\\1"), branch)

    assert "branch" not in name
    assert re.fullmatch(pattern, branch)
    for other in ("release/12x", "aab", "aaab", "fix_2", f"{branch}b"):
        assert not re.fullmatch(pattern, other)


def test_no_link_that_is_as_good_as_a_password_gets_into_the_log() -> None:
    text = (GCP / "terraform" / "logging.tf").read_text()
    (pattern,) = re.findall(r'httpRequest.requestUrl=~"(.+)"', text)
    pk, site = uuid4(), "https://files.example.org"
    secret = [
        reverse("share", kwargs={"token": "abc"}),
        reverse("api:link", kwargs={"token": "abc"}),
        reverse("api:upload", kwargs={"pk": pk}),
        reverse("password_reset_confirm", kwargs={"uidb64": "MQ", "token": "abc-def"}),
        reverse("pages:uploads") + str(pk),
    ]
    other = [reverse("api:usage"), reverse("pages:files"), "/?next=/s/abc"]

    assert [path for path in secret if not re.search(pattern, site + path)] == []
    assert [path for path in other if re.search(pattern, site + path)] == []


def test_what_starts_the_sweeps_may_start_jobs_and_nothing_else() -> None:
    text = (GCP / "terraform" / "accounts.tf").read_text()
    (role,) = re.findall(r'"start_jobs" {\n(.*?)^}', text, re.MULTILINE | re.DOTALL)

    assert 'permissions = ["run.jobs.run"]' in role
    # Cloud Run tells IAM no names, so that a condition on them is never true.
    assert "resource.name" not in text


def granted(account: str) -> set[tuple[str, str]]:
    """Return the roles of an account, and on what: buckets, secrets, the project."""
    text = (GCP / "terraform" / "accounts.tf").read_text()
    member, found = f"google_service_account.{account}.member", set()
    for body in re.findall(r"^resource .*?^}", text, re.MULTILINE | re.DOTALL):
        if member in body:
            (role,) = re.findall(r"role += (\S+)", body)
            each = re.findall(r"for_each += (.+)", body)
            (place,) = re.findall(
                r"^  (?:bucket|secret_id|service_account_id|project) += (\S+)",
                body,
                re.MULTILINE,
            )
            if "[each.value]" in place:
                place = each[0]
            found.add((bare(role).removeprefix("roles/"), place))
    return found


def test_who_serves_visitors_can_t_change_what_their_browsers_run() -> None:
    media = ("storage.objectUser", "google_storage_bucket.media.name")
    static = "google_storage_bucket.static.name"
    reads, database = "secretmanager.secretAccessor", ("cloudsql.client", "var.project")
    itself = "google_service_account.run.name"

    assert granted("run") == {
        media,
        ("storage.objectViewer", static),
        ("iam.serviceAccountTokenCreator", itself),
        (reads, 'setsubtract(local.secrets, ["first-password"])'),
        database,
    }
    assert granted("deploy") == {
        media,
        ("storage.objectUser", static),
        (reads, "local.secrets"),
        database,
    }
    # By no other way: nothing of these is the project's, and of no other file.
    others = [path for path in TERRAFORM if path.name != "accounts.tf"]
    text = "\n".join(path.read_text() for path in others)
    assert re.findall(r"google_service_account\.\w+\.member", text) == []


def test_no_secret_gets_into_terraform_s_state() -> None:
    kinds = {kind for kind, _ in resources()}

    assert "google_secret_manager_secret" in kinds
    assert kinds.isdisjoint(
        {
            "google_secret_manager_secret_version",
            "google_service_account_key",
            "google_sql_user",
            "random_password",
        }
    )


def test_terraform_makes_the_secrets_jobs_and_substitutions_that_are_used() -> None:
    text = {path.stem: path.read_text() for path in TERRAFORM}
    service = json.dumps(definitions()["service.yaml"])
    secrets = set(re.findall(r"value-service-([a-z-]+)", service))
    made = set(re.findall(r'^    "([a-z-]+)",$', text["secrets"], re.MULTILINE))
    times = r'^    ([a-z-]+) += "[\d*]+ .*"$'
    scheduled = set(re.findall(times, text["schedule"], re.MULTILINE))
    given = set(re.findall(r"^    (_[A-Z_]+) +=", text["build"], re.MULTILINE))

    # That of the first administrator is read by one command alone.
    assert secrets == made - {"first-password"}
    assert scheduled == set(render.JOBS) - {"migrate", "collectstatic", "manage"}
    assert given == set(BUILD["substitutions"]) - {"_IMAGE"}
