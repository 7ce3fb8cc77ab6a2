"""The options of S3Storage: the parent's, its credentials, and its clients."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from django.core.exceptions import ImproperlyConfigured, SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.uploadedfile import SimpleUploadedFile
from django.db.migrations.writer import MigrationWriter
from django.db.models import FileField
from django.test import override_settings
from storages.backends import s3 as parent

from tahoestorage.backends.s3 import S3Storage
from tahoestorage.backends.s3.unfinished import abort, unfinished
from tahoestorage.exceptions import StoreForbids
from tests.support.leaks import everything_logged
from tests.support.s3_servers import ACCESS_KEY, SECRET_KEY, S3Server, s3_requests
from tests.support.s3_storages import MakeS3, head, keys, read, save

OF_THE_SETTINGS = {
    "AWS_S3_ACCESS_KEY_ID": ACCESS_KEY,
    "AWS_S3_SECRET_ACCESS_KEY": SECRET_KEY,
}
SSE = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": "k" * 32}
unpickled = pickle.loads
fork = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")


@pytest.fixture(scope="module")
def pem() -> str:
    """A private key as CloudFront's are."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.TraditionalOpenSSL,
        serialization.NoEncryption(),
    ).decode()


# Options


def test_an_unknown_option_is_refused() -> None:
    with pytest.raises(ImproperlyConfigured, match="bucket_nane"):
        S3Storage(bucket_nane="b")  # type: ignore[call-arg]


def test_nothing_is_overwritten_unless_it_is_asked() -> None:
    assert S3Storage().file_overwrite is False
    assert S3Storage(file_overwrite=True).file_overwrite is True
    assert S3Storage(allow_overwrite=True).file_overwrite is True
    with override_settings(AWS_S3_FILE_OVERWRITE=True):
        assert S3Storage().file_overwrite is True
        assert S3Storage(allow_overwrite=False).file_overwrite is False
    with pytest.raises(ImproperlyConfigured, match="allow_overwrite"):
        S3Storage(allow_overwrite=True, file_overwrite=False)


def test_all_other_options_have_the_parent_s_defaults() -> None:
    ours, theirs = S3Storage(), parent.S3Storage()
    ours_only = {"client_config", "file_overwrite", "transfer_config"}
    for name in theirs.get_default_settings().keys() - ours_only:
        assert getattr(ours, name) == getattr(theirs, name), name


@pytest.mark.parametrize(
    "options",
    [
        {"querystring_auth": False, "addressing_style": "virtual"},
        {"querystring_auth": False, "location": "media/files"},
        {"custom_domain": "cdn.example", "url_protocol": "http:"},
        {"custom_domain": "cdn.example", "location": "media"},
        {"custom_domain": "cdn.example", "querystring_auth": False},
    ],
)
@pytest.mark.parametrize("parameters", [None, {"VersionId": "3"}])
def test_unsigned_urls_are_the_parent_s(
    options: dict[str, Any], parameters: Any
) -> None:
    options = {"bucket_name": "bucket", "region_name": "eu-west-1", **options}
    theirs, ours = parent.S3Storage(**options), S3Storage(cache=False, **options)
    for name in ("a.txt", "dir/ü b+c.txt", "dir/"):
        assert ours.url(name, parameters) == theirs.url(name, parameters)


def test_what_is_written_is_the_parent_s(make_s3: MakeS3) -> None:
    storage = make_s3(
        location="media",
        default_acl="public-read",
        object_parameters={"CacheControl": "max-age=9", "Metadata": {"who": "me"}},
    )
    with s3_requests(storage) as sent:
        assert save(storage, "a.css", "body {}") == "a.css"
    (put,) = [each for each in sent if str(each) == "PUT media/a.css"]
    assert put.headers["x-amz-acl"] == "public-read"
    response = head(storage, "media/a.css")
    assert response["ContentType"] == "text/css"
    assert response["CacheControl"] == "max-age=9"
    assert response["Metadata"]["who"] == "me"


