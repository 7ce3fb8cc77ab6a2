"""What goes wrong with S3: errors of ours, that name the file and hide credentials."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError
from django.core.files.base import ContentFile

from tahoestorage.backends.s3 import S3Storage
from tahoestorage.backends.s3.errors import BeyondTheEnd, Place, call, meaning
from tahoestorage.exceptions import (
    FileMissing,
    NameTaken,
    StoreError,
    StoreForbids,
    StoreUnreachable,
    TahoeStorageError,
    UploadEnded,
)
from tests.support.ports import free_port
from tests.support.proxy import Proxy, Refuse, SendResponse, Stall
from tests.support.s3_servers import ACCESS_KEY, S3Server
from tests.support.s3_storages import MakeS3, read, save

IMPATIENT = {"retries": {"total_max_attempts": 1}, "connect_timeout": 2}
WRONG_KEY = "wrong-secret-key"
KEY = "k" * 32
TESTS = str(Path(__file__).parents[2])


def impatient(**options: Any) -> dict[str, Config]:
    addressing: Any = {"addressing_style": "path"}
    config = Config(s3=addressing, signature_version="s3v4", **{**IMPATIENT, **options})
    return {"client_config": config}


def write(storage: S3Storage, name: str, mode: str) -> None:
    with storage.open(name, mode) as file:
        file.write(b"x")


def actions(storage: S3Storage) -> list[Callable[[], object]]:
    """All that asks the store about dir/a."""

    def prefetch() -> None:
        with storage.prefetch("dir/a"):
            pass

    return [
        lambda: storage.exists("dir/a"),
        lambda: storage.size("dir/a"),
        lambda: storage.get_modified_time("dir/a"),
        lambda: storage.open("dir/a").read(),
        lambda: storage.listdir("dir/a"),
        lambda: storage.delete("dir/a"),
        lambda: storage.copy("dir/a", "b"),
        lambda: storage.move("dir/a", "b"),
        lambda: storage.upload_url("dir/a", "text/plain", 1),
        lambda: storage._save("dir/a", ContentFile(b"x")),
        lambda: storage.save("dir/a", ContentFile(b"x")),
        lambda: write(storage, "dir/a", "wb"),
        lambda: write(storage, "dir/a", "xb"),
        prefetch,
    ]


def assert_clean(error: BaseException) -> None:
    """See that no credential is anywhere in an error, nor a request of botocore's."""
    pending: list[BaseException | None] = [error]
    while pending:
        each = pending.pop()
        if each is None:
            continue
        pending += [each.__cause__, each.__context__]
        assert not isinstance(each, BotoCoreError)
        if isinstance(each, ClientError):
            # Of what the store answered just this, and no frame of what asked it.
            assert each.__traceback__ is None
            assert each.response.keys() == {"Error", "ResponseMetadata"}
            assert each.response["Error"].keys() == {"Code", "Message"}
            assert each.response["ResponseMetadata"].keys() == {"HTTPStatusCode"}
        trace = traceback.TracebackException.from_exception(each, capture_locals=True)
        shown = f"{each} {each!r} {each.args!r}" + "".join(
            f"{frame.name} {frame.locals}"
            for frame in trace.stack
            if not frame.filename.startswith(TESTS)
        )
        for secret in (WRONG_KEY, ACCESS_KEY, KEY):
            assert secret not in shown


def test_what_the_store_answered_is_the_cause(make_strict_s3: MakeS3) -> None:
    storage = make_strict_s3(secret_key=WRONG_KEY, cache=False)
    with pytest.raises(StoreForbids) as caught:
        storage.listdir("dir")
    cause = caught.value.__cause__
    assert isinstance(cause, ClientError)
    assert cause.response["Error"]["Code"] in ("SignatureDoesNotMatch", "AccessDenied")
    assert cause.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    assert_clean(caught.value)


@pytest.mark.parametrize(
    "message",
    [
        "for https://bucket.example/a?X-Amz-Signature=0123456789abcdef",
        "the StringToSign was AWS4-HMAC-SHA256",
        "there is no key AKIAIOSFODNN7EXAMPLE",
    ],
)
def test_a_store_that_repeats_a_request_is_not_quoted(message: str) -> None:
    told: Any = {
        "Error": {"Code": "X", "Message": message, "StringToSign": "secret"},
        "ResponseMetadata": {"HTTPStatusCode": 403, "HTTPHeaders": {"a": "secret"}},
    }

    def ask() -> None:
        raise ClientError(told, "GetObject")

    with pytest.raises(StoreForbids) as caught:
        call("a", Place("b", "http://127.0.0.1:1"), ask)
    cause: Any = caught.value.__cause__
    assert cause.response["Error"] == {"Code": "X", "Message": ""}
    assert "secret" not in repr(cause.response)
    assert message not in str(cause)


