"""Secrets that the environment names: read from files, and shown nowhere."""

from __future__ import annotations

import copy
import json
import pickle
import re
import string
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.views.debug import SafeExceptionReporterFilter
from hypothesis import given
from hypothesis import strategies as st

from tahoestorage import env
from tahoestorage.config.secrets import KeyFile
from tests.support.environment import (
    CAP,
    options,
    wrong,
)

pytestmark = pytest.mark.usefixtures("no_store_variables")


class TestSecrets:
    @pytest.mark.parametrize(
        ("url", "error"),
        [
            (
                "s3://key:secret@media",
                ": there is a user name or a key before the bucket",
            ),
            ("gs://secret@media", ": there is a user name or a key before the bucket"),
            ("tahoe+http://u:secret@h/", ": the gateway has a user name or password"),
            ("tahoe+http://h/URI:secret", ": the gateway has a cap in it"),
            (
                f"tahoe+http://h/?base_cap={CAP}",
                ": base_cap is a secret, and not for a URL; "
                "expected base_cap_file=FILE",
            ),
            (
                "s3://media?secret_key=secret",
                ": secret_key is a secret, and not for a URL; "
                "expected secret_key_file=FILE",
            ),
            ("s3://media?access_key=secret", ": access_key is a secret"),
            ("s3://media?security_token=secret", ": security_token is a secret"),
            ("s3://media?cloudfront_key=secret", ": cloudfront_key is a secret"),
            ("gs://media?credentials=secret", ": credentials is a secret"),
            (
                "s3://media?cache.redis=redis://:secret@h/0",
                ": cache.redis has a password in it; expected cache.redis_file=FILE",
            ),
            (
                "s3://media?endpoint_url=http://u:secret@h",
                ": endpoint_url has a password",
            ),
        ],
    )
    def test_are_refused_in_a_url_with_the_way_out(self, url: str, error: str) -> None:
        (found,) = wrong(url)

        assert found.startswith(error)
        assert "secret@" not in found
        assert CAP not in found

    # Never digits and a slash: they could be a port and a path.
    @given(
        st.text(string.ascii_letters + string.digits + "/+=", min_size=20).map(
            lambda text: f"0x{text}z"
        ),
        st.sampled_from(
            [
                "{}",
                "://{}",
                "s3://key:{}@media",
                "s3://media:{}",
                "s3://media?{}",
                "s3://media?{}=",
                "s3://media?{}=x",
                "s3://media?=x&{}=x",
                "s3://media?access_key={}&secret_key={}",
                "s3://media?gzip={}",
                "s3://media?querystring_expire={}",
                "gs://media?expiration={}",
                "gs://media?credentials={}",
                "memory://{}",
                "tahoe+http://h/?base_cap={}",
                "tahoe+http://u:{}@h/",
                "tahoe+http://h/?cache.redis=redis://:{}@h",
            ]
        ),
    )
    def test_are_never_repeated(self, secret: str, url: str) -> None:
        found = "\n".join(wrong(url.replace("{}", secret)))

        assert secret not in found

    def test_come_from_files(self, tmp_path: Path) -> None:
        key, secret = tmp_path / "key", tmp_path / "secret"
        key.write_text("AKIA\n")
        secret.write_text("very secret\n")

        made = options(f"s3://media?access_key_file={key}&secret_key_file={secret}")

        assert (made["access_key"], made["secret_key"]) == ("AKIA", "very secret")
        assert "AKIA" not in repr(made)
        assert "very secret" not in repr(made)

    def test_of_redis_too(self, tmp_path: Path) -> None:
        file = tmp_path / "redis"
        file.write_text("redis://:very-secret@cache/0")

        made = options(f"gs://media?cache.redis_file={file}")

        assert made["cache"]["redis"] == "redis://:very-secret@cache/0"
        assert "very-secret" not in repr(made)

    @pytest.mark.parametrize(
        ("content", "error"),
        [
            (None, "names a file that cannot be read: No such file or directory"),
            (b" \n", "names an empty file"),
            (b"\xff\xfe", "names a file that is no text"),
        ],
    )
    def test_in_a_file_that_is_of_no_use(
        self, tmp_path: Path, content: bytes | None, error: str
    ) -> None:
        if content is not None:
            (tmp_path / "file").write_bytes(content)

        for name in ("secret_key_file", "credentials_file"):
            scheme = "gs" if name == "credentials_file" else "s3"
            assert wrong(f"{scheme}://media?{name}={tmp_path}/file") == [
                f": {name} {error}"
            ]

    def test_one_key_without_the_other_is_of_no_use(self, tmp_path: Path) -> None:
        (tmp_path / "key").write_text("AKIA")

        found = wrong(f"s3://media?access_key_file={tmp_path}/key")

        assert found == [": access_key_file is set without the secret_key to it"]

    def test_the_url_itself_may_be_in_a_file(
        self, tmp_path: Path, setenv: Callable[..., None]
    ) -> None:
        (tmp_path / "url").write_text("s3://media\n")
        setenv(
            STORAGE_URL_FILE=f"{tmp_path}/url",
            STATIC_STORAGE_URL_FILE=f"{tmp_path}/url",
            STORAGE_URL_OLD_FILE=f"{tmp_path}/url",
        )

        made = env.storages()

        assert made.keys() == {"default", "staticfiles", "old"}
        assert {one["OPTIONS"]["bucket_name"] for one in made.values()} == {"media"}

    def test_in_the_environment_are_hidden_too(
        self, setenv: Callable[..., None]
    ) -> None:
        setenv(
            STORAGE_URL="s3://media",
            AWS_ACCESS_KEY_ID="AKIA",
            AWS_SECRET_ACCESS_KEY="very-secret",
            AWS_SESSION_TOKEN="token-of-it",
        )

        made = env.storage()
        shown = SafeExceptionReporterFilter().cleanse_setting("STORAGES", made)

        assert made["OPTIONS"]["secret_key"] == "very-secret"
        for text in (repr(made), repr(shown)):
            assert not re.search("AKIA|very-secret|token-of-it", text)


