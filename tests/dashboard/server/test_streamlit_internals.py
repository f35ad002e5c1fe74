"""What Bystander uses of Streamlit beyond its documentation, held against what is installed."""

import ast
import inspect
import random
import re
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import pytest
import streamlit
from streamlit import auth_util, config
from streamlit.proto.Alert_pb2 import Alert
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.web.server.starlette import (
    starlette_app_utils,
    starlette_routes,
    starlette_server_config,
    starlette_websocket,
)

from dashboard.server import sign_in
from dashboard.server.streamlit_internals import (
    COOKIE,
    CORE,
    ELEMENTS,
    FILES,
    HEALTH,
    HOST_CONFIG,
    STREAM,
    SUBPROTOCOL,
    UPLOAD,
    VERSION,
    Message,
    is_chosen,
    is_host_allowed,
    read_message,
    reader_of,
    request_page,
)
from tests.dashboard.identity import signed

ROOT = Path(__file__).resolve().parents[3]
SECRET = "a secret of this test"
READER = {"is_logged_in": True, "email": "ada@lab.org", "origin": "http://localhost"}
PRIVATE = re.compile(r"_stcore|_streamlit_user|replaceState|is_manually_set")
"""What only `streamlit_internals` may write, apart from imports."""


@cache
def modules(package: str) -> dict[Path, ast.Module]:
    """Return the code of a package by file, without docstrings and comments."""

    class Code(ast.NodeTransformer):
        def visit_Expr(self, node: ast.Expr) -> ast.Expr | ast.Pass:
            text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
            return ast.Pass() if text else node

    files = (ROOT / package).rglob("*.py")
    return {
        path.relative_to(ROOT): Code().visit(ast.parse(path.read_text("utf-8"))) for path in files
    }


def importers(package: str) -> set[Path]:
    """Return the files that import a module of Streamlit, but for its documented test runner."""

    def private(node: ast.AST) -> bool:
        names = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        return any(
            name.startswith("streamlit.") and not name.startswith("streamlit.testing.v1")
            for name in names
        )

    return {path for path, tree in modules(package).items() if any(map(private, ast.walk(tree)))}


@pytest.fixture(scope="module")
def pages() -> str:
    """The code that Streamlit sends to browsers."""
    folder = Path(streamlit.__file__).parent / "static" / "static" / "js"
    return "\n".join(path.read_text("utf-8") for path in sorted(folder.glob("*.js")))


def test_the_version_is_the_pinned_one():
    pinned = re.search(r"(?m)^streamlit==(.+)$", (ROOT / "constraints.txt").read_text("utf-8"))
    assert pinned is not None
    assert pinned[1] == VERSION, "look through streamlit_internals, then set its VERSION"


def test_nobody_else_uses_private_parts():
    mine = Path(__file__).resolve().relative_to(ROOT)
    owner = Path("dashboard/server/streamlit_internals.py")
    assert importers("dashboard") == {owner}
    assert importers("tests") == {mine, Path("tests/dashboard/identity.py")}
    code = {path: ast.unparse(tree) for path, tree in modules("dashboard").items()}
    assert {path for path, text in code.items() if PRIVATE.search(text)} == {owner}


def test_functions_take_what_they_are_given():
    inspect.signature(auth_util.get_cookie_with_chunks).bind(lambda name: None, COOKIE)
    inspect.signature(starlette_app_utils.decode_signed_value).bind(SECRET, COOKIE, b"")
    inspect.signature(config.is_manually_set).bind("secrets.files")


def test_a_cookie_says_who_reads():
    assert starlette_server_config.USER_COOKIE_NAME == COOKIE
    good = signed(READER, SECRET)
    assert reader_of({COOKIE: good}, SECRET) == READER
    assert reader_of({COOKIE: good}, "") == {}
    assert reader_of({COOKIE: good}, "another secret") == {}
    assert reader_of({COOKIE: f"{good[:-3]}abc"}, SECRET) == {}
    assert reader_of({"another": good}, SECRET) == {}
    assert reader_of({}, SECRET) == {}
    for text in ("[1]", "not JSON"):
        value = starlette_app_utils.create_signed_value(SECRET, COOKIE, text).decode()
        assert reader_of({COOKIE: value}, SECRET) == {}


def test_a_long_cookie_comes_in_parts():
    user = READER | {"name": random.Random(0).randbytes(5000).hex()}  # signing compresses
    parts: dict[str, str] = {}

    def sign(name: str, value: str) -> bytes:
        return starlette_app_utils.create_signed_value(SECRET, name, value)

    def keep(name: str, value: str) -> None:
        parts[name] = sign(name, value).decode()

    auth_util.set_cookie_with_chunks(keep, sign, COOKIE, user, cookie_attr_size=100)
    assert len(parts) > 2
    assert reader_of(parts, SECRET) == user
    del parts[f"{COOKIE}_2"]
    assert reader_of(parts, SECRET) == {}


def test_hosts_that_were_named(monkeypatch):
    assert is_host_allowed("evil.example")
    monkeypatch.setattr(config, "get_option", {"server.allowedHosts": ["lab.org", "::1"]}.get)
    assert all(map(is_host_allowed, ("lab.org", "LAB.org:8501", "[::1]:80")))
    for host in (None, "", "evil.example", "lab.org.evil.example", "a@lab.org", "lab.org; b"):
        assert not is_host_allowed(host)


