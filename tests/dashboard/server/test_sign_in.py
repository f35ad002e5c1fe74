"""Sign-in with a real OpenID Connect exchange, in a browser, below a base path."""

import http.client
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from dashboard.server.launch import launch
from tests.dashboard.browsing import has_no_failure, settle
from tests.dashboard.opening import free_port

pytestmark = [pytest.mark.browser, pytest.mark.long]

SECRETS = """
[auth]
redirect_uri = "{public}/oauth2callback"
cookie_secret = "a secret of this test"
client_id = "bystander"
client_secret = "hidden"
server_metadata_url = "{provider}/.well-known/openid-configuration"

[access]
emails = ["*@lab.org"]
"""


def status(url: str) -> int:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    connection.request("GET", parts.path)
    return connection.getresponse().status


@pytest.mark.parametrize("mail", ["ada@lab.org", "eve@elsewhere.org"])
def test_files_and_pages_are_for_those_on_the_list(
    browser: Any, run_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mail: str
) -> None:
    pytest.importorskip("authlib")
    from tests.dashboard.identity import provider

    port = free_port()
    public = f"http://127.0.0.1:{port}/lab"
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".streamlit").mkdir()
    with provider(mail) as identity:
        secrets = SECRETS.format(public=public, provider=identity.address)
        (tmp_path / ".streamlit" / "secrets.toml").write_text(secrets)
        server = launch([run_path], port=port, open_browser=False, wait=False, public=public)
        try:
            window = browser.new_context()
            page = window.new_page()
            page.goto(f"{public}/")
            button = page.get_by_role("button", name="Sign in")
            button.wait_for()
            assert page.get_by_test_id("stPlotlyChart").count() == 0
            assert "synthetic" not in page.content()
            button.click()
            page.get_by_role("button", name="Sign out").first.wait_for()
            settle(page)
            has_no_failure(page)
            if mail.endswith("@lab.org"):
                _files_are_guarded(page, public)
            else:
                assert page.get_by_text("list of readers").count() == 1
                assert page.get_by_test_id("stPlotlyChart").count() == 0
            window.close()
        finally:
            server.stop()


def _files_are_guarded(page: Any, public: str) -> None:
    page.get_by_role("button", name="Download").first.click()
    with page.expect_download() as waiting:
        page.get_by_role("button", name="SVG").click()
    found = waiting.value
    assert "/lab/media/" in found.url
    assert b"<svg" in Path(found.path()).read_bytes()[:2000]
    assert page.context.request.get(found.url).status == 200
    assert status(found.url) == 403
