"""The commands that make administrators, and data for trying."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command
from django.test import Client
from rest_framework.test import APIClient
from rest_framework_simplejwt.tokens import AccessToken

from accounts import people
from accounts.models import Tenant, User
from objects.models import StoredObject
from tests.application.site import EXAMPLE, bare_environment, make_tables, manage

GOOD = "correct horse battery"


@pytest.fixture(autouse=True)
def password(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", GOOD)


@pytest.mark.django_db
def test_a_super_tenant_is_made_with_its_administrator() -> None:
    call_command(
        "createsupertenant", "--no-input", tenant="Operator", username="root", email=""
    )

    user = User.objects.get()
    assert user.is_super_administrator
    assert (user.tenant.name, user.tenant.slug) == ("Operator", "operator")
    browser = Client()
    assert browser.login(username="root", password=GOOD)
    assert browser.get("/admin/accounts/tenant/").status_code == 200


@pytest.mark.django_db
def test_a_lost_administrator_is_made_anew() -> None:
    for name in ("first", "second"):
        call_command(
            "createsupertenant",
            "--no-input",
            tenant="Operator",
            username=name,
            email="",
        )
    Tenant.objects.create(name="Acme", slug="acme")
    call_command(
        "createadministrator",
        "--no-input",
        tenant="Acme",
        username="ann",
        email="ann@example.org",
    )

    assert Tenant.objects.count() == 2
    assert all(
        user.is_super_administrator for user in User.objects.exclude(username="ann")
    )
    ann = User.objects.get(username="ann")
    assert (ann.is_administrator, ann.is_staff, ann.is_superuser) == (True, True, False)
    assert not ann.is_super_administrator


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("command", "given", "message"),
    [
        ("createsupertenant", {"tenant": "Acme"}, "no super-tenant"),
        ("createsupertenant", {"tenant": ""}, "--tenant is needed"),
        ("createsupertenant", {"username": ""}, "--username is needed"),
        ("createsupertenant", {"tenant": "x" * 300}, "at most 200"),
        ("createsupertenant", {"username": "a b"}, "valid username"),
        ("createsupertenant", {"username": "17"}, "more than digits"),
        ("createsupertenant", {"email": "nowhere"}, "valid email"),
        ("createadministrator", {"tenant": "Nobody's"}, "no tenant of the name"),
        (
            "createadministrator",
            {"tenant": "Acme", "username": "ann"},
            "already exists",
        ),
    ],
)
def test_what_cannot_be_made_is_told_and_nothing_is_made(
    command: str, given: dict[str, str], message: str
) -> None:
    acme = Tenant.objects.create(name="Acme", slug="acme")
    User.objects.create_user("ann", tenant=acme)
    options = {"tenant": "Operator", "username": "root", "email": ""} | given

    with pytest.raises(CommandError, match=message):
        call_command(command, "--no-input", **options)

    assert (Tenant.objects.count(), User.objects.count()) == (1, 1)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("password", "message"), [("", "Set DJANGO_SUPERUSER"), ("12345678", "too common")]
)
def test_a_password_is_needed_and_a_strong_one(
    monkeypatch: pytest.MonkeyPatch, password: str, message: str
) -> None:
    monkeypatch.setenv("DJANGO_SUPERUSER_PASSWORD", password)
    with pytest.raises(CommandError, match=message):
        call_command(
            "createsupertenant", "--no-input", tenant="O", username="r", email=""
        )

    assert not Tenant.objects.exists()


def test_createsuperuser_refuses_and_names_the_command() -> None:
    with pytest.raises(CommandError, match="createsupertenant"):
        call_command("createsuperuser")


@pytest.mark.parametrize("options", [["--noinput", "--username", "root"], []])
def test_createsuperuser_refuses_whatever_it_is_given(
    tmp_path: Path, options: list[str]
) -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "createsuperuser", *options],
        cwd=EXAMPLE,
        env=bare_environment(tmp_path),
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert "createsupertenant" in done.stderr


def test_a_super_tenant_is_made_by_questions(tmp_path: Path) -> None:
    environment = bare_environment(tmp_path) | {"STORAGE_URL": "memory://"}
    del environment["DJANGO_SUPERUSER_PASSWORD"]
    make_tables(environment)
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "manage.py", "createsupertenant"],
        cwd=EXAMPLE,
        env=environment,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)

    said = b""
    for question, answer in (
        (b"Name of the tenant: ", "Operator"),
        (b"Name of the administrator: ", "root"),
        (b"E-mail address: ", "root@example.org"),
        (b"Password: ", GOOD),
        (b"once more: ", GOOD),
        (b"Made root, administrator of Operator.", ""),
    ):
        while question not in said:
            said += os.read(ours, 1000)
        os.write(ours, answer.encode() + b"\n")
    os.close(ours)

    assert process.wait(60) == 0
    assert GOOD.encode() not in said
    tokens = json.loads(manage(environment, "createusertoken", "root"))
    assert set(tokens) == {"access", "refresh"}


@pytest.mark.django_db(transaction=True)
def test_demonstration_data_have_users_of_each_kind_and_objects(
    capsys: pytest.CaptureFixture[str],
) -> None:
    for _ in range(2):  # A second time, nothing is made twice.
        call_command("demo_data", "--objects")

    assert Tenant.objects.count() == 2
    sees = {}
    for user in User.objects.all():
        given = {"username": user.username, "password": GOOD}
        answer = APIClient().post("/api/v1/tokens/", given, format="json").json()
        client = APIClient(HTTP_AUTHORIZATION=f"Bearer {answer.get('access')}")
        listed = client.get("/api/v1/objects/").json()
        sees[user.username] = len(listed.get("results", ()))
    assert sees == {
        # And the photos and slides of the event, which the organiser has.
        "demo-administrator": 10,
        "organiser": 6,
        "demo-owner": 4,
        "demo-editor": 4,
        "demo-viewer": 4,
        "demo-stranger": 0,
        "demo-inactive": 0,
        "demo-neighbour": 0,
    }
    assert StoredObject.objects.count() == 10
    assert capsys.readouterr().out.count("Made demo-viewer.") == 1


@pytest.mark.django_db
def test_a_name_is_not_taken_for_another_users_id(
    capsys: pytest.CaptureFixture[str],
) -> None:
    acme = Tenant.objects.create(name="Acme", slug="acme")
    first = User.objects.create_user("ann", tenant=acme)
    # As from before such names were refused.
    second = User.objects.create_user(str(first.pk), tenant=acme)

    for command in ("createusertoken", "erase_user"):
        with pytest.raises(CommandError, match=f"name:{first.pk} or id:{first.pk}"):
            call_command(command, str(first.pk), *_quietly(command))

    call_command("createusertoken", f"id:{first.pk}")
    assert _user_of(capsys.readouterr().out) == first.pk
    call_command("createusertoken", f"name:{first.pk}")
    assert _user_of(capsys.readouterr().out) == second.pk
    for wrong in ("id:ann", "name:7000", "id:", "other:ann", f"id:name:{first.pk}"):
        with pytest.raises(CommandError, match="no user"):
            call_command("createusertoken", wrong)
    call_command("erase_user", f"name:{first.pk}", "--no-input")
    assert list(User.objects.all()) == [first]


@pytest.mark.django_db
def test_no_new_name_is_digits_alone() -> None:
    acme = Tenant.objects.create(name="Acme", slug="acme")
    old = User.objects.create_user("17", tenant=acme)
    ann = User.objects.create_user("ann", tenant=acme)

    with pytest.raises(ValidationError, match="more than digits"):
        people.invite(by=None, tenant=acme, username="18", email="a@example.org")
    with pytest.raises(ValidationError, match="more than digits"):
        people.change(ann, by=None, username="18")

    people.change(old, by=None, first_name="Old")
    old.refresh_from_db()
    assert old.first_name == "Old"


def _quietly(command: str) -> list[str]:
    return ["--no-input"] if command == "erase_user" else []


def _user_of(printed: str) -> int:
    token = json.loads(printed)["access"]
    return int(AccessToken(token)["user_id"])
