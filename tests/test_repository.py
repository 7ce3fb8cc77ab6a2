"""What holds of the repository as a whole: directions of import, sizes, versions."""

import ast
import os
import re
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from configparser import ConfigParser
from itertools import pairwise
from pathlib import Path

import pytest

import tahoestorage

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "tahoestorage"
MODULES = sorted(
    path.relative_to(ROOT).with_suffix("") for path in PACKAGE.rglob("*.py")
)


FOLDERS_OF_TESTS = [path.parent for path in (ROOT / "tests").glob("*/**/__init__.py")]
# They lead on to where a thing is now.
OLD_PATHS = {"tahoestorage.tahoe.grid", "tahoestorage.pytest_plugin"}


def dotted(module: Path) -> str:
    """Return the name by which Python imports a module of this repository."""
    return ".".join(module.parts).removesuffix(".__init__")


def imports(module: Path) -> Iterator[str]:
    """Yield the full dotted name of everything that a module imports, anywhere in it.

    ``from a.b import c`` gives ``a.b.c``, whether c is a module or a name in one.
    """
    source = (ROOT / module).with_suffix(".py").read_text()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = [node.module] if node.module else []
            if node.level:
                parts = [*module.parts[: -node.level], *parts]
            yield from (".".join([*parts, alias.name]) for alias in node.names)


def parsed(module: Path) -> ast.Module:
    """Return the syntax tree of a module of this repository."""
    return ast.parse((ROOT / module).with_suffix(".py").read_text())


def private_names_of_others(module: Path) -> set[str]:
    """Return the private names that a module uses and does not define itself."""
    tree = parsed(module)
    found = {
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.match("_(?!_)", node.attr)
    }
    own = {node for node in found if ast.unparse(node.value) in ("self", "cls")}
    defined = {node.attr for node in own} | {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }
    imported = {name.rpartition(".")[2] for name in imports(module)}
    used = {node.attr for node in found - own} - defined - NOT_PRIVATE
    return used | {name for name in imported if re.match("_(?!_)", name)}


def is_in(name: str, *packages: str) -> bool:
    """Tell whether a dotted name is one of these, or stands in one of them."""
    return any(name == p or name.startswith(f"{p}.") for p in packages)


def importers(*packages: str, among: str = "tahoestorage") -> set[str]:
    """Return the modules below ``among`` that import anything of these packages."""
    return {
        dotted(module)
        for module in MODULES
        if is_in(dotted(module), among)
        and any(is_in(name, *packages) for name in imports(module))
    }


def tracked_files() -> list[Path]:
    """Return every file that is in the repository, or is about to be."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    paths = (ROOT / name for name in listed.stdout.split("\0") if name)
    return [path for path in paths if path.is_file()]


def lines_that_match(pattern: str) -> list[str]:
    """Return each place in the tracked files that matches, as file:line: text."""
    wanted = re.compile(pattern)
    return [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path in tracked_files()
        for number, line in enumerate(
            path.read_text(errors="replace").splitlines(), start=1
        )
        if wanted.search(line)
    ]


def dependencies() -> set[str]:
    """Return the name of each dependency in setup.cfg, those of the extras too."""
    config = ConfigParser()
    config.read(ROOT / "setup.cfg")
    asked = [config["options"]["install_requires"]]
    asked += config["options.extras_require"].values()
    lines = "\n".join(asked).split("\n")
    return {match[0] for line in lines if (match := re.match(r"[\w.-]+", line))}


def contents(folder: Path) -> dict[str, bytes]:
    """Return the bytes of each file below a folder, but for compiled ones."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }


@pytest.mark.parametrize("module", ["exceptions", "entries", "forks", "metering"])
def test_exceptions_entries_and_forks_import_nothing_of_ours(module: str) -> None:
    among = f"tahoestorage.{module}"
    assert importers("tahoestorage", among=among) == set()


@pytest.mark.parametrize(
    "part",
    [
        *("tahoe", "cache", "metering", "parts", "rangereader", "redaction"),
        *("schemes", "testing"),
    ],
)
def test_the_core_knows_no_django(part: str) -> None:
    assert importers("django", among=f"tahoestorage.{part}") == set()


