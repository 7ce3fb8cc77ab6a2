"""Signing for Google Cloud Storage without a key, by IAM."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from google.auth import identity_pool, impersonated_credentials
from google.oauth2.credentials import Credentials as UserCredentials

from tahoestorage.cache import EntryCache
from tahoestorage.exceptions import StoreForbids, StoreUnreachable, TahoeStorageError
from tests.support.gcs_servers import EMAIL, GCS, refusal, wrong_signature
from tests.support.gcs_storages import Make, asked, chain, headers_of, of_cloud_run


def of_a_user() -> Any:
    return UserCredentials("secret-token-of-a-user")


def compute(gcs: GCS, tmp_path: Path) -> Any:
    return of_cloud_run()


def impersonated(gcs: GCS, tmp_path: Path) -> Any:
    return impersonated_credentials.Credentials(of_a_user(), EMAIL, [])


def external(gcs: GCS, tmp_path: Path) -> Any:
    subject = tmp_path / "subject"
    subject.write_text("secret-token-of-elsewhere")
    accounts = gcs.accounts.url
    account = f"{accounts}/v1/projects/-/serviceAccounts/{EMAIL}"
    return identity_pool.Credentials(
        audience="//iam.googleapis.com/projects/1/pools/2",
        subject_token_type="urn:ietf:params:oauth:token-type:jwt",
        token_url=f"{accounts}/sts",
        credential_source={"file": str(subject)},
        service_account_impersonation_url=f"{account}:generateAccessToken",
    )


@pytest.mark.parametrize("keyless", [compute, impersonated, external])
def test_without_a_key_iam_signs_once_for_half_of_the_time(
    gcs: GCS, make: Make, tmp_path: Path, keyless: Any
) -> None:
    storage = make(credentials=keyless(gcs, tmp_path))
    pictures = [f"pictures/{number}.jpg" for number in range(100)]
    pages = [[storage.url(name) for name in pictures] for _ in range(100)]
    assert gcs.accounts.calls["signBlob"] == 100
    assert pages == [pages[0]] * 100
    for url in pages[0]:
        assert wrong_signature("GET", url, headers_of(url)) is None
        assert asked(url)["X-Goog-Credential"].startswith(EMAIL)


def test_what_iam_signs_is_kept_for_six_hours_at_most(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[float] = []

    def note(self: EntryCache, *text: Any) -> None:
        kept.append(text[-1])

    monkeypatch.setattr(EntryCache, "keep_text", note)
    options: dict[str, Any]
    for options in (
        {"credentials": of_cloud_run()},
        {"credentials": of_cloud_run(), "expiration": timedelta(hours=1)},
        {},
    ):
        make(**options).url("a")
    assert [round(seconds / 360) / 10 for seconds in kept] == [6, 0.5, 12]


def test_the_environment_s_credentials_may_sign_by_iam(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STORAGE_EMULATOR_HOST")
    monkeypatch.setenv("API_ENDPOINT_OVERRIDE", gcs.url)
    found: list[Any] = []

    def default(scopes: Any = None, **options: Any) -> tuple[Any, str]:
        found.append(of_cloud_run())
        return found[-1], "tests"

    monkeypatch.setattr("google.auth.default", default)
    storage = make(credentials=None, project_id=None)
    url = storage.url("a")
    assert wrong_signature("GET", url, headers_of(url)) is None
    # On Cloud Run a token is for what was asked; Storage's own scopes do not sign.
    tokens = [sent for sent in gcs.accounts.seen if sent.path.endswith("/token")]
    scopes = {sent.query["scopes"] for sent in tokens}
    assert scopes == {"https://www.googleapis.com/auth/cloud-platform"}
    make(credentials=None, project_id=None).url("b")
    assert len(found) == 1


def test_iam_signs_where_it_is_told_to(gcs: GCS, make: Make) -> None:
    url = make(iam_sign_blob=True).url("a")
    assert gcs.accounts.calls["signBlob"] == 1
    assert wrong_signature("GET", url, headers_of(url)) is None


def test_a_user_signs_as_a_service_account_that_is_named(gcs: GCS, make: Make) -> None:
    user = of_a_user()
    with pytest.raises(ImproperlyConfigured, match="GS_SA_EMAIL"):
        make(credentials=user).url("a")
    url = make(credentials=user, sa_email=EMAIL).url("a")
    assert asked(url)["X-Goog-Credential"].startswith(EMAIL)
    assert wrong_signature("GET", url, headers_of(url)) is None


def test_without_credentials_nothing_is_signed(make: Make) -> None:
    with pytest.raises(ImproperlyConfigured, match="GS_QUERYSTRING_AUTH"):
        make(credentials=None).url("a")


@pytest.mark.parametrize("keyless", [compute, impersonated])
def test_a_signature_that_is_refused(
    gcs: GCS, make: Make, tmp_path: Path, keyless: Any
) -> None:
    gcs.accounts.responses["signBlob"] = refusal(403, "Permission denied")
    storage = make(credentials=keyless(gcs, tmp_path))
    with pytest.raises(StoreForbids, match=f"{EMAIL}.*Token Creator") as caught:
        storage.url("a")
    assert all(isinstance(error, TahoeStorageError) for error in chain(caught.value))


def test_a_signature_that_is_not_to_be_had_now(
    gcs: GCS, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    gcs.accounts.responses["signBlob"] = refusal(503, "Unavailable")
    with pytest.raises(StoreUnreachable, match="IAM"):
        make(credentials=of_cloud_run()).url("a")


@pytest.mark.usefixtures("impatient")
def test_iam_that_cannot_be_reached(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "google.auth.iam._IAM_SIGN_ENDPOINT", "http://127.0.0.1:1/{}:signBlob"
    )
    with pytest.raises(StoreUnreachable, match="a: "):
        make(credentials=of_cloud_run()).url("a")
