"""schemathesis over the whole schema, in one process, with bodies of our own.

A caller that may do everything asks; the token is made anew for each request, since
some of the requests revoke tokens, change passwords and delete users.
"""

from __future__ import annotations

import contextlib
import io
import random
import string
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import schemathesis
from hypothesis import strategies
from schemathesis import engine
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events
from schemathesis.transport.serialization import Binary

from accounts.models import Tenant, User
from accounts.tokens import create_tokens
from config.wsgi import application

STANDING = "Bearer of-the-caller"
HALF = "half a surrogate pair"
SIZES = (0, 1, 55, 56, 1 << 20)  # bytes: a grid keeps up to 55 in the cap itself
BYTES, PART = "application/octet-stream", "application/offset+octet-stream"
KINDS = (
    *(BYTES, "text/plain", "text/html; charset=utf-8", "image/svg+xml"),
    *("application/json", "multipart/form-data; boundary=b", "text/x;"),
    *(f"text/plain; charset={name}" for name in ("latin-1", "utf-16", "hex", "idna")),
)
TOKEN = f"{string.ascii_letters}{string.digits}!#$&^.+-_"
# Besides these schemathesis judges whether what was sent should have been refused, by
# the schema alone: a name that is taken, or a key that was used, is not in there.
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
    "unsupported_method",
    "ignored_auth",
    "use_after_free",
)


@dataclass
class Result:
    """What came of a run."""

    requests: int = 0
    phases: set[str] = field(default_factory=set)
    statuses: Counter[str] = field(default_factory=Counter)
    """Requests by method, path of the schema and status."""
    failures: dict[str, str] = field(default_factory=dict)
    """What was wrong, once of each kind and operation, with a request that shows it."""


def bodies() -> strategies.SearchStrategy[bytes]:
    """Return contents of every size that is something special, and random ones."""
    repeated = strategies.sampled_from(SIZES).map(lambda size: b"\xff" * size)
    return repeated | strategies.binary(max_size=200)


def media_type_of(case: Any) -> str:
    """Return a media type for a body, known or made up; the same for the same body."""
    choice = random.Random(repr((case.operation.label, case.body)))
    made_up = "/".join(
        "".join(choice.choices(TOKEN, k=choice.choice((1, 10, 100)))) for _ in "ab"
    )
    return choice.choice((*KINDS, made_up, f'{made_up}; a="{made_up[:50]}"'))


def send_any_type(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Name another media type where the schema takes all: schemathesis names one.

    Some clients name one where there is no body, too.
    """
    if case.media_type in {BYTES, "*/*", None}:
        case.headers = {**(case.headers or {}), "Content-Type": media_type_of(case)}


def send_half_characters(context: Any, case: Any, kwargs: dict[str, Any]) -> None:
    """Have half a surrogate pair among the texts of JSON, which can write it.

    schemathesis can't, so it is put into the body that was sent.
    """
    if not isinstance(case.body, dict):
        return
    texts = sorted(name for name, value in case.body.items() if isinstance(value, str))
    choice = random.Random(repr((case.operation.label, case.body)))
    if texts and choice.randrange(4) == 0:
        case.body = {**case.body, choice.choice(texts): HALF}


def run(examples: int, seed: int = 1) -> Result:
    """Ask every operation in all phases, so many times in each; tables are there."""
    for kind in (BYTES, PART):
        schemathesis.openapi.media_type(kind, bodies())
    schemathesis.serializer.alias(PART, BYTES)
    schemathesis.hook("before_call")(send_any_type)
    schemathesis.hook("before_call")(send_half_characters)
    schemathesis.openapi.format("binary", bodies().map(Binary))
    config = SchemathesisConfig.from_dict(
        {
            "seed": seed,
            "cache": {"enabled": False},
            "headers": {"Authorization": STANDING},
            "generation": {"max-examples": examples, "deterministic": True},
            "checks": {"enabled": False, **{one: {"enabled": True} for one in CHECKS}},
            "continue-on-failure": True,
        }
    )
    result = Result()
    with served(caller_of(application)) as address:
        url = f"{address}/api/v1/schema/"
        schema = schemathesis.openapi.from_url(url, config=config)
        for event in engine.from_schema(schema).execute():
            note(result, event)
    return result


@contextlib.contextmanager
def served(app: Callable[..., Any]) -> Iterator[str]:
    """Serve the application by a thread of this process.

    schemathesis 4.32 sends no empty body to a WSGI application itself.
    """
    server = make_server("127.0.0.1", 0, app, handler_class=Quiet)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


class Quiet(WSGIRequestHandler):
    """Writes no log."""

    def log_message(self, *args: Any) -> None:
        pass


def note(result: Result, event: Any) -> None:
    if isinstance(event, events.NonFatalError | events.FatalError):
        problem = getattr(event, "value", None) or getattr(event, "exception", event)
        result.failures[f"error: {getattr(event, 'label', '')}"] = repr(problem)
    if not isinstance(event, events.ScenarioFinished):
        return
    result.phases.add(event.phase.name)
    for case_id, interaction in event.recorder.interactions.items():
        result.requests += 1
        case = event.recorder.cases[case_id].value
        if interaction.response is not None:
            status = interaction.response.status_code
            result.statuses[f"{case.operation.label} {status}"] += 1
    for checks in event.recorder.checks.values():
        for check in checks:
            if check.failure_info is not None:
                failure = check.failure_info.failure
                key = f"{failure.operation}: {check.name}: {failure.title}"
                result.failures.setdefault(
                    key, f"{failure.message}\n{check.failure_info.code_sample}"
                )


def caller_of(app: Callable[..., Any]) -> Callable[..., Any]:
    """Return the WSGI application, with a good token where the standing one is sent."""

    def asked(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("HTTP_AUTHORIZATION") == STANDING:
            environ["HTTP_AUTHORIZATION"] = f"Bearer {token()}"
        # What is not read would break the connection off, and the answer with it.
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length)
        if environ.get("CONTENT_TYPE") == "application/json":
            body = body.replace(HALF.encode(), rb"\ud800")
            environ["CONTENT_LENGTH"] = str(len(body))
        environ["wsgi.input"] = io.BytesIO(body)
        return app(environ, start_response)

    return asked


def token() -> str:
    """Return an access token of the caller's, who is made anew if they are gone."""
    able = {"is_active": True, "is_administrator": True, "tenant__is_super": True}
    callers = User.objects.filter(username="caller", tenant__slug="callers")
    user = callers.filter(**able).select_related("tenant").first() or enabled()
    access = create_tokens(user).access_token
    access.set_exp(lifetime=timedelta(hours=1))
    return str(access)


def enabled() -> User:
    tenant, _made = Tenant.objects.get_or_create(
        slug="callers", defaults={"name": "Callers"}
    )
    Tenant.objects.filter(pk=tenant.pk).update(is_super=True)
    user = User.objects.filter(username="caller").first()
    if user is None:
        user = User.objects.create_user("caller", tenant=tenant)
    User.objects.filter(pk=user.pk).update(
        is_active=True, is_administrator=True, tenant=tenant
    )
    return user