@pytest.mark.parametrize(
    "part", ["tahoe", "cache", "parts", "rangereader", "redaction", "schemes"]
)
def test_the_core_imports_nothing_that_stands_on_it(part: str) -> None:
    beneath = [
        "tahoestorage.exceptions",
        "tahoestorage.entries",
        "tahoestorage.forks",
        "tahoestorage.metering",
        "tahoestorage.parts",
        "tahoestorage.rangereader",
        "tahoestorage.redaction",
        "tahoestorage.schemes",
        "tahoestorage.tahoe",
        "tahoestorage.cache",
    ]
    above = {
        name
        for module in MODULES
        if is_in(dotted(module), f"tahoestorage.{part}")
        and dotted(module) not in OLD_PATHS
        for name in imports(module)
        if is_in(name, "tahoestorage") and not is_in(name, *beneath)
    }
    assert above == set()


CORE = {
    *("cache", "entries", "exceptions", "forks", "metering", "parts", "rangereader"),
    *("redaction", "schemes", "tahoe"),
}
STORES = {*CORE, "backends", "config", "storage"}
# What each part may import, beside itself; management/ stands on all of them.
BELOW = {
    "once": {"forks"},
    "config": {"exceptions", "once", "redaction", "tahoe"},
    "backends": {*CORE, "config", "installed", "once"},
    "serving": STORES,
    "progress": {"display"},
    "moving": {*STORES, "display", "env", "progress"},
    "care": {*STORES, "display", "filenames", "moving"},
    "checks": STORES,
    "proxy": {*STORES, "serving"},
    "testing": CORE,
    "env": {"config", "installed"},
    "staticfiles": STORES,
    "verification": STORES,
    "urls": {"serving"},
}
ON_THEIR_OWN = {"display", "errorpages", "filenames", "installed", "middleware"}
ON_THEIR_OWN |= {"naming", "widgets"}


@pytest.mark.parametrize("part", sorted({*BELOW, *ON_THEIR_OWN}))
def test_nothing_imports_what_stands_above_it(part: str) -> None:
    below = {*BELOW.get(part, {"exceptions", "redaction"}), part}
    used = {
        f"{dotted(module)}: {name}"
        for module in MODULES
        if is_in(dotted(module), f"tahoestorage.{part}")
        for name in imports(module)
        if is_in(name, "tahoestorage") and name.split(".")[1] not in below
    }
    assert used == set()


def test_config_uses_of_tahoe_what_caps_are_alone() -> None:
    used = {
        name
        for module in MODULES
        if is_in(dotted(module), "tahoestorage.config")
        for name in imports(module)
        if is_in(name, "tahoestorage.tahoe")
    }
    assert {
        name for name in used if not is_in(name, "tahoestorage.tahoe.caps")
    } == set()


def test_the_architecture_names_every_module_at_the_top() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    # Old paths, and what Django and pytest look for by name.
    others = {"__init__", "apps", "pytest_plugin"}
    names = {path.stem for path in PACKAGE.glob("*.py")} - others
    missing = {name for name in names if not re.search(rf"\b{name}\.py\b", text)}
    assert missing == set()


def test_the_cache_does_not_know_tahoe() -> None:
    assert importers("tahoestorage.tahoe", among="tahoestorage.cache") == set()


def test_tahoe_uses_only_what_the_cache_exports() -> None:
    from tahoestorage import cache

    exported = {f"tahoestorage.cache.{name}" for name in cache.__all__}
    used = {
        name
        for module in MODULES
        if is_in(dotted(module), "tahoestorage.tahoe")
        for name in imports(module)
        if is_in(name, "tahoestorage.cache")
    }
    assert used <= exported


def test_the_table_of_moving_names_each_of_its_modules() -> None:
    table = ast.get_docstring(parsed(Path("tahoestorage/moving/__init__"))) or ""
    named = re.findall(r"``(\w+)``", table)
    assert {*named} == {path.stem for path in (PACKAGE / "moving").glob("[a-z]*.py")}


def test_the_architecture_shows_the_files_of_both_stores_of_objects() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text("utf-8")
    rows = "".join(re.findall(r"^\| `backends/(?:s3|gcs)/.*\n", text, re.MULTILINE))
    named = re.findall(r"`backends/((?:s3|gcs)/\w+\.py)`", rows)
    backends = PACKAGE / "backends"
    there = [*backends.glob("s3/[a-z]*.py"), *backends.glob("gcs/[a-z]*.py")]
    assert sorted(named) == sorted(str(p.relative_to(backends)) for p in there)


@pytest.mark.parametrize("store", ["s3", "gcs"])
def test_the_stores_of_objects_know_neither_tahoe_nor_each_other(store: str) -> None:
    others = {"tahoe", "backends.tahoe", "backends.s3", "backends.gcs"}
    others.remove(f"backends.{store}")
    strangers = [f"tahoestorage.{other}" for other in others]
    assert importers(*strangers, among=f"tahoestorage.backends.{store}") == set()