def test_a_default_is_told_from_a_choice(monkeypatch):
    assert not is_chosen("secrets.files")
    option = config.get_config_options()["secrets.files"]
    monkeypatch.setattr(option, "where_defined", "environment variable")
    assert is_chosen("secrets.files")


def test_addresses():
    assert starlette_routes.BASE_ROUTE_CORE == CORE
    assert f"{CORE}/{HEALTH}" == starlette_routes.ROUTE_HEALTH
    assert f"{CORE}/{HOST_CONFIG}" == starlette_routes.ROUTE_HOST_CONFIG
    assert f"{CORE}/{UPLOAD}" == starlette_routes.BASE_ROUTE_UPLOAD_FILE
    assert f"{CORE}/{STREAM}" == starlette_websocket._ROUTE_WEBSOCKET_STREAM
    assert (starlette_routes.BASE_ROUTE_MEDIA, starlette_routes.BASE_ROUTE_COMPONENT) == FILES


def test_keys_of_sign_in(monkeypatch):
    """Streamlit refuses `[auth]` without any of the keys that `sign_in` needs, and takes those."""
    keys = dict.fromkeys(("redirect_uri", "cookie_secret", *sign_in.CLIENT), "x")
    held: dict[str, dict[str, str]] = {}
    secrets = SimpleNamespace(load_if_toml_exists=lambda: True, get=held.get)
    monkeypatch.setattr(auth_util, "secrets_singleton", secrets)
    held["auth"] = keys
    auth_util.validate_auth_credentials("default")
    for left_out in keys:
        held["auth"] = {key: value for key, value in keys.items() if key != left_out}
        with pytest.raises(auth_util.StreamlitAuthError, match=left_out):
            auth_util.validate_auth_credentials("default")


def test_keys_of_a_provider():
    registry = pytest.importorskip("authlib.integrations.base_client.registry")
    assert set(sign_in.PROVIDER) == {*registry.OAUTH_CLIENT_PARAMS, "expose_tokens"}


def test_a_page_is_asked_for():
    message = BackMsg.FromString(
        request_page("http://127.0.0.1:8501", "crops", "", "cell=3", dark=True)
    )
    state = message.rerun_script
    assert (state.page_name, state.page_script_hash, state.query_string) == ("crops", "", "cell=3")
    assert state.is_history_navigation
    assert state.context_info.url == "http://127.0.0.1:8501/crops?cell=3"
    assert state.context_info.color_scheme == "dark"
    again = BackMsg.FromString(request_page("http://127.0.0.1:8501", "crops", "a1", "", dark=False))
    assert (again.rerun_script.page_name, again.rerun_script.page_script_hash) == ("", "a1")


def test_messages_are_read():
    ends = {
        ForwardMsg.FINISHED_SUCCESSFULLY: Message("script_finished", finished=True, succeeded=True),
        ForwardMsg.FINISHED_EARLY_FOR_RERUN: Message("script_finished"),
        ForwardMsg.FINISHED_WITH_COMPILE_ERROR: Message("script_finished", finished=True),
    }
    for outcome, expected in ends.items():
        assert read_message(ForwardMsg(script_finished=outcome).SerializeToString()) == expected
    message = ForwardMsg()
    for name, first in (("overview", True), ("crops", False)):
        message.navigation.app_pages.add(
            page_script_hash=f"hash of {name}", url_pathname=name, is_default=first
        )
    found = read_message(message.SerializeToString())
    assert found.pages == {"": "hash of overview", "crops": "hash of crops"}
    message = ForwardMsg()
    message.delta.new_element.plotly_chart.id = "chart"
    assert read_message(message.SerializeToString()) == Message("delta", element="plotly_chart")
    message.delta.new_element.alert.body = "Broken."
    assert read_message(message.SerializeToString()).alert == "Broken."
    message.delta.new_element.alert.format = Alert.ERROR
    assert read_message(message.SerializeToString()).error == "Broken."
    message.delta.new_element.exception.type = "ValueError"
    message.delta.new_element.exception.message = "no"
    assert read_message(message.SerializeToString()).error == "ValueError: no"


def test_pages_speak_the_same_protocol(pages):
    assert re.search(rf"[`'\"]{SUBPROTOCOL}[`'\"]", pages)
    assert f"{CORE}/{STREAM}" in pages


def test_a_widget_replaces_the_address_and_then_reads_it(pages):
    assert re.search(r"history\.replaceState\([^;]{,60}\),this\.notifyQueryParamsChange\(\)", pages)
    assert re.search(r"addEventListener\([`'\"]popstate[`'\"]", pages)


def test_elements_that_styles_select_are_in_pages(pages):
    selected = set()
    for tree in modules("dashboard").values():
        selected |= set(re.findall(r"data-testid=.?\"(\w+)", ast.unparse(tree)))
    assert selected == set(ELEMENTS)
    for name in ELEMENTS:
        assert re.search(rf"[`'\"]{name}[`'\"]", pages), name
