"""What is sent to Google Cloud, compared with Google's own schemas and with itself."""

from __future__ import annotations

import configparser
import importlib.util
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from uuid import uuid4

import docker.utils.build
import googleapiclient.discovery_cache
import hcl2
import jsonschema
import pytest
import yaml
from django.urls import reverse
from dockerfile_parse import DockerfileParser

from tests.application.site import EXAMPLE, ROOT, settings_of

GCP = EXAMPLE / "deploy" / "gcp"
TERRAFORM = sorted((GCP / "terraform").glob("*.tf"))
PLANTED = "planted-value-of-a-secret"


def loaded(name: str) -> ModuleType:
    """Import a script of the folder, which is no package."""
    spec = importlib.util.spec_from_file_location(name, GCP / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


render, traffic = loaded("render"), loaded("traffic")
BUILD = yaml.safe_load((GCP / "cloudbuild.yaml").read_text())


def variables() -> dict[str, str]:
    """What Cloud Build's step gives: the names from its file, and other values."""
    (step,) = (step for step in BUILD["steps"] if step["id"] == "render")
    names = [given.partition("=")[0] for given in step["env"]]
    given = {name: f"value-{name.lower()}" for name in names}
    return given | {
        **{"SERVING": "value-serving", "REVISION": "value-revision"},
        "PROXIES": BUILD["substitutions"]["_PROXIES"],
    }


def definitions() -> dict[str, Any]:
    made = render.rendered(variables()).items()
    return {name: yaml.safe_load(text) for name, text in made}


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
    resource, known = definitions()[name], schemas()

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
    def names(container: dict[str, Any]) -> set[str]:
        return {given["name"] for given in container["env"]}

    made = definitions()
    service = made["service.yaml"]["spec"]["template"]["spec"]["containers"][0]
    worker = made["worker.yaml"]["spec"]["template"]["spec"]["containers"][0]
    job = made["job-migrate.yaml"]["spec"]["template"]["spec"]["template"]["spec"]
    read = (EXAMPLE / "README.md").read_text()

    assert names(service) == names(worker) == names(job["containers"][0])
    assert [one for one in names(service) if one.removesuffix("_FILE") not in read] == [
        "TAHOE_STORAGE_CACHE_SIZE_LIMIT"
    ]


def test_the_stores_and_the_database_are_such_as_the_settings_take(
    tmp_path: Path,
) -> None:
    service = definitions()["service.yaml"]["spec"]["template"]["spec"]
    (mounted,) = service["containers"][0]["volumeMounts"]
    given = {
        one["name"]: one.get("value", PLANTED * 2)
        for one in service["containers"][0]["env"]
    }
    (tmp_path / "password").write_text(PLANTED)
    given["EMAIL_URL"] = f"smtp+tls://site:{PLANTED}@mail.example.org:587"
    given["DATABASE_PASSWORD_FILE"] = given["DATABASE_PASSWORD_FILE"].replace(
        mounted["mountPath"], str(tmp_path)
    )
    said = (
        "DATABASES['default']['ENGINE']",
        "DATABASES['default']['HOST']",
        "DATABASES['default']['NAME']",
        "STORAGES['default']['BACKEND']",
        "STORAGES['default']['OPTIONS']['iam_sign_blob']",
        "STORAGES['staticfiles']['BACKEND']",
    )

    assert settings_of(given, said) == [
        "config.postgresql",
        "value-database_host",
        "value-database_name",
        "tahoestorage.backends.gcs.GCSStorage",
        True,
        "tahoestorage.backends.gcs.GCSManifestStaticStorage",
    ]


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
    own = {"PROJECT_ID", "COMMIT_SHA", "SHORT_SHA", "BUILD_ID"}

    assert (used | inner) - own == set(BUILD["substitutions"])
    # In a shell's text a bare $name would be taken for one of Cloud Build's.
    assert re.findall(r"(?<!\$)\$[a-z]\w*", steps) == []


def test_visitors_go_on_to_the_new_revision_only_when_it_was_tried() -> None:
    order = [step["id"] for step in BUILD["steps"]]
    assert order == [
        *(
            "history",
            "test",
            "build",
            "push",
            "serving",
            "render",
            "migrate",
            "deploy",
            "shift",
        ),
    ]
    service = definitions()["service.yaml"]
    shares = {one["revisionName"]: one["percent"] for one in service["spec"]["traffic"]}
    assert shares == {"value-serving": 100, "value-revision": 0}


def test_a_commit_that_is_built_twice_gets_another_revision_by_one_name(
    tmp_path: Path,
) -> None:
    steps = {step["id"]: step["args"][-1] for step in BUILD["steps"]}
    (line,) = re.findall(r"^printf .*revision$", steps["serving"], re.MULTILINE)
    names = set()
    for build in ("0123456789-abc", "fedcba9876-abc"):
        given = {"_SERVICE": "a" * 20, "SHORT_SHA": "0123456", "BUILD_ID": build}
        made = line.replace("/workspace", str(tmp_path))
        for name, value in given.items():
            made = made.replace(f"${{{name}}}", value)
        subprocess.run(["bash", "-ec", made], check=True)
        names.add((tmp_path / "revision").read_text())

    assert len(names) == 2
    for name in names:
        # Cloud Run's rule.
        assert re.fullmatch(r"a{20}-[a-z0-9-]{1,41}[a-z0-9]", name)
    for step in ("serving", "render", "shift"):
        assert "$$(cat /workspace/revision)" in steps[step]
    assert "SHORT_SHA" not in steps["render"] + steps["deploy"] + steps["shift"]


def test_slow_uploads_leave_the_liveness_probe_a_thread() -> None:
    service = definitions()["service.yaml"]["spec"]["template"]["spec"]
    script = (GCP / "entrypoint.sh").read_text()
    (threads,) = re.findall(r"WEB_THREADS:-(\d+)", script)
    given = {one["name"] for one in service["containers"][0]["env"]}

    assert "WEB_THREADS" not in given
    assert service["containerConcurrency"] < int(threads)


def test_the_traffic_of_a_service_is_read_from_what_gcloud_says() -> None:
    shares = [
        {"revisionName": "store-1", "percent": 10},
        {"revisionName": "store-2", "percent": 90},
        {"revisionName": "store-3", "tag": "candidate", "url": "https://candidate"},
    ]
    services = [{"metadata": {"name": "store"}, "status": {"traffic": shares}}]

    assert traffic.serving(services, "store-4") == "store-2"
    assert traffic.serving([], "store-4") == "store-4"
    assert traffic.candidate(services) == "https://candidate"
    with pytest.raises(SystemExit, match="candidate"):
        traffic.candidate([])


# Terraform.


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


# The image.


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
