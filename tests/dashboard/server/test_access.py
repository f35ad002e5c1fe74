"""The door: with sign-in nothing is shown or handed out before it; nothing is ever taken in."""

import asyncio
from typing import Any

import pytest

from compute.errors import InputError
from dashboard.server import access
from dashboard.server.sign_in import SignIn
from dashboard.server.streamlit_internals import COOKIE
from tests.dashboard.identity import signed

SECRET = "a secret of this test"
READER = {"is_logged_in": True, "email": "Ada@lab.org", "origin": "http://localhost"}
OPEN, ANYONE = SignIn(), SignIn(True, None, SECRET)
LISTED = SignIn(True, ("*@lab.org",), SECRET)
UPLOADS = (
    "/_stcore/upload_file/session/file",
    "/lab/_stcore/upload_file/session/file",
    "/_STCORE/Upload_File/session/file",
    "/_stcore//upload_file/session/file",
    "/_stcore/upload_file",
)


@pytest.fixture
def rules(monkeypatch):
    """Set who may read, or an error, for one test."""
    found = []

    def read() -> SignIn:
        if isinstance(found[-1], Exception):
            raise found[-1]
        return found[-1]

    monkeypatch.setattr(access, "read", read)
    return found.append


def answer(path: str, cookie: str | None = None, method: str = "GET") -> int:
    """Ask the gate for a path; 200 where it passes the request on. A body cannot be read."""
    headers = [(b"cookie", f"{COOKIE}={cookie}".encode())] if cookie else []
    return asked(path, headers, method)[0]["status"]


def asked(path: str, headers: list[tuple[bytes, bytes]], method: str = "GET") -> list[Any]:
    """Ask the gate; what it sends."""
    sent: list[Any] = []

    async def inner(scope, receive, send):
        kept = [(b"X-Frame-Options", b"ALLOWALL"), (b"a", b"b")]
        await send({"type": "http.response.start", "status": 200, "headers": kept})

    async def send(message):
        sent.append(message)

    async def receive():
        raise AssertionError("the gate read a body")

    scope = {"type": "http", "path": path, "method": method, "headers": headers}
    asyncio.run(access.Gate(inner)(scope, receive, send))
    return sent


def greeting() -> str:
    """Ask the gate for a websocket; what it answers, "passed" where it passes it on."""
    sent = []

    async def inner(scope, receive, send):
        await send({"type": "passed"})

    async def send(message):
        sent.append(message)

    scope = {"type": "websocket", "path": "/_stcore/stream", "headers": []}
    asyncio.run(access.Gate(inner)(scope, None, send))
    return sent[0]["type"]


def cookie(**changes) -> str:
    return signed(READER | changes, SECRET)


def test_without_configuration_everything_is_open(rules):
    rules(OPEN)
    for path in ("/media/abc.csv", "/", "/_stcore/metrics"):
        assert answer(path) == 200
    assert greeting() == "passed"


@pytest.mark.parametrize(
    "path",
    [
        "/media/abc.csv",
        "/lab/media/abc.csv",
        "/MEDIA/abc.csv",
        "/component/a/b.js",
        "/_stcore/metrics",
        "/_stcore/agent/openapi.json",
        "/_stcore/bidi-components/a/health",
        "/media/_stcore/health",
        "/_stcore/script-health-check",
    ],
)
def test_files_need_a_signed_cookie(rules, path):
    rules(ANYONE)
    assert answer(path) == 403
    assert answer(path, "made-up") == 403
    good = cookie()
    assert answer(path, good) == 200
    assert answer(path, good[:-3] + "abc") == 403
    assert answer(path, cookie(is_logged_in=False)) == 403
    assert answer(path, signed(READER, "other")) == 403


@pytest.mark.parametrize("foreign", ["a[b]=1", "a{b}=1", "a b=c d", '"', "x=é", "=1", "a=@\t;;"])
@pytest.mark.parametrize("first", [True, False])
def test_a_reader_is_known_beside_cookies_of_other_programs(rules, foreign, first):
    rules(ANYONE)
    mine = f"{COOKIE}={cookie()}"
    text = "; ".join([foreign, mine] if first else [mine, foreign])
    assert asked("/media/a", [(b"cookie", text.encode("latin-1"))])[0]["status"] == 200
    apart = [(b"cookie", foreign.encode("latin-1")), (b"cookie", mine.encode())]
    assert asked("/media/a", apart)[0]["status"] == 200
    assert asked("/media/a", apart[:1])[0]["status"] == 403


@pytest.mark.parametrize("path", ["/", "/media/a", "/_stcore/upload_file/a/b", "/_stcore/health"])
@pytest.mark.parametrize("held", [OPEN, ANYONE, InputError("Broken.")])
def test_no_other_site_shows_an_answer_in_a_frame(rules, path, held):
    rules(held)
    found = asked(path, [])[0]["headers"]
    assert [value for name, value in found if name.lower() == b"x-frame-options"] == [b"SAMEORIGIN"]
    assert (b"content-security-policy", b"frame-ancestors 'self'") in found
    assert (b"x-content-type-options", b"nosniff") in found


