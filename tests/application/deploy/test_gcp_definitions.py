"""What is sent to Google Cloud, compared with Google's own schemas and with itself."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import googleapiclient.discovery_cache
import jsonschema
import pytest
import yaml

from tests.application.deploy.definitions import (
    BUILD,
    GCP,
    PLANTED,
    SERVICES,
    container,
    definitions,
    environment,
    pod,
    render,
    step,
    traffic,
    variables,
)
from tests.application.site import EXAMPLE, ROOT, settings_of


def as_json_schema(part: dict[str, Any]) -> dict[str, Any]:
    """Drop what Google's documents have and JSON Schema has not."""
    return {k: v for k, v in part.items() if (k, v) != ("type", "any")}


def schemas() -> dict[str, Any]:
    """Return the schemas of Cloud Run's API, in which nothing unknown is admitted."""
    folder = Path(googleapiclient.discovery_cache.__file__).parent / "documents"
    text = (folder / "run.v1.json").read_text()
    text = text.replace('"$ref": "', '"$ref": "#/$defs/')
    read = json.loads(text, object_hook=as_json_schema)
    found: dict[str, Any] = read["schemas"]
    for schema in found.values():
        schema.pop("id", None)
        if "properties" in schema:
            schema["additionalProperties"] = False
    return found


@pytest.mark.parametrize(
    "name",
    ["service.yaml", "worker.yaml", *(f"job-{job}.yaml" for job in render.JOBS)],
    ids=str,
)
def test_cloud_run_s_own_schema_admits_each_resource(name: str) -> None:
    resource = definitions(CLOUDSQL_INSTANCE="project:region:store")[name]
    known = schemas()

    jsonschema.validate(resource, {**known[resource["kind"]], "$defs": known})

    said = known["ObjectMeta"]["properties"]["annotations"]["description"]
    admitted = {}
    for annotation, kinds in re.findall(r"`([\w./-]+)`: ([\w, ]+)", said):
        admitted[annotation] = set(re.findall(r"\w+", kinds))
    of_template = {"Job": "Execution"}.get(resource["kind"], "Revision")
    outer = resource["metadata"].get("annotations", {})
    inner = resource["spec"]["template"]["metadata"]["annotations"]
    assert [one for one in inner if of_template not in admitted[one]] == []
    # The API's description names pools nowhere, and a service's scaling for both.
    known_as = {"WorkerPool": "Service"}.get(resource["kind"], resource["kind"])
    assert [one for one in outer if known_as not in admitted[one]] == []


def test_the_schema_of_cloud_run_refuses_what_is_misspelt() -> None:
    resource, known = definitions()["service.yaml"], schemas()
    resource["spec"]["template"]["spec"]["containerConcurency"] = 8

    with pytest.raises(jsonschema.ValidationError, match="containerConcurency"):
        jsonschema.validate(resource, {**known["Service"], "$defs": known})