def test_the_type_of_an_upload_is_its_own(s3: S3Storage) -> None:
    content = ContentFile(b"x")
    content.content_type = "application/x-mine"  # type: ignore[attr-defined]
    s3.save("a.txt", content)
    save(s3, "b.unknown-type")
    assert head(s3, "a.txt")["ContentType"] == "application/x-mine"
    assert head(s3, "b.unknown-type")["ContentType"] == "application/octet-stream"


@pytest.mark.parametrize(
    "brought",
    [
        "",
        "no type",
        "text/plain\r\nx-amz-acl: public-read",
        "text/plain\n",
        "text/ü",
        f"text/{'x' * 5000}",
    ],
)
def test_a_type_in_no_usual_form_is_not_believed(
    make_strict_s3: MakeS3, brought: str
) -> None:
    storage = make_strict_s3()
    for content in (b"short", bytes(9 << 20)):
        upload = SimpleUploadedFile("theirs.bin", content, brought)
        name = storage.save("a.css", upload)
        assert head(storage, name)["ContentType"] == "text/css"
    # What the site asks for is stronger.
    storage = make_strict_s3(object_parameters={"ContentType": "text/x-site"})
    storage.save("b.css", SimpleUploadedFile("b", b"x", brought))
    assert head(storage, "b.css")["ContentType"] == "text/x-site"


class Broken(ContentFile):  # type: ignore[type-arg]
    """A content that fails after 12 MiB."""

    def chunks(self, chunk_size: int | None = None) -> Iterator[bytes]:
        yield bytes(12 << 20)
        raise ZeroDivisionError


def test_every_request_says_whose_bucket_it_is_and_who_pays(make_s3: MakeS3) -> None:
    payer = {"ExpectedBucketOwner": "123456789012", "RequestPayer": "requester"}
    config = TransferConfig(multipart_threshold=5 << 20, multipart_chunksize=5 << 20)
    storage = make_s3(object_parameters=payer, transfer_config=config)

    with s3_requests(storage) as sent:
        storage.conditional(thorough=True)
        storage.save("dir/a", ContentFile(b"content"))
        storage.save("dir/large", ContentFile(bytes(6 << 20)))
        with pytest.raises(ZeroDivisionError):
            storage.save("dir/broken", Broken(b"x"))
        storage.move(storage.copy("dir/a", "dir/b"), "dir/c")
        assert storage.listdir("dir") == ([], ["a", "c", "large"])
        assert len([key for page in storage.list_pages("") for key in page]) == 3
        storage.begin_parts("dir/parts", "text/plain")
        storage.abort_parts("dir/p", storage.begin_parts("dir/p", "text/plain"))
        for upload in unfinished(storage):
            abort(storage, upload)
        storage.delete("dir/a")

    aborted = [each for each in sent if "uploadId" in each.query]
    assert "DELETE dir/broken" in map(str, aborted)
    assert {each.method for each in sent} == {"GET", "HEAD", "PUT", "POST", "DELETE"}
    names = ("x-amz-expected-bucket-owner", "x-amz-request-payer")
    said = {tuple(each.headers.get(name) for name in names) for each in sent}
    assert [str(e) for e in sent if not all(map(e.headers.get, names))] == []
    assert said == {tuple(payer.values())}


def test_what_is_sent_with_a_key_of_the_customer_s_can_be_aborted(
    make_s3: MakeS3,
) -> None:
    storage = make_s3(object_parameters=SSE)
    begun = storage.begin_parts("a", "text/plain")
    storage.abort_parts("a", begun)
    assert [*unfinished(storage)] == []


def test_object_parameters_can_be_those_of_each_object(make_s3: MakeS3) -> None:
    class Mine(S3Storage):
        def get_object_parameters(self, name: str) -> dict[str, Any]:
            return {"ContentDisposition": f"attachment; filename={name[::-1]}"}

    storage = make_s3(Mine)
    save(storage, "abc")
    assert head(storage, "abc")["ContentDisposition"].endswith("=cba")