def test_only_the_gateway_and_its_parts_speak_http() -> None:
    clients = ("requests", "urllib3", "urllib.request", "http.client", "httpx")
    parts = [
        "gateway",
        "transport",
        "connections",
        "deadlines",
        "bodies",
        "errors",
    ]
    assert importers(*clients) <= {f"tahoestorage.tahoe.{part}" for part in parts}


def test_only_one_module_reads_the_settings_of_django() -> None:
    assert importers("django.conf") == {"tahoestorage.config.settings"}


# Tests of no folder of the package, and what they stand on.
OTHER_TESTS = {
    *("application", "application/deploy", "application/jobkinds"),
    *("support", "support/papers"),
}
# Folders whose tests lie elsewhere: tests/commands, and tests/test_old_names.py.
TESTED_ELSEWHERE = {"management": "commands", "management/commands": "commands"}
TESTED_ELSEWHERE |= {"environment": "."}


def test_what_threads_share_is_made_once() -> None:
    """A ``cached_property`` is made by each thread that asks before it is there."""
    found = lines_that_match(r"@(functools\.)?cached_property")
    # It says why.
    allowed = "tahoestorage/backends/s3/clients.py:"
    ours = [line for line in found if line.startswith("tahoestorage/")]
    assert [line for line in ours if not line.startswith(allowed)] == []
    assert len(ours) <= 1


def test_the_tests_are_laid_out_as_the_package() -> None:
    ours = {str(path.relative_to(ROOT / "tests")) for path in FOLDERS_OF_TESTS}
    folders = {path.parent.relative_to(PACKAGE) for path in PACKAGE.rglob("*.py")}
    expected = {TESTED_ELSEWHERE.get(str(each), str(each)) for each in folders} - {"."}
    assert ours - OTHER_TESTS == expected


# Longer, looked at, and found to be one thing.
REVIEWED = {
    "tahoestorage.backends.cached": 425,
    "tahoestorage.backends.tahoe": 430,
    "tahoestorage.tahoe.gateway": 445,
    "tahoestorage.tahoe.directories": 450,
}


@pytest.mark.parametrize("module", MODULES, ids=dotted)
def test_a_module_has_400_lines_at_most_or_was_reviewed(module: Path) -> None:
    lines = (ROOT / module).with_suffix(".py").read_text().count("\n")
    assert lines <= REVIEWED.get(dotted(module), 400)


IGNORED = re.compile(r"# (?:noqa|type: ignore)\b[^#]*?(?P<reason> - .+)?$")


def ignored_without_reason(path: Path) -> Iterator[str]:
    """Yield the lines that are left out of a rule, with no comment that says why."""
    lines = path.read_text("utf-8").splitlines()
    for number, line in enumerate(lines):
        found = IGNORED.search(line)
        above = lines[number - 1].strip() if number else ""
        if found and not found["reason"] and not above.startswith("# "):
            yield f"{path.relative_to(ROOT)}:{number + 1}: {line.strip()}"


@pytest.mark.parametrize("folder", ["tahoestorage", "example"])
def test_what_breaks_a_rule_says_why(folder: str) -> None:
    files = (ROOT / folder).rglob("*.py")
    assert [line for path in files for line in ignored_without_reason(path)] == []


# Django has one of its own in each command, and in each form.
OF_ONE_NAME = {"Command", "Meta"}
# The application's models, and choices of those, whose names are in migrations. It has
# an Access of its own, too: what somebody may do to an object.
MODELS_OF_ONE_NAME = {"Access", "Entry", "Kind", "Part", "State", "Version"}
# A model of the tests, whose name is that of a table.
MODELS_OF_ONE_NAME |= {"Signed"}


def of_one_name(*folders: str) -> dict[str, list[str]]:
    """Return where the classes are whose name another has, too, below some folders."""
    places: dict[str, list[str]] = {}
    for path in (path for folder in folders for path in ROOT.glob(f"{folder}/**/*.py")):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef) and "migrations" not in path.parts:
                places.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    return {
        name: found
        for name, found in places.items()
        if len(found) > 1 and name not in OF_ONE_NAME
    }


def test_no_two_classes_have_one_name() -> None:
    assert of_one_name("tahoestorage") == {}


def test_no_class_elsewhere_has_the_name_of_another_but_for_models() -> None:
    of_example = of_one_name("tahoestorage", "example")
    of_others = of_one_name("tahoestorage", "tests/support", "benchmarks")
    twice = {**of_example, **of_others}
    assert set(twice) - MODELS_OF_ONE_NAME == set(), twice
    assert MODELS_OF_ONE_NAME - set(twice) == set()


