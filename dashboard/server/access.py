"""The door of the dashboard: who sees pages, who gets files, and what the server takes in.

`dashboard.server.sign_in` says who may read. Streamlit's own ``/media`` answers whoever knows a
file's address, and its ``/_stcore/upload_file`` takes files from anyone, so `Gate` stands before
both. No other site may show pages in a frame; a host that the operator did not name is refused.
"""

import logging
import sys
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from functools import lru_cache
from threading import Event
from typing import Any

import streamlit as st
from starlette.requests import cookie_parser

from compute.errors import BystanderError, InputError
from dashboard.server import descriptors, sign_in, streamlit_internals
from dashboard.server.sign_in import SignIn
from dashboard.server.streamlit_internals import CORE, FILES, HEALTH, HOST_CONFIG, STREAM, UPLOAD

OPEN_CORE = ([HEALTH], [HOST_CONFIG], [STREAM])
"""What of Streamlit's own a browser needs before sign-in; the rest is guarded."""

METHODS = ("GET", "HEAD", "OPTIONS")
"""All that a reader needs: the dashboard takes nothing in."""

CLOSED = (
    "The server's sign-in configuration cannot be read, so nothing is shown. Whoever runs the "
    "server finds the reason in its log."
)
FULL = (
    "As many people look at these results as this server can serve. This page asks again by itself."
)
AGAIN = 15
"""Seconds after which a reader who was told to wait asks again."""

_HEAD = "<!doctype html><html lang=en><meta charset=utf-8><title>Bystander</title>"
PAGE = f"{_HEAD}<h1>Bystander</h1><p>{CLOSED}</p>\n"
WAIT_PAGE = f"{_HEAD}<meta http-equiv=refresh content={AGAIN}><h1>Bystander</h1><p>{FULL}</p>\n"

HEADERS = (
    (b"content-security-policy", b"frame-ancestors 'self'"),
    (b"x-frame-options", b"SAMEORIGIN"),
    (b"x-content-type-options", b"nosniff"),
)
"""Of every answer: no other site shows it in a frame, no browser takes it for another kind."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]

_asked = Event()
"""Set once this process has seen that sign-in is on."""


def read() -> SignIn:
    """Read who may read, from every place where Streamlit looks for secrets.

    Raises
    ------
    InputError
        A secrets file is not understood, or sign-in was on and its configuration is gone: a file
        that is deleted, or away for a moment, does not open a server that runs.
    """
    places = st.get_option("secrets.files")
    if not isinstance(places, list | tuple):  # a text would be read letter by letter
        raise InputError(
            f"The setting secrets.files is {places!r}, not a list.", 'Write ["FILE.toml"].'
        )
    rules = sign_in.read(places, named=streamlit_internals.is_chosen("secrets.files"))
    if rules.required:
        _asked.set()
    elif _asked.is_set():
        raise InputError(
            f"Sign-in was on when the server started, and no [auth] is left in {places}.",
            "Put it back, or start the server anew.",
        )
    return rules


def current() -> SignIn | None:
    """Return who may read now; None where that is not understood, so that nobody may."""
    try:
        return read()
    except BystanderError as error:
        _log(str(error))
    except Exception as error:  # whatever it is, it must not open the door
        _log(repr(error))
    return None


@lru_cache(maxsize=1)
def _log(problem: str) -> None:
    """Log a problem, once as long as it stays the same."""
    logging.getLogger("bystander").error("Everything is refused: %s", problem)


def announce() -> None:
    """Say at the start who may read; end the process where that is not understood."""
    try:
        print(read(), file=sys.stderr, flush=True)
    except BystanderError as error:
        print(error, file=sys.stderr, flush=True)
        raise SystemExit(1) from None


def admit() -> bool:
    """Ask a reader to sign in where that is needed; return whether the page may go on."""
    rules = current()
    if rules is None:
        st.title("Bystander", anchor=False)
        st.error(CLOSED, icon=":material/lock:")
        return False
    if not rules.required:
        return True
    user = st.user.to_dict()
    if rules.admits(user):
        with st.sidebar:
            st.button(
                "Sign out", on_click=st.logout, icon=":material/logout:", type="tertiary", key="out"
            )
        return True
    st.title("Bystander", anchor=False)
    if user.get("is_logged_in") is True:
        st.warning(
            "You are signed in, but this server's list of readers does not hold your address. Ask "
            "whoever runs it to add it.",
            icon=":material/person_off:",
        )
        st.button("Sign out", on_click=st.logout, icon=":material/logout:", key="out")
    else:
        st.markdown("These results are private. Sign in to see them.")
        st.button("Sign in", on_click=st.login, icon=":material/login:", type="primary", key="in")
    return False


class Gate:
    """Lets through what a reader may ask for. An ASGI middleware; no body is read."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer for the app where a request is refused; pass all else on.

        405 for what would take something in, 400 for a host that was not named, 503 where the
        sign-in configuration is not understood or no more readers fit, 403 for a file without a
        valid cookie. The health check always passes.
        """
        kind = scope["type"]
        if kind == "http":
            send = _with_headers(send)
            refusal = _refusal(scope)
            if refusal:
                await _answer(send, *refusal)
                return
        elif kind == "websocket":
            arrived = None if current() is None else descriptors.let_in()
            if arrived is None:
                await send({"type": "websocket.close", "code": 1008})
                return
            try:
                await self.app(scope, _telling(receive, arrived), send)
            finally:
                arrived()
            return
        await self.app(scope, receive, send)


def _refusal(scope: Scope) -> tuple[int, str] | None:
    """Return the status and text that a request is refused with; None where it passes."""
    base = "/" + str(st.get_option("server.baseUrlPath") or "").strip("/")
    path = str(scope["path"]).removeprefix(base.rstrip("/"))
    parts = path.lower().split("/")
    if scope["method"] not in METHODS or UPLOAD in parts:
        return 405, "The dashboard takes nothing in.\n"
    if path == f"/{CORE}/{HEALTH}":
        return None
    if not streamlit_internals.is_host_allowed(_header(scope, b"host")):
        return 400, "This server does not answer for this name (bystander dashboard --public).\n"
    rules = current()
    if rules is None:
        return 503, PAGE
    if _is_page(parts) and not descriptors.room():
        return 503, WAIT_PAGE
    if _guarded(parts) and not rules.admits(_user(scope, rules.cookie_secret)):
        return 403, "Sign in to take this file.\n"
    return None


def _is_page(parts: list[str]) -> bool:
    """Whether a reader who gets it would open a session: no file, nothing of Streamlit's own."""
    return CORE not in parts and "." not in parts[-1] and not any(part in FILES for part in parts)