def test_a_location_of_each_moment_is_followed(make_s3: MakeS3) -> None:
    class OfTenants(S3Storage):
        tenant = "one"

        @property
        def location(self) -> str:  # type: ignore[override]
            return self.tenant

    storage = make_s3(OfTenants)
    save(storage, "a", b"1")
    storage.tenant = "two"
    assert not storage.exists("a")
    save(storage, "a", b"22")
    assert keys(storage) == ["one/a", "two/a"]
    storage.tenant = "one"
    assert storage.size("a") == 1


def test_names_are_cleaned_as_the_parent_does(make_s3: MakeS3) -> None:
    storage = make_s3(location="media")
    save(storage, "dir/a.txt")
    names = ["dir//a.txt", "./dir/a.txt", "dir/x/../a.txt", "dir\\a.txt"]
    for name in [*names, "dir/a.txt/"]:
        assert storage.exists(name), name


@pytest.mark.parametrize("name", ["../up", "a/../../up", "/etc/x", "..", "a\ud800"])
@pytest.mark.parametrize("location", ["", "media"])
def test_names_that_climb_are_suspicious(name: str, location: str) -> None:
    # No server is asked: there is none.
    storage = S3Storage(bucket_name="b", location=location, cache=False)
    if not name.startswith("/"):  # which url drops, as in Django's folder
        with pytest.raises(SuspiciousFileOperation):
            storage.url(name)
    for act in (
        storage.exists,
        storage.size,
        storage.get_modified_time,
        storage.open,
        storage.delete,
        storage.listdir,
        lambda name: storage.copy("a", name),
        lambda name: storage.copy(name, "a"),
        lambda name: storage.open(name, "wb"),
        lambda name: storage.upload_url(name, "text/plain", 1),
        lambda name: save(storage, name),
    ):
        with pytest.raises(SuspiciousFileOperation):
            act(name)


def test_configurations_given_are_used_as_they_are() -> None:
    transfers, client = TransferConfig(), Config(read_timeout=7)
    given = S3Storage(transfer_config=transfers, client_config=client)
    assert given.transfer_config is transfers
    assert given.client_config is client
    with override_settings(AWS_S3_TRANSFER_CONFIG=transfers):
        assert S3Storage().transfer_config is transfers

    class Mine(S3Storage):
        transfer_config = transfers

    assert Mine().transfer_config is transfers
    assert S3Storage().transfer_config.max_in_memory_upload_chunks < 10
    # None is the parent's "not given".
    assert S3Storage(transfer_config=None).transfer_config.use_threads is True


def test_no_bucket_and_wrong_options_are_said() -> None:
    with pytest.raises(ImproperlyConfigured, match="AWS_STORAGE_BUCKET_NAME"):
        S3Storage(cache=False).exists("a")
    wrong: list[dict[str, Any]] = [
        {"endpoint_url": "no url"},
        {"session_profile": "no-such"},
    ]
    for options in wrong:
        storage = S3Storage(bucket_name="b", cache=False, **options)
        with pytest.raises(ImproperlyConfigured, match="endpoint_url") as caught:
            storage.exists("a")
        assert caught.value.__context__ is None


# Credentials

SECRETS = (ACCESS_KEY, SECRET_KEY, "token-of-mine", "pass-word", "k" * 32, "PRIVATE")


def secretive(make: MakeS3, pem: str) -> S3Storage:
    """A storage that was given all the secrets there are."""
    return make(
        security_token="token-of-mine",
        cloudfront_key_id="key-id",
        cloudfront_key=pem,
        proxies={"https": "http://user:pass-word@proxy.example"},
        object_parameters=SSE,
        cache={"redis": "redis://:pass-word@127.0.0.1:1"},
    )


def test_no_secret_gets_into_a_migration(make_s3: MakeS3, pem: str) -> None:
    storage = secretive(make_s3, pem)
    path, arguments, options = storage.deconstruct()
    assert path == "tahoestorage.backends.s3.S3Storage"
    assert arguments == ()
    assert options["bucket_name"] == storage.bucket_name
    written, imports = MigrationWriter.serialize(FileField(storage=storage))
    shown = f"{options} {written} {imports} {storage!r}"
    for secret in SECRETS:
        assert secret not in shown