@pytest.fixture
def proxy(moto: S3Server) -> Iterator[Proxy]:
    """A proxy before moto."""
    with Proxy(moto.endpoint_url) as proxy:
        yield proxy


def test_a_store_that_is_not_there(make_s3: MakeS3) -> None:
    port = free_port()
    storage = make_s3(endpoint_url=f"http://127.0.0.1:{port}", **impatient())
    for action in actions(storage):
        with pytest.raises(StoreUnreachable, match="dir/a") as caught:
            action()
        assert isinstance(caught.value, ConnectionError)
        assert f"127.0.0.1:{port}" in str(caught.value)
        assert "endpoint_url" in str(caught.value)
        assert_clean(caught.value)


@pytest.mark.parametrize("status", [500, 502, 503, 504, 429])
def test_a_store_that_fails_is_not_missing_files(
    make_s3: MakeS3, proxy: Proxy, status: int
) -> None:
    storage = make_s3(endpoint_url=proxy.url, **impatient())
    proxy.rule(lambda seen: True, SendResponse(status), times=None)
    for action in actions(storage):
        with pytest.raises(StoreError, match="dir/a") as caught:
            action()
        assert str(status) in str(caught.value)
        assert_clean(caught.value)


def test_a_store_that_hangs_up_or_is_too_slow(make_s3: MakeS3, proxy: Proxy) -> None:
    storage = make_s3(endpoint_url=proxy.url, **impatient(read_timeout=0.2))
    for trouble in (Refuse(), Stall(1.0)):
        proxy.rule(lambda seen: True, trouble)
        with pytest.raises(StoreUnreachable, match="dir/a") as caught:
            storage.exists("dir/a")
        assert_clean(caught.value)


def test_wrong_credentials_are_forbidden(make_strict_s3: MakeS3) -> None:
    save(make_strict_s3(), "dir/a")
    storage = make_strict_s3(secret_key=WRONG_KEY, cache=False)
    for action in actions(storage):
        with pytest.raises(StoreForbids, match="dir/a") as caught:
            action()
        assert isinstance(caught.value, PermissionError)
        assert "credentials" in str(caught.value)
        assert_clean(caught.value)


def test_keys_of_requests_are_not_shown(make_strict_s3: MakeS3) -> None:
    parameters = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": KEY}
    storage = make_strict_s3(secret_key=WRONG_KEY, object_parameters=parameters)
    for action in (storage.exists, lambda name: storage.open(name).read()):
        with pytest.raises(TahoeStorageError) as caught:
            action("dir/a")
        assert_clean(caught.value)


def test_a_bucket_that_is_not_there(make_s3: MakeS3) -> None:
    storage = make_s3(bucket_name="no-such-bucket")
    for action in (
        lambda: storage.open("a"),
        lambda: storage.save("a", ContentFile(b"x")),
        lambda: storage.listdir(""),
        lambda: storage.delete("a"),
    ):
        with pytest.raises(StoreError, match="bucket_name") as caught:
            action()
        assert "no-such-bucket" in str(caught.value)
        assert_clean(caught.value)


def test_a_missing_file_is_the_same_everywhere(make_s3: MakeS3) -> None:
    for storage in (make_s3(), make_s3(location="media"), make_s3(gzip=True)):
        assert not storage.exists("dir/none")
        for ask in (storage.open, storage.size, storage.get_modified_time):
            with pytest.raises(FileMissing, match="dir/none") as caught:
                ask("dir/none")
            assert isinstance(caught.value, FileNotFoundError)
        with pytest.raises(FileMissing, match="dir/none"):
            storage.copy("dir/none", "b")
        storage.delete("dir/none")
        assert storage.listdir("dir/none") == ([], [])
        save(storage, "prefix/a")
        assert not storage.exists("prefix")
        with pytest.raises(FileMissing):
            storage.size("prefix")