NOT_PRIVATE = {
    # Documented, though they begin so.
    *("_meta", "_replace", "_asdict", "_exit"),
    # Django has no public name for what a command's output goes to,
    "_out",
    # nor Google's library for its session, its credentials and an object's properties.
    *("_http", "_credentials", "_properties"),
    *("_get_download_url", "_bucket_metadata_cache"),
    # nor urllib3 for the response of http.client; requests reads it, too.
    "_original_response",
}


def test_no_module_uses_what_is_private_to_another() -> None:
    used = {
        f"{dotted(module)}: {name}"
        for module in MODULES
        for name in private_names_of_others(module)
    }
    assert used == set()


def test_importing_the_storage_imports_no_other_store_and_no_tahoe() -> None:
    heavy = ["boto3", "botocore", "google", "storages", "allmydata", "twisted"]
    program = (
        "import sys, tahoestorage.storage\n"
        "print(*{name.partition('.')[0] for name in sys.modules})\n"
    )
    run = subprocess.run(
        [sys.executable, "-P", "-c", program],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert set(run.stdout.split()).isdisjoint(heavy)


def test_importing_the_storage_imports_nothing_that_few_processes_need() -> None:
    seldom = {
        "tahoestorage.backends.manylinks",
        "tahoestorage.backends.savingmany",
        "tahoestorage.backends.savingtogether",
        "tahoestorage.rangereader",
        "tahoestorage.tahoe.checkresults",
        "tahoestorage.tahoe.directorychanges",
        "tahoestorage.tahoe.directorykeys",
        "tahoestorage.tahoe.files",
        "tahoestorage.tahoe.links",
        "tahoestorage.tahoe.preparations",
        "tahoestorage.tahoe.samegrid",
        "tahoestorage.tahoe.writers",
    }
    assert seldom <= {dotted(module) for module in MODULES}
    program = "import sys, tahoestorage.storage; print(*sys.modules)"
    said = subprocess.check_output([sys.executable, "-P", "-c", program], text=True)
    imported = set(said.split())
    assert "tahoestorage.backends.tahoe" in imported
    assert imported & seldom == set()


def test_the_newest_version_in_the_changelog_is_the_package_s() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text()
    headings = re.findall(r"^## \[(.+?)\]", changelog, flags=re.MULTILINE)
    assert headings[:2] == ["Unreleased", tahoestorage.__version__]


def test_the_tests_that_ci_runs_on_the_lowest_versions_are_there() -> None:
    named = re.findall(r"^ +(tests/\S+)$", (ROOT / ".ci/run").read_text(), re.MULTILINE)
    assert len(named) > 5
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_every_dependency_is_accounted_for() -> None:
    accounts = (ROOT / "docs" / "dependencies.md").read_text()
    assert {name for name in dependencies() if f"| `{name}` |" not in accounts} == set()


def test_no_file_names_a_place_on_somebody_s_machine() -> None:
    assert lines_that_match(r"(?<![\w.~}])/(?:home|root|work|Users)/\w") == []


def test_no_file_names_a_package_index() -> None:
    assert (
        lines_that_match(r"index-ur[l]|find-link[s]|\w/simpl[e]\b|pythonhoste[d]") == []
    )


def test_the_package_under_test_is_what_this_tree_builds() -> None:
    installed = Path(tahoestorage.__file__).parent
    if os.environ.get("TAHOESTORAGE_WHEEL") == "1":
        assert installed.parent == Path(sysconfig.get_path("purelib"))
    assert contents(installed) == contents(PACKAGE)


def for_cron(text: str) -> Iterator[str]:
    """Yield the lines of a page that cron is to run, by their form or what is said."""
    fields = re.compile(r"\s*((\*|\d)[\d*/,-]*\s+){5}\S")
    paragraphs = re.split(r"\n\s*\n", text)
    for before, paragraph in pairwise(["", *paragraphs]):
        is_code = paragraph.startswith(("```crontab", "    ", "`manage.py"))
        is_said = is_code and re.search(r"\bcron", before) is not None
        yield from (x for x in paragraph.splitlines() if is_said or fields.match(x))


def test_no_percent_sign_cuts_off_what_cron_runs() -> None:
    """Source: crontab(5): an unescaped % is a newline, and what follows is input."""
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("example/*.md")]
    lines = {
        line: page.name
        for page in (*pages, *ROOT.glob("example/deploy/**/*.cron"))
        for line in for_cron(page.read_text())
    }
    cut = {x: name for x, name in lines.items() if re.search(r"(?<!\\)%", x)}
    assert any("tahoe_root export" in line for line in lines)
    assert cut == {}