def test_no_secret_gets_into_a_pickle(make_s3: MakeS3, pem: str) -> None:
    pickled = pickle.dumps(secretive(make_s3, pem))
    for secret in SECRETS:
        assert secret.encode() not in pickled
    again = unpickled(pickled)
    assert pickle.dumps(again)
    with pytest.raises(ImproperlyConfigured, match="by hand") as caught:
        again.exists("a")
    for name in ("secret_key", "cloudfront_key", "proxies", "object_parameters"):
        assert name in str(caught.value)


def test_no_secret_gets_into_a_log(make_s3: MakeS3) -> None:
    with everything_logged() as lines:
        storage = make_s3()
        save(storage, "a")
        read(storage, "a")
        storage.url("a")
        pickle.dumps(storage)
    for line in lines:
        assert SECRET_KEY not in line


@pytest.mark.parametrize("source", ["settings", "environment"])
def test_an_unpickled_storage_takes_the_credentials_there_are(
    make_s3: MakeS3, source: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = make_s3()
    save(given, "a", b"of old")
    pickled = pickle.dumps(given)
    if source == "environment":
        for name, value in OF_THE_SETTINGS.items():
            monkeypatch.setenv(name, value)
        again = unpickled(pickled)
    else:
        with override_settings(**OF_THE_SETTINGS):
            again = unpickled(pickled)
    assert read(again, "a") == b"of old"


def test_other_credentials_than_those_given_are_not_used(make_s3: MakeS3) -> None:
    given = make_s3()
    pickled = pickle.dumps(given)
    with override_settings(**{**OF_THE_SETTINGS, "AWS_S3_SECRET_ACCESS_KEY": "other"}):
        other = unpickled(pickled)
        twice = unpickled(pickle.dumps(other))
    for storage in (unpickled(pickled), other, twice):
        for ask in (storage.exists, storage.open, storage.url, storage.listdir):
            with pytest.raises(ImproperlyConfigured, match="secret_key by hand"):
                ask("a")


class Quiet(str):
    """A secret that hides itself, as those from the environment do."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "***"


def test_secrets_that_hide_themselves_are_told_apart(make_s3: MakeS3) -> None:
    given = make_s3(secret_key=Quiet(SECRET_KEY))
    pickled = pickle.dumps(given)
    with override_settings(**OF_THE_SETTINGS):
        assert not unpickled(pickled).exists("a")
    others = {**OF_THE_SETTINGS, "AWS_S3_SECRET_ACCESS_KEY": Quiet("other")}
    with override_settings(**others), pytest.raises(ImproperlyConfigured):
        unpickled(pickled).exists("a")
    urls = {make_s3(access_key=Quiet(key)).url("a") for key in ("one", "two")}
    assert len(urls) == 2
    assert make_s3(secret_key="other")._clients is not given._clients


def test_credentials_of_the_settings_may_be_others_by_then(make_s3: MakeS3) -> None:
    options = make_s3().deconstruct()[2]
    with override_settings(AWS_S3_ACCESS_KEY_ID="x", AWS_S3_SECRET_ACCESS_KEY="y"):
        pickled = pickle.dumps(S3Storage(**options))
    with override_settings(**OF_THE_SETTINGS):
        again = unpickled(pickled)
    assert again.secret_key == SECRET_KEY
    assert not again.exists("a")
    # Neither is what says nothing given by hand.
    blank = pickle.dumps(S3Storage(**options, access_key="", secret_key=None))
    with override_settings(**OF_THE_SETTINGS):
        assert not unpickled(blank).exists("a")


def test_copies_keep_their_credentials(make_s3: MakeS3, pem: str) -> None:
    given = make_s3(cloudfront_key_id="key-id", cloudfront_key=pem)
    save(given, "a", b"of old")
    for again in (copy.copy(given), copy.deepcopy(given)):
        assert again.secret_key == SECRET_KEY
        assert again.cloudfront_signer is not None
        assert again.cloudfront_signer.key_id == "key-id"
        assert read(again, "a") == b"of old"


def test_a_pickle_signs_for_cloudfront_by_the_settings(pem: str) -> None:
    options: dict[str, Any] = {
        "custom_domain": "cdn.example",
        "bucket_name": "b",
        "cache": False,
    }
    with override_settings(AWS_CLOUDFRONT_KEY_ID="key-id", AWS_CLOUDFRONT_KEY=pem):
        again = unpickled(pickle.dumps(S3Storage(**options)))
    assert "Key-Pair-Id=key-id" in again.url("a")


def test_a_storage_without_secrets_is_pickled_whole(make_s3: MakeS3) -> None:
    given = make_s3(location="media", client_config=Config(read_timeout=7))
    given.colour = "blue"
    with override_settings(**OF_THE_SETTINGS):
        again = unpickled(pickle.dumps(given))
    assert (again.location, again.colour) == ("media", "blue")
    assert again.client_config.read_timeout == 7
    assert not again.exists("a")


def test_without_credentials_the_store_forbids(
    moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    monkeypatch.setenv("AWS_CONFIG_FILE", os.devnull)
    storage = S3Storage(
        bucket_name="b", endpoint_url=moto.endpoint_url, region_name="x", cache=False
    )
    for ask in (storage.exists, storage.open, storage.listdir, storage.url):
        with pytest.raises(StoreForbids, match="credentials"):
            ask("a")


# Clients


def test_storages_that_are_configured_alike_share_one_client(make_s3: MakeS3) -> None:
    one, other = make_s3(), make_s3(location="media", cache=False)
    with override_settings(**OF_THE_SETTINGS):
        travelled = unpickled(pickle.dumps(one))
    clients = {
        id(each.connection.meta.client)
        for each in (one, other, copy.deepcopy(one), travelled)
    }
    assert len(clients) == 1
    assert one.bucket.meta.client is one.connection.meta.client
    assert one.unsigned_connection.meta.client is other.unsigned_connection.meta.client
    assert one.unsigned_connection.meta.client is not one.connection.meta.client
    for apart in ({"region_name": "x"}, {"client_config": Config(read_timeout=7)}):
        assert id(make_s3(**apart).connection.meta.client) not in clients


def test_threads_share_the_client_and_no_resource(make_s3: MakeS3) -> None:
    storage = make_s3(client_config=Config(read_timeout=31))
    found: list[Any] = []
    start = threading.Barrier(8)

    def connect() -> None:
        start.wait()
        found.append(storage.connection)

    threads = [threading.Thread(target=connect) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({id(each) for each in found}) == 8
    assert len({id(each.meta.client) for each in found}) == 1


def in_a_fork(work: Callable[[], object]) -> int:
    """Return the exit status of a forked child that does the work."""
    child = os.fork()
    if not child:
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@fork
def test_a_forked_child_has_a_client_of_its_own(s3: S3Storage) -> None:
    save(s3, "a", b"of old")
    before = s3.connection.meta.client

    def child() -> None:
        assert s3.connection.meta.client is not before
        assert read(s3, "a") == b"of old"
        save(s3, "b", b"of the child")

    assert in_a_fork(child) == 0
    assert s3.connection.meta.client is before
    assert read(s3, "b") == b"of the child"


def test_a_session_of_one_s_own_is_used(make_s3: MakeS3) -> None:
    class Mine(S3Storage):
        def _create_session(self) -> boto3.Session:
            return boto3.Session("mine", "secret-of-mine")

    storage = make_s3(Mine)
    save(storage, "a")
    assert "X-Amz-Credential=mine%2F" in storage.url("a")
    assert "X-Amz-Credential=testkey%2F" in make_s3().url("a")


def test_nothing_is_left_open(make_s3: MakeS3) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ResourceWarning)
        storage = make_s3()
        save(storage, "a")
        with storage.open("a") as file:
            file.read(1)
        storage.open("a").read()
        del file
        gc.collect()
    assert [each for each in caught if "socket" in str(each.message)] == []
