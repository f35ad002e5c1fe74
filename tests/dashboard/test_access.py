"""Sign-in by configuration: nobody is asked without it; with it nothing is shown or handed out."""

import asyncio
import json

import pytest
from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

from dashboard import access

SECRET = "a secret of this test"
AUTH = {"redirect_uri": "http://localhost/oauth2callback", "cookie_secret": SECRET}
READER = {"is_logged_in": True, "email": "Ada@lab.org", "origin": "http://localhost"}


@pytest.fixture
def configured(monkeypatch):
    """Set the secrets' sections for one test."""
    sections: dict[str, dict] = {}
    monkeypatch.setattr(access, "settings", lambda name: sections.get(name, {}))
    monkeypatch.setattr(access, "get_cookie_secret", lambda: SECRET)
    return sections


def answer(path: str, cookie: str | bytes | None = None) -> int:
    """Ask the gate for a path; 200 where it passes the request on."""
    sent = []

    async def inner(scope, receive, send):
        await send({"type": "http.response.start", "status": 200})

    async def send(message):
        sent.append(message)

    value = cookie.decode() if isinstance(cookie, bytes) else cookie
    headers = [(b"cookie", f"{access.USER_COOKIE_NAME}={value}".encode())] if value else []
    scope = {"type": "http", "path": path, "headers": headers}
    asyncio.run(access.Gate(inner)(scope, None, send))
    return sent[0]["status"]


def cookie(**changes) -> bytes:
    return create_signed_value(SECRET, access.USER_COOKIE_NAME, json.dumps(READER | changes))


def test_without_configuration_everything_is_open(configured):
    assert answer("/media/abc.csv") == 200
    assert access.allowed({})


@pytest.mark.parametrize("path", ["/media/abc.csv", "/lab/media/abc.csv", "/MEDIA/abc.csv"])
def test_files_need_a_signed_cookie(configured, path):
    configured["auth"] = AUTH
    assert answer(path) == 403
    assert answer(path, "made-up") == 403
    good = cookie()
    assert answer(path, good) == 200
    assert answer(path, good[:-3] + b"abc") == 403
    assert answer(path, cookie(is_logged_in=False)) == 403
    foreign = create_signed_value("other", access.USER_COOKIE_NAME, json.dumps(READER))
    assert answer(path, foreign) == 403


def test_what_a_reader_needs_to_sign_in_stays_open(configured):
    configured["auth"] = AUTH
    for path in ("/", "/_stcore/health", "/auth/login", "/oauth2callback", "/static/js/a.js"):
        assert answer(path) == 200


@pytest.mark.parametrize(
    ("emails", "user", "expected"),
    [
        (["ada@lab.org"], {}, True),
        (["*@lab.org"], {}, True),
        (["*@lab.org"], {"email": "ada@lab.org.evil.com"}, False),
        (["*@lab.org"], {"email": None}, False),
        (["*@lab.org"], {"email_verified": False}, False),
        ([], {}, False),
        (["*@lab.org"], {"is_logged_in": "yes"}, False),
    ],
)
def test_a_list_of_readers_is_kept_to(configured, emails, user, expected):
    configured["auth"] = AUTH
    configured["access"] = {"emails": emails}
    assert access.allowed(READER | user) is expected


def test_pages_show_nothing_before_sign_in(app, run_path, monkeypatch):
    monkeypatch.setattr(access, "settings", lambda name: AUTH if name == "auth" else {})
    test = app(run_path)
    assert [button.label for button in test.button] == ["Sign in"]
    assert not test.get("plotly_chart")
    assert not test.get("download_button")
    test = app(run_path, view="accuracy")
    assert [button.label for button in test.button] == ["Sign in"]
    assert not test.dataframe


def test_pages_open_after_sign_in_and_only_for_those_on_the_list(app, run_path, monkeypatch):
    sections = {"auth": AUTH, "access": {"emails": ["*@lab.org"]}}
    monkeypatch.setattr(access, "settings", lambda name: sections.get(name, {}))
    test = app(run_path)
    test.user.update({"is_logged_in": True, "email": "ada@lab.org"})
    test.run()
    assert test.get("plotly_chart")
    assert "Sign out" in [button.label for button in test.button]
    test.user.update({"email": "eve@elsewhere.org"})
    test.run()
    assert not test.get("plotly_chart")
    assert "list of readers" in test.warning[0].value