def _with_headers(send: Send) -> Send:
    """Return a `send` that adds `HEADERS`, and replaces those of their names."""
    names = {name for name, _ in HEADERS}

    async def sending(message: MutableMapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            kept = [pair for pair in message.get("headers", []) if pair[0].lower() not in names]
            message = {**message, "headers": [*kept, *HEADERS]}
        await send(message)

    return sending


def _telling(receive: Receive, arrived: Callable[[], None]) -> Receive:
    """Return a `receive` that tells when it is asked the second time.

    First a connection is asked for; what the reader says is asked for once there is a session.
    """
    asked = 0

    async def receiving() -> MutableMapping[str, Any]:
        nonlocal asked
        asked += 1
        if asked > 1:
            arrived()
        return await receive()

    return receiving


async def _answer(send: Send, status: int, text: str) -> None:
    kind = b"text/html" if text in (PAGE, WAIT_PAGE) else b"text/plain"
    waiting = [(b"retry-after", str(AGAIN).encode())] if text is WAIT_PAGE else []
    headers = [
        (b"content-type", kind + b"; charset=utf-8"),
        (b"cache-control", b"no-store"),
        (b"connection", b"close"),  # so that the body of what is refused is not waited for
        *waiting,
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})


def _guarded(parts: list[str]) -> bool:
    if CORE in parts and parts[parts.index(CORE) + 1 :] not in OPEN_CORE:
        return True
    return any(part in FILES for part in parts)


def _user(scope: Scope, secret: str) -> Mapping[str, Any]:
    """Return whom a request's signed cookie names; empty for none, or one that was tampered."""
    # As Streamlit reads them. The standard library stops at a cookie that it finds malformed, and
    # other programs of the same host set such ones.
    cookies = cookie_parser(_header(scope, b"cookie") or "")
    return streamlit_internals.reader_of(cookies, secret)


def _header(scope: Scope, name: bytes) -> str | None:
    """Return a request's header, of several the parts joined; None where there is none."""
    found = [value.decode("latin-1") for key, value in scope.get("headers", []) if key == name]
    return "; ".join(found) if found else None
