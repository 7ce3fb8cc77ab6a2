"""The audit: what is written down stays as it was written."""

from __future__ import annotations

import pytest
from django.db import transaction

from accounts.models import Tenant, User
from audit.actions import Action
from audit.models import AppendOnly, Entry
from audit.recording import erase_names, record


@pytest.fixture
def ann() -> User:
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    return User.objects.create_user("ann", tenant=tenant)


@pytest.fixture
def entry(ann: User) -> Entry:
    return record(
        Action.USER_CHANGE, ann, tenant_id=ann.tenant_id, actor=ann, active=True
    )


@pytest.mark.django_db
def test_an_entry_says_who_did_what_to_whom(ann: User, entry: Entry) -> None:
    kept = Entry.objects.get()
    assert (kept.actor_id, kept.actor_name) == (ann.pk, "ann")
    assert (kept.target_type, kept.target_id) == ("user", str(ann.pk))
    assert (kept.action, kept.details) == ("user.change", {"active": True})


@pytest.mark.django_db
def test_the_application_changes_and_deletes_no_entry(entry: Entry) -> None:
    entry.actor_name = "bob"
    for attempt in (
        entry.save,
        entry.delete,
        Entry.objects.all().delete,
        lambda: Entry.objects.update(actor_name="bob"),
        lambda: Entry.objects.bulk_update([entry], ["actor_name"]),
    ):
        with pytest.raises(AppendOnly):
            attempt()
    assert Entry.objects.get().actor_name == "ann"


@pytest.mark.django_db
def test_an_erased_person_has_no_name_and_a_number(ann: User, entry: Entry) -> None:
    bob = User.objects.create_user("bob", tenant=ann.tenant)
    record(Action.USER_CREATE, bob, tenant_id=ann.tenant_id, actor=None)

    erase_names(ann.pk)

    of_ann = Entry.objects.get(actor_id=ann.pk)
    assert (of_ann.actor_name, of_ann.target_name) == ("erased", "erased")
    assert of_ann.details == {}
    assert Entry.objects.get(target_id=str(bob.pk)).target_name == "bob"


@pytest.mark.django_db(transaction=True)
def test_a_change_and_its_entry_are_there_both_or_neither(ann: User) -> None:
    with pytest.raises(transaction.TransactionManagementError):
        record(Action.USER_CHANGE, ann, tenant_id=ann.tenant_id, actor=ann)

    def changed() -> None:
        with transaction.atomic():
            record(Action.USER_CHANGE, ann, tenant_id=ann.tenant_id, actor=ann)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        changed()

    assert not Entry.objects.exists()
