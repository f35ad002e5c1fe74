"""Who may see the dashboard: sign-in by OpenID Connect, where a lab's server is set up for it.

Without an ``[auth]`` section in Streamlit's secrets nobody is asked. With one, no page is made and
no file is handed out before a reader has signed in. Streamlit's own ``/media`` answers whoever
knows a file's address, so `Gate` stands before it and asks for the same signed cookie.
"""

import fnmatch
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from http.cookies import CookieError, SimpleCookie
from json import JSONDecodeError, loads
from typing import Any

import streamlit as st
from streamlit.auth_util import get_cookie_with_chunks
from streamlit.errors import StreamlitSecretNotFoundError
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import USER_COOKIE_NAME

GUARDED = ("media",)
"""Parts of an address below which files are handed out."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Application = Callable[[Scope, Receive, Send], Awaitable[None]]


def settings(section: str) -> Mapping[str, Any]:
    """Return a section of Streamlit's secrets; empty where there is none."""
    try:
        return dict(st.secrets.get(section, {}))
    except StreamlitSecretNotFoundError:
        return {}


def required() -> bool:
    """Whether readers have to sign in."""
    return bool(settings("auth"))


def allowed(user: Mapping[str, Any]) -> bool:
    """Whether a reader may see the runs.

    Parameters
    ----------
    user
        Claims of the identity provider, and ``is_logged_in``. Where the secrets have
        ``[access] emails = [...]``, the address must be one of these (``*@lab.org`` for a whole
        domain) and not be marked as unverified.
    """
    if not required():
        return True
    if user.get("is_logged_in") is not True:
        return False
    wanted = settings("access").get("emails")
    if wanted is None:
        return True
    mail = str(user.get("email") or "").lower()
    if not mail or user.get("email_verified") is False:
        return False
    return any(fnmatch.fnmatchcase(mail, str(pattern).lower()) for pattern in wanted)


def admit() -> bool:
    """Ask a reader to sign in where that is needed; whether the page may go on."""
    if not required():
        return True
    user = st.user.to_dict()
    if allowed(user):
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
    """Hands out files only to readers who have signed in. An ASGI middleware."""

    def __init__(self, app: Application) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 for a guarded address without a valid cookie; pass all else on."""
        if scope["type"] == "http" and _guarded(str(scope["path"])) and not _signed_in(scope):
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": b"Sign in to take this file.\n"})
            return
        await self.app(scope, receive, send)


def _guarded(path: str) -> bool:
    return any(part in GUARDED for part in path.lower().split("/"))


def _signed_in(scope: Scope) -> bool:
    if not required():
        return True
    jar = SimpleCookie()
    for name, value in scope.get("headers", []):
        if name == b"cookie":
            try:
                jar.load(value.decode("latin-1"))
            except CookieError:
                return False
    return allowed(_user({name: morsel.value for name, morsel in jar.items()}))


def _user(cookies: Mapping[str, str]) -> Mapping[str, Any]:
    """Return whom a request's signed cookie names; empty for none, or one that was tampered."""
    secret = get_cookie_secret()
    if not secret:
        return {}

    def one(name: str) -> bytes | None:
        signed = cookies.get(name)
        return decode_signed_value(secret, name, signed.encode("latin-1")) if signed else None

    found = get_cookie_with_chunks(one, USER_COOKIE_NAME)
    if not found:
        return {}
    try:
        user = loads(found)
    except (JSONDecodeError, UnicodeDecodeError):
        return {}
    return user if isinstance(user, dict) else {}
