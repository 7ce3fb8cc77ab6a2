"""The tests on other versions of Python, Django and the rest; and the locks.

``nox -s newest`` takes the newest supported ones, ``nox -s lowest`` the lowest that
setup.cfg admits, ``nox -s clients`` runs other people's code on the storages,
``nox -s looks`` opens every page in each of its looks, ``nox -s plots`` draws the plots
of the documentation, and ``nox -s lock`` renews requirements/*.txt.
"""

import os
from pathlib import Path

import nox

nox.options.sessions = ["newest", "lowest"]
nox.options.reuse_venv = "yes"


def run_tests(session: nox.Session, lock: str) -> None:
    """Do what ``make test`` does, in the session's environment."""
    session.install("--no-deps", "-r", lock)
    session.run("make", "wheel", external=True)
    (wheel,) = Path("dist").glob("*.whl")
    session.install("--no-deps", "--force-reinstall", str(wheel))
    where = "import site; print(site.getsitepackages()[0])"
    site = session.run("python", "-c", where, silent=True)
    Path(str(site).strip(), "beside_tahoestorage.pth").write_text(f"{Path.cwd()}\n")
    # An empty one lets Python keep what it compiles: the tests start it often.
    environment = {"TAHOESTORAGE_WHEEL": "1", "PYTHONDONTWRITEBYTECODE": ""}
    if "--cov-branch" not in session.posargs:
        # It costs nearly nothing, and measures no branches before Python 3.14.
        environment["COVERAGE_CORE"] = "sysmon"
    session.run(
        "pytest",
        *("-n", str(min((os.cpu_count() or 1) + 1, 4)), "--dist", "worksteal"),
        *session.posargs,
        env=environment,
    )


@nox.session(python="3.13")
def newest(session: nox.Session) -> None:
    """Run the tests on the newest supported Python and Django."""
    run_tests(session, "requirements/dev-newest.txt")


@nox.session(python="3.11")
def lowest(session: nox.Session) -> None:
    """Run the tests on the lowest versions that setup.cfg admits."""
    run_tests(session, "requirements/dev-lowest.txt")


@nox.session(python="3.11")
def clients(session: nox.Session) -> None:
    """Run other people's code on the storages; too much for each `make test`."""
    session.install("--no-deps", "-r", "requirements/clients.txt")
    session.run("make", "wheel", external=True)
    (wheel,) = Path("dist").glob("*.whl")
    session.install("--no-deps", "--force-reinstall", str(wheel))
    session.run(
        *("python", "-m", "pytest", "nightly", "--ds", "nightly.settings"),
        *("-W", "default", *session.posargs),
    )


@nox.session(venv_backend="none")
def looks(session: nox.Session) -> None:
    """Look at every page of the example in all four looks, in two with motion."""
    session.run(
        *("make", "test", "ARGS=tests/application -k sound"),
        env={"EVERY_LOOK": "1"},
        external=True,
    )


@nox.session(python="3.11")
def plots(session: nox.Session) -> None:
    """Measure and draw what docs/performance.md shows; some twenty minutes."""
    session.install("--no-deps", "-r", "requirements/dev-py311-django52.txt")
    session.install("--no-deps", "-r", "requirements/plots.txt", "-e", ".")
    session.run("python", "-m", "benchmarks.plots", "measure", *session.posargs)
    session.run("python", "-m", "benchmarks.plots", "draw")


@nox.session(python="3.11")
def lock(session: nox.Session) -> None:
    """Renew the locks in requirements/."""
    session.install("uv")
    compile_ = ("uv", "pip", "compile", "--quiet")
    uv = (*compile_, "setup.cfg")
    rest = (
        *("--all-extras", "--override", "requirements/overrides.txt", "--upgrade"),
        *("--custom-compile-command", "nox -s lock"),
    )
    bounds = Path(session.create_tmp(), "bounds.txt")
    session.run(
        *uv,
        *("--all-extras", "--resolution", "lowest-direct", "--no-deps", "--no-header"),
        *("--python-version", "3.11", "--output-file", str(bounds)),
        silent=True,
    )
    for name, python, versions in [
        ("dev-newest", "3.13", ()),
        # The application is tested on this pair of versions.
        (
            "dev-py311-django52",
            "3.11",
            ("requirements/django52.in", "requirements/application-tests.in"),
        ),
        ("dev-lowest", "3.11", (str(bounds),)),
    ]:
        session.run(
            *uv,
            *("requirements/dev.in", *versions, *rest),
            *("--python-version", python, "--output-file", f"requirements/{name}.txt"),
            silent=True,
        )
    # What the demo, the containers, other people's code, the documentation and its
    # plots need, in the versions that the tests have.
    for name, needs in [
        ("demo", ("setup.cfg", "--extra=grid")),
        (
            "service",
            (
                "setup.cfg",
                *("--extra=gcs", "--extra=metrics", "--extra=redis"),
                "--generate-hashes",
            ),
        ),
        ("build", ("--generate-hashes",)),
        ("gateway", ("--generate-hashes",)),
        ("clients", ("setup.cfg", "--extra=gcs", "--extra=grid", "--extra=s3")),
        ("docs", ()),
        ("plots", ()),
    ]:
        session.run(
            *compile_,
            f"requirements/{name}.in",
            *needs,
            *("--override", "requirements/overrides.txt"),
            *("--constraint", "requirements/dev-py311-django52.txt"),
            *("--custom-compile-command", "nox -s lock", "--python-version", "3.11"),
            *("--output-file", f"requirements/{name}.txt"),
            silent=True,
        )