def test_a_variable_that_is_missing_is_named_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    given = variables() | {"MEDIA_BUCKET": ""}
    done = subprocess.run(
        [sys.executable, GCP / "render.py", tmp_path / "out"],
        env=given,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 2
    assert "MEDIA_BUCKET is not set" in done.stderr
    assert not (tmp_path / "out").exists()


def test_all_get_the_same_settings_and_the_settings_are_those_there_are() -> None:
    made = definitions()
    given = {
        name: {one["name"]: one for one in container(found)["env"]}
        for name, found in made.items()
    }
    service = given["service.yaml"]
    read = (EXAMPLE / "README.md").read_text()

    assert len(given) == len(render.JOBS) + 2
    assert [name for name, found in given.items() if found != service] == []
    assert [one for one in service if one.removesuffix("_FILE") not in read] == [
        "TAHOE_STORAGE_CACHE_SIZE_LIMIT"
    ]


def test_a_release_is_prepared_by_an_account_of_its_own() -> None:
    accounts = {
        name: pod(found)["serviceAccountName"] for name, found in definitions().items()
    }
    deploys = [f"job-{job}.yaml" for job in ("migrate", "collectstatic", "manage")]

    assert {accounts.pop(name) for name in deploys} == {"value-deploy_account"}
    assert set(accounts.values()) == {"value-service_account"}


def settings_in(definition: dict[str, Any], directory: Path, *said: str) -> list[Any]:
    """Return what the settings make of a definition's environment."""
    secrets = {
        f"value-service-{name}": PLANTED * 2
        for name in ("secret-key", "token-signing-key", "database-password")
    }
    mail = f"smtp+tls://site:{PLANTED}@mail.example.org:587"
    secrets["value-service-email-url"] = mail
    return settings_of(environment(definition, secrets, directory), said)


def test_the_stores_and_the_database_are_such_as_the_settings_take(
    tmp_path: Path,
) -> None:
    found = settings_in(
        definitions()["service.yaml"],
        tmp_path,
        "DATABASES['default']['ENGINE']",
        "DATABASES['default']['HOST']",
        "DATABASES['default']['NAME']",
        "STORAGES['default']['BACKEND']",
        "STORAGES['default']['OPTIONS']['iam_sign_blob']",
        "STORAGES['staticfiles']['BACKEND']",
        "STORAGES['staticfiles']['OPTIONS']['manifest_name']",
        "SHOWN",
    )

    assert found == [
        "config.postgresql",
        "value-database_host",
        "value-database_name",
        "tahoestorage.backends.gcs.GCSStorage",
        True,
        "tahoestorage.backends.gcs.GCSManifestStaticStorage",
        "staticfiles-value-release.json",
        ["'self'", "https:"],
    ]


@pytest.mark.parametrize("name", ["service.yaml", "worker.yaml", "job-migrate.yaml"])
def test_one_variable_leads_to_the_database_s_socket(name: str, tmp_path: Path) -> None:
    instance = "project:region:store"
    by_address = definitions()[name]
    by_socket = definitions(CLOUDSQL_INSTANCE=instance)[name]
    said = ("DATABASES['default']['HOST']", "DATABASES['default']['NAME']")

    found = settings_in(by_socket, tmp_path, *said)

    assert found == [f"/cloudsql/{instance}", "value-database_name"]
    annotation = "run.googleapis.com/cloudsql-instances"
    told = by_socket["spec"]["template"]["metadata"]["annotations"]
    assert told.pop(annotation) == instance
    assert by_address["spec"]["template"]["metadata"]["annotations"] == told


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.cloudbuild", GCP / "cloudbuild.yaml"),
        ("vendor.github-workflows", ROOT / ".github" / "workflows" / "ci.yml"),
    ],
    ids=["cloudbuild", "workflow"],
)
def test_a_published_schema_admits_it(schema: str, file: Path) -> None:
    command = ["-m", "check_jsonschema", "--builtin-schema", schema]
    done = subprocess.run(
        [sys.executable, *command, file],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


def test_each_substitution_of_the_build_is_known_and_used() -> None:
    steps = json.dumps([BUILD["steps"], BUILD["images"]])
    used = set(re.findall(r"(?<!\$)\$\{(_?[A-Z_]+)\}", steps))
    inner = set(re.findall(r"\$\{(_?[A-Z_]+)\}", json.dumps(BUILD["substitutions"])))
    own = {"PROJECT_ID", "COMMIT_SHA", "SHORT_SHA", "BUILD_ID", "BRANCH_NAME"}

    assert (used | inner) - own == set(BUILD["substitutions"])
    # In a shell's text a bare $name would be taken for one of Cloud Build's.
    assert re.findall(r"(?<!\$)\$[a-z]\w*", steps) == []
    # All of a release are called by its commit.
    assert "RELEASE=${COMMIT_SHA}" in step("render")["env"]


def script(name: str, directory: Path, **given: str) -> str:
    """Return a step's text as its shell gets it, with a folder for /workspace."""
    text = str(step(name)["args"][-1])
    for variable, value in given.items():
        text = text.replace(f"${{{variable}}}", value)
    text = text.replace("/workspace", str(directory)).replace("$$", "$")
    assert "${" not in text
    return text


def git(*arguments: object) -> str:
    who = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
    command = ["git", *who, *map(str, arguments)]
    return subprocess.check_output(command, text=True, stderr=subprocess.DEVNULL)


def test_where_a_newer_commit_is_on_the_branch_its_own_build_deploys(
    tmp_path: Path,
) -> None:
    origin, clone = tmp_path / "origin", tmp_path / "clone"
    git("init", "--quiet", "--initial-branch=main", origin)
    commits = []
    for message in ("first", "second"):
        git("-C", origin, "commit", "--quiet", "--allow-empty", "--message", message)
        commits.append(git("-C", origin, "rev-parse", "HEAD").strip())
    git("clone", "--quiet", origin, clone)

    def ended(commit: str, branch: str) -> tuple[int, str]:
        text = script("newest", tmp_path, COMMIT_SHA=commit, BRANCH_NAME=branch)
        done = subprocess.run(
            ["bash", *step("newest")["args"][:-1], text],
            cwd=clone,
            check=False,
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout

    assert ended(commits[1], "main") == (0, "")
    status, said = ended(commits[0], "main")
    assert (status, said.split()[0]) == (1, commits[1])
    # Asked for by --sha, as somebody does who goes back.
    assert ended(commits[0], "")[0] == 0
    # Who can't tell that this one is the newest does not deploy it.
    assert ended(commits[1], "gone")[0] == 1
    git("-C", clone, "remote", "set-url", "origin", tmp_path / "none")
    status, said = ended(commits[1], "main")
    assert status == 1
    assert "could not be asked" in said
    assert ended(commits[1], "")[0] == 0


GCLOUD = """#!/bin/sh
printf '%s\\n' "$*" >>"$CALLS"
case "$*" in *"services list"*) cat "$SERVICES";; esac
"""


def test_what_deletes_is_of_the_new_release_only_when_visitors_are(
    tmp_path: Path,
) -> None:
    """The steps are run, with a gcloud that notes what it is told."""
    rendered, calls = tmp_path / "rendered", tmp_path / "calls"
    rendered.mkdir()
    for name, text in render.rendered(variables()).items():
        (rendered / name).write_text(text)
    (tmp_path / "revision").write_text("value-revision")
    (tmp_path / "services").write_text(json.dumps(SERVICES))
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in (("gcloud", GCLOUD), ("curl", "#!/bin/sh\n")):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    told: dict[str, list[str]] = {}
    for name in ("migrate", "deploy", "shift"):
        calls.write_text("")
        text = script(name, tmp_path, _REGION="region", _SERVICE="store")
        subprocess.run(
            ["bash", *step(name)["args"][:-1], text],
            cwd=ROOT,
            env={
                "PATH": f"{programs}:{Path(sys.executable).parent}:/usr/bin:/bin",
                "CALLS": str(calls),
                "SERVICES": str(tmp_path / "services"),
            },
            check=True,
        )
        told[name] = calls.read_text().splitlines()

    def jobs(lines: list[str]) -> set[str]:
        return set(re.findall(r"jobs replace \S*/job-([a-z-]+)", "\n".join(lines)))

    assert jobs(told["migrate"]) == {"migrate", "collectstatic"}
    assert jobs(told["deploy"]) == set()
    first, pool, *others = told["shift"]
    assert re.match("run services update-traffic store .*value-revision=100", first)
    assert pool == f"run worker-pools replace {rendered}/worker.yaml"
    assert jobs(others) == set(render.JOBS)
    # Meanwhile visitors keep what they have, however it is shared.
    sent = (rendered / "service.yaml").read_text()
    assert sent.endswith(f"\n{traffic.kept(SERVICES, 'value-revision')}\n")


def test_a_commit_that_is_built_twice_gets_another_revision_by_one_name(
    tmp_path: Path,
) -> None:
    names = set()
    for build in ("0123456789-abc", "fedcba9876-abc"):
        given = {"_SERVICE": "a" * 20, "SHORT_SHA": "0123456", "BUILD_ID": build}
        text = script("render", tmp_path, **given)
        subprocess.run(
            ["bash", "-euc", text],
            cwd=ROOT,
            env=variables() | {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"},
            check=True,
            capture_output=True,
        )
        name = (tmp_path / "revision").read_text()
        assert f"name: {name}\n" in (tmp_path / "rendered/service.yaml").read_text()
        names.add(name)

    assert len(names) == 2
    for name in names:
        # Cloud Run's rule.
        assert re.fullmatch(r"a{20}-[a-z0-9-]{1,41}[a-z0-9]", name)


def test_slow_uploads_leave_the_liveness_probe_a_thread() -> None:
    service = definitions()["service.yaml"]["spec"]["template"]["spec"]
    script = (GCP / "entrypoint.sh").read_text()
    (threads,) = re.findall(r"WEB_THREADS:-(\d+)", script)
    given = {one["name"] for one in service["containers"][0]["env"]}

    assert "WEB_THREADS" not in given
    assert service["containerConcurrency"] < int(threads)


def test_the_traffic_of_a_service_is_read_from_what_gcloud_says() -> None:
    tried = {"revisionName": "store-4", "percent": 0, "tag": "candidate"}

    def shares(services: list[dict[str, Any]]) -> object:
        return yaml.safe_load(traffic.kept(services, "store-4"))["traffic"]

    assert shares(SERVICES) == [
        {"revisionName": "store-1", "percent": 10},
        {"revisionName": "store-2", "percent": 90},
        tried,
    ]
    assert shares([]) == [{"revisionName": "store-4", "percent": 100}, tried]
    assert traffic.candidate(SERVICES) == "https://x"
    with pytest.raises(SystemExit, match="candidate"):
        traffic.candidate([])


def test_the_worker_pool_s_region_is_in_its_definition() -> None:
    # The command that makes it has no --region.
    labels = definitions()["worker.yaml"]["metadata"]["labels"]
    assert labels == {"cloud.googleapis.com/location": "value-region"}