class TestAKeyFile:
    @pytest.fixture
    def file(self, tmp_path: Path) -> Path:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        account = {
            "type": "service_account",
            "client_email": "site@mine.iam.gserviceaccount.com",
            "token_uri": "http://127.0.0.1:9/",
            "private_key": pem.decode(),
        }
        file = tmp_path / "key.json"
        file.write_text(json.dumps(account))
        return file

    def test_becomes_credentials_when_they_are_used(self, file: Path) -> None:
        from google.oauth2.service_account import Credentials

        credentials = options(f"gs://media?credentials_file={file}")["credentials"]
        assert isinstance(credentials, Credentials)
        assert credentials.service_account_email == "site@mine.iam.gserviceaccount.com"

    def test_signs_the_urls_of_a_storage(self, file: Path) -> None:
        made = env.storage_from_url(f"gs://media?credentials_file={file}&cache=no")

        assert "X-Goog-Signature=" in made.url("a.txt")

    def test_travels_as_a_path(self, file: Path) -> None:
        credentials = KeyFile(str(file))
        assert credentials.service_account_email

        travelled = pickle.loads(pickle.dumps(credentials))  # noqa: S301

        assert b"PRIVATE KEY" not in pickle.dumps(credentials)
        assert travelled.service_account_email == credentials.service_account_email
        assert copy.deepcopy(credentials) is credentials
        assert copy.copy(credentials) is credentials
        assert "PRIVATE" not in repr(credentials)

    def test_may_be_in_a_variable(
        self, file: Path, setenv: Callable[..., None]
    ) -> None:
        setenv(GS_BUCKET_NAME="media", GS_CREDENTIALS_FILE=str(file))

        assert isinstance(env.storage()["OPTIONS"]["credentials"], KeyFile)
