"""What Bystander uses of Streamlit that Streamlit's documentation does not promise: all of it.

Read in Streamlit 1.67.0 (`VERSION`, the version that ``constraints.txt`` pins). Nothing else in
Bystander imports or names these; ``tests/dashboard/server/test_streamlit_internals.py`` compares
each with the installed version, so that an upgrade says which one changed.

=====================  ============================================================================
what                   what is relied on
=====================  ============================================================================
cookie of a reader     `streamlit.auth_util.get_cookie_with_chunks` joins a long cookie's parts;
                       `starlette_app_utils.decode_signed_value` gives None where the signature is
                       not by `cookie_secret`; the cookie's name is `COOKIE` and its value a JSON
                       object of the provider's claims with ``is_logged_in``
hosts                  `starlette_websocket.is_host_allowed` compares with ``server.allowedHosts``
settings               `streamlit.config.is_manually_set` tells a default from a choice
addresses              ``/_stcore/health`` answers ``ok``; pages talk over ``/_stcore/stream``;
                       ``/_stcore/upload_file`` takes files in; ``/media`` and ``/component`` hand
                       files to whoever knows their address
keys of ``[auth]``     those in `dashboard.server.sign_in`, which reads the same files
messages               `streamlit.proto`: one asks for a page as the browser's back button does
                       (``rerun_script``), others answer, ``script_finished`` last
browser's history      a widget bound to the address calls ``history.replaceState`` and then reads
                       ``location`` anew; a ``popstate`` makes it read the address again
elements of a page     `ELEMENTS`: values of ``data-testid`` that Bystander's styles select
=====================  ============================================================================

Streamlit is imported where a function needs it, since the command that starts a server does not.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from json import JSONDecodeError, loads
from typing import Any

VERSION = "1.67.0"

COOKIE = "_streamlit_user"
"""Name of the signed cookie that says who reads."""

CORE = "_stcore"
"""First part of the addresses that are Streamlit's own."""

HEALTH, HOST_CONFIG, STREAM, UPLOAD = "health", "host-config", "stream", "upload_file"
"""Second parts, below `CORE`."""

FILES = ("media", "component")
"""First parts of the addresses below which files are handed out."""

SUBPROTOCOL = "streamlit"
"""What a websocket at `STREAM` says it speaks."""

ELEMENTS = (
    "stCaptionContainer",
    "stExpandSidebarButton",
    "stHeader",
    "stMainBlockContainer",
    "stMarkdownContainer",
    "stSidebar",
)
"""Values of ``data-testid`` in the pages."""

STEPS_OF_HISTORY = """
<script>
if (!window.bystanderHistory) {
  window.bystanderHistory = true;
  const replace = history.replaceState.bind(history);
  history.replaceState = (state, title, address) => {
    const next = new URL(address ?? location.href, location.href);
    const chosen = navigator.userActivation?.isActive && next.search !== location.search;
    if (chosen && next.pathname === location.pathname) history.pushState(state, title, address);
    else replace(state, title, address);
  };
}
</script>
"""
"""Streamlit replaces the address when a widget in it changes, so the browser's back button would
leave the page. A change that the reader made becomes a step of its own; Streamlit follows it back.
"""


def reader_of(cookies: Mapping[str, str], secret: str) -> Mapping[str, Any]:
    """Return the claims in a reader's signed cookie.

    Parameters
    ----------
    cookies
        Values of a request's cookies by name.
    secret
        ``cookie_secret`` of ``[auth]``; nobody is recognized where it is empty.

    Returns
    -------
    mapping
        Claims of the identity provider, and ``is_logged_in``; empty where there is no cookie or
        it was not signed with `secret`.
    """
    if not secret:
        return {}

    from streamlit.auth_util import get_cookie_with_chunks
    from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value

    def one(name: str) -> bytes | None:
        signed = cookies.get(name)
        return decode_signed_value(secret, name, signed.encode("latin-1")) if signed else None

    found = get_cookie_with_chunks(one, COOKIE)
    try:
        user = loads(found) if found else {}
    except (JSONDecodeError, UnicodeDecodeError):
        return {}
    return user if isinstance(user, dict) else {}