def test_a_host_that_was_not_named_is_refused(rules, monkeypatch):
    rules(OPEN)
    assert asked("/", [(b"host", b"evil.example")])[0]["status"] == 200
    monkeypatch.setattr(
        access.streamlit_internals, "is_host_allowed", ["lab.example.org"].__contains__
    )
    assert asked("/", [(b"host", b"lab.example.org")])[0]["status"] == 200
    for path in ("/", "/media/a"):
        assert asked(path, [(b"host", b"evil.example")])[0]["status"] == 400
        assert asked(path, [])[0]["status"] == 400
    twice = [(b"host", b"lab.example.org"), (b"host", b"evil.example")]
    assert asked("/", twice)[0]["status"] == 400
    assert asked("/_stcore/health", [(b"host", b"10.0.0.1")])[0]["status"] == 200


def test_files_are_for_those_on_the_list(rules):
    rules(LISTED)
    assert answer("/media/abc.csv", cookie()) == 200
    assert answer("/media/abc.csv", cookie(email="eve@elsewhere.org")) == 403
    assert answer("/media/abc.csv", cookie(email_verified="false")) == 403


def test_what_a_reader_needs_to_sign_in_stays_open(rules):
    rules(ANYONE)
    for path in (
        *("/", "/accuracy", "/auth/login", "/oauth2callback", "/static/js/a.js"),
        *("/_stcore/health", "/_stcore/host-config", "/accuracy/_stcore/health"),
    ):
        assert answer(path) == 200
    assert greeting() == "passed"


@pytest.mark.parametrize("problem", [InputError("Broken."), RuntimeError("never thought of")])
def test_what_is_not_understood_refuses_everything_but_the_health_check(rules, problem):
    rules(problem)
    for path in ("/", "/media/abc.csv", "/auth/login", "/static/js/a.js", "/lab/_stcore/health"):
        assert answer(path) == 503
        assert answer(path, cookie()) == 503
    assert answer("/_stcore/health") == 200
    assert greeting() == "websocket.close"


@pytest.mark.parametrize("held", [OPEN, ANYONE, InputError("Broken.")])
@pytest.mark.parametrize("path", UPLOADS)
def test_nobody_uploads(rules, held, path):
    rules(held)
    for method in ("PUT", "POST", "DELETE", "OPTIONS", "GET", "PATCH"):
        assert answer(path, cookie(), method) == 405


@pytest.mark.parametrize("method", ["PUT", "POST", "DELETE", "PATCH", "put", "TRACE"])
@pytest.mark.parametrize("path", ["/", "/_stcore/agent/interact", "/_stcore/health", "/media/a"])
def test_nothing_else_is_taken_in(rules, path, method):
    rules(OPEN)
    assert answer(path, None, method) == 405


def test_a_base_path_may_have_the_name_of_what_is_guarded(rules, monkeypatch):
    monkeypatch.setattr(access.st, "get_option", lambda name: "media")
    rules(ANYONE)
    assert answer("/media/") == 200
    assert answer("/media/media/abc.csv") == 403
    rules(InputError("Broken."))
    assert answer("/media/_stcore/health") == 200


def test_a_server_that_asked_does_not_open_while_it_runs(monkeypatch, tmp_path):
    secrets = tmp_path / "secrets.toml"
    options = {"secrets.files": [str(secrets)], "server.baseUrlPath": ""}
    monkeypatch.setattr(access.st, "get_option", options.get)
    monkeypatch.setattr(access.streamlit_internals, "is_chosen", lambda name: False)
    monkeypatch.setattr(access, "_asked", access.Event())
    assert access.read() == OPEN
    whole = "\n".join(
        ["[auth]", *(f'{key} = "{SECRET}"' for key in ("redirect_uri", "cookie_secret"))]
        + [f'{key} = "x"' for key in ("client_id", "client_secret", "server_metadata_url")]
    )
    secrets.write_text(whole)
    assert access.read() == ANYONE
    secrets.unlink()
    assert access.current() is None
    secrets.write_text("")
    assert access.current() is None
    secrets.write_text(whole)
    assert access.current() == ANYONE
    options["secrets.files"] = str(secrets)
    assert access.current() is None


def test_pages_show_nothing_before_sign_in(app, run_path, rules):
    rules(ANYONE)
    test = app(run_path)
    assert [button.label for button in test.button] == ["Sign in"]
    assert not test.get("plotly_chart")
    assert not test.get("download_button")
    test = app(run_path, view="accuracy")
    assert [button.label for button in test.button] == ["Sign in"]
    assert not test.dataframe


def test_pages_open_after_sign_in_and_only_for_those_on_the_list(app, run_path, rules):
    rules(LISTED)
    test = app(run_path)
    test.user.update({"is_logged_in": True, "email": "ada@lab.org"})
    test.run()
    assert test.get("plotly_chart")
    assert "Sign out" in [button.label for button in test.button]
    test.user.update({"email": "eve@elsewhere.org"})
    test.run()
    assert not test.get("plotly_chart")
    assert "list of readers" in test.warning[0].value


def test_an_open_page_closes_when_the_configuration_breaks(app, run_path, rules):
    rules(OPEN)
    test = app(run_path)
    assert test.get("plotly_chart")
    rules(InputError("Broken."))
    test.run()
    assert not test.get("plotly_chart")
    assert not test.button
    assert "cannot be read" in test.error[0].value