def test_the_root_is_no_file(make_s3: MakeS3) -> None:
    for storage in (make_s3(), make_s3(location="media")):
        for name in ("", "."):
            assert not storage.exists(name)
            for mode in ("rb", "wb", "xb"):
                with pytest.raises(IsADirectoryError):
                    storage.open(name, mode)
            for ask in (storage.size, storage.get_modified_time):
                with pytest.raises(IsADirectoryError):
                    ask(name)
            with pytest.raises(FileNotFoundError):
                storage.copy(name, "b")
        with pytest.raises(IsADirectoryError):
            storage.delete(".")
        with pytest.raises(IsADirectoryError):
            storage.upload_url(".", "text/plain", 1)


def test_while_the_store_is_away_what_was_known_serves(
    make_s3: MakeS3, proxy: Proxy, tmp_path: Path
) -> None:
    cache = {"directory": str(tmp_path / "short"), "lifetime": 0.2}
    storage = make_s3(endpoint_url=proxy.url, cache=cache, **impatient())
    save(storage, "a", b"12345")
    assert storage.size("a") == 5
    assert not storage.exists("b")
    proxy.stopping.wait(0.3)
    proxy.rule(lambda seen: True, Refuse(), times=None)
    assert storage.size("a") == 5
    assert storage.open("a").size == 5
    for name in ("a", "b"):
        with pytest.raises(StoreUnreachable):
            storage.exists(name)
    with pytest.raises(StoreUnreachable):
        storage.size("b")
    proxy.clear()
    assert read(storage, "a") == b"12345"


# The mapping


@pytest.mark.parametrize(
    "kind",
    [
        each
        for each in vars(botocore.exceptions).values()
        if isinstance(each, type) and issubclass(each, BotoCoreError)
    ],
)
def test_every_error_of_botocore_has_one_of_ours(kind: type[BotoCoreError]) -> None:
    error = kind.__new__(kind)
    error.args = (f"secret {WRONG_KEY}",)

    def fail() -> None:
        raise error

    with pytest.raises(StoreError, match=r"dir/a: .*") as caught:
        call("dir/a", Place("b", "http://127.0.0.1:1"), fail)
    assert_clean(caught.value)
    network = (
        botocore.exceptions.ConnectionError,
        botocore.exceptions.HTTPClientError,
    )
    assert isinstance(caught.value, StoreUnreachable) == isinstance(
        error, (*network, botocore.exceptions.IncompleteReadError)
    )


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (404, "NoSuchKey", FileMissing),
        (404, "404", FileMissing),
        (404, "NoSuchBucket", StoreError),
        (404, "NoSuchUpload", UploadEnded),
        (400, "InvalidPart", UploadEnded),
        (409, "ConditionalRequestConflict", NameTaken),
        (412, "PreconditionFailed", NameTaken),
        (409, "OperationAborted", StoreError),
        (416, "InvalidRange", BeyondTheEnd),
        (401, "Unauthorized", StoreForbids),
        (403, "AccessDenied", StoreForbids),
        (403, "RequestTimeTooSkewed", StoreForbids),
        (400, "ExpiredToken", StoreForbids),
        (400, "AuthorizationHeaderMalformed", StoreError),
        (301, "PermanentRedirect", StoreError),
        (400, "EntityTooLarge", StoreError),
        (400, "KeyTooLongError", StoreError),
        (501, "NotImplemented", StoreError),
        (503, "SlowDown", StoreUnreachable),
        (500, "InternalError", StoreUnreachable),
        (429, "TooManyRequests", StoreUnreachable),
    ],
)
def test_answers_mean_errors_of_ours(
    status: int, code: str, kind: type[Exception]
) -> None:
    response: Any = {
        "Error": {"Code": code, "Message": f"{ACCESS_KEY} has no {WRONG_KEY}"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    error = meaning(
        ClientError(response, "PutObject"), "dir/a", Place("b", "http://127.0.0.1:1")
    )
    assert isinstance(error, kind)
    if kind is StoreError:
        assert not isinstance(error, StoreUnreachable | StoreForbids)
    assert str(error).startswith("dir/a: ")
    assert_clean(error)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (501, "NotImplemented"),
        (411, "MissingContentLength"),
        (400, "InvalidArgument"),
        (400, "XAmzContentSHA256Mismatch"),
    ],
)
def test_a_store_that_may_refuse_checksums_is_told_with_the_option(
    status: int, code: str
) -> None:
    response: Any = {
        "Error": {"Code": code, "Message": "x-amz-checksum-crc32 is not known"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }

    error = meaning(
        ClientError(response, "PutObject"),
        "a.txt",
        Place("media", "https://store.example"),
    )

    assert "request_checksum_calculation" in str(error)
    assert "when_required" in str(error)