def is_host_allowed(host: str | None) -> bool:
    """Whether a request's ``Host`` is among ``server.allowedHosts``; True where these are empty.

    Streamlit itself asks so for websockets only.
    """
    from streamlit.web.server.starlette import starlette_websocket

    return starlette_websocket.is_host_allowed(host)


def is_chosen(option: str) -> bool:
    """Whether someone set an option of Streamlit, such as ``secrets.files``; False by default."""
    from streamlit import config

    return bool(config.is_manually_set(option))


def request_page(address: str, page: str, page_hash: str, query: str, *, dark: bool) -> bytes:
    """Write the message that asks for a page, as when a reader follows the browser's history.

    Parameters
    ----------
    address
        Of the dashboard: ``http://HOST:PORT``.
    page
        Name of the page in the address; empty for the first.
    page_hash
        What `Message.pages` gave for it; empty before the first page was seen.
    query
        What the address holds after the question mark.
    dark
        Whether the reader's pages are dark.

    Returns
    -------
    bytes
        To be sent over the websocket.
    """
    from streamlit.proto.BackMsg_pb2 import BackMsg

    message = BackMsg()
    state = message.rerun_script
    state.query_string = query
    if page_hash:
        state.page_script_hash = page_hash
    else:
        state.page_name = page
    state.is_history_navigation = True
    state.context_info.timezone = "UTC"
    state.context_info.locale = "en"
    state.context_info.url = f"{address}/{page}?{query}"
    state.context_info.color_scheme = "dark" if dark else "light"
    return bytes(message.SerializeToString())


@dataclass(frozen=True)
class Message:
    """What a message of the server says.

    Parameters
    ----------
    kind
        ``"script_finished"``, ``"navigation"``, ``"page_not_found"``, ``"delta"`` (an element of
        the page) or another of Streamlit's names.
    finished
        Whether the page is whole and no further message follows.
    succeeded
        Whether it became whole without an error.
    pages
        Hash of every page by its name in the address; of a ``navigation`` only.
    element
        Kind of the element, such as ``"plotly_chart"``; of a ``delta`` only.
    error
        Text of an exception or an error on the page; empty for none.
    alert
        Text of any other box on the page, such as a warning; empty for none.
    """

    kind: str
    finished: bool = False
    succeeded: bool = False
    pages: Mapping[str, str] = field(default_factory=dict)
    element: str = ""
    error: str = ""
    alert: str = ""


def read_message(content: bytes) -> Message:
    """Read one message that the server sent over the websocket."""
    from streamlit.proto.Alert_pb2 import Alert
    from streamlit.proto.ForwardMsg_pb2 import ForwardMsg

    message = ForwardMsg.FromString(content)
    kind = message.WhichOneof("type") or ""
    if kind == "script_finished":
        outcome = message.script_finished
        return Message(
            kind,
            finished=outcome != ForwardMsg.FINISHED_EARLY_FOR_RERUN,
            succeeded=outcome == ForwardMsg.FINISHED_SUCCESSFULLY,
        )
    if kind == "navigation":
        pages = {
            "" if page.is_default else page.url_pathname: page.page_script_hash
            for page in message.navigation.app_pages
        }
        return Message(kind, pages=pages)
    if kind != "delta":
        return Message(kind)
    element = message.delta.new_element
    shown = element.WhichOneof("type") or ""
    if shown == "exception":
        said = f"{element.exception.type}: {element.exception.message}"
        return Message(kind, element=shown, error=said)
    if shown == "alert" and element.alert.format == Alert.ERROR:
        return Message(kind, element=shown, error=element.alert.body)
    return Message(kind, element=shown, alert=element.alert.body if shown == "alert" else "")
