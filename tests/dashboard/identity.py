"""Who reads, for tests: a small OpenID Connect provider, and cookies as Streamlit signs them."""

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from dashboard.server.streamlit_internals import COOKIE

CLIENT = "bystander"


def signed(user: dict[str, Any], secret: str) -> str:
    """Return the value of the cookie that Streamlit gives to a reader who has signed in."""
    from streamlit.web.server.starlette.starlette_app_utils import create_signed_value

    return create_signed_value(secret, COOKIE, json.dumps(user)).decode()


class Provider(ThreadingHTTPServer):
    """Listens on a free port; `mail` is who signs in."""

    def __init__(self, mail: str) -> None:
        from joserfc import jwk

        super().__init__(("127.0.0.1", 0), Answer)
        self.mail = mail
        self.key = jwk.RSAKey.generate_key(2048, parameters={"kid": "test", "use": "sig"})
        self.nonces: dict[str, str] = {}

    @property
    def address(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.server_port}"


class Answer(BaseHTTPRequestHandler):
    """The four addresses that a sign-in needs."""

    server: Provider

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
        base = self.server.address
        if parts.path == "/.well-known/openid-configuration":
            self.send(
                {
                    "issuer": base,
                    "authorization_endpoint": f"{base}/authorize",
                    "token_endpoint": f"{base}/token",
                    "jwks_uri": f"{base}/keys",
                    "response_types_supported": ["code"],
                    "subject_types_supported": ["public"],
                    "id_token_signing_alg_values_supported": ["RS256"],
                }
            )
        elif parts.path == "/keys":
            self.send({"keys": [self.server.key.as_dict(private=False)]})
        elif parts.path == "/authorize":
            self.server.nonces["code"] = asked.get("nonce", "")
            back = urlencode({"code": "code", "state": asked["state"]})
            self.send_response(302)
            self.send_header("Location", f"{asked['redirect_uri']}?{back}")
            self.end_headers()
        else:
            self.send_error(404)

    def do_POST(self) -> None:
        from joserfc import jwt

        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        now = int(time.time())
        claims = {
            "iss": self.server.address,
            "aud": CLIENT,
            "sub": "1",
            "iat": now,
            "exp": now + 600,
            "email": self.server.mail,
            "nonce": self.server.nonces["code"],
        }
        token = jwt.encode({"alg": "RS256", "kid": "test"}, claims, self.server.key)
        self.send({"access_token": "a", "token_type": "Bearer", "id_token": token})

    def send(self, content: Any) -> None:
        """Answer with JSON."""
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *parts: object) -> None:
        """Say nothing."""


@contextmanager
def provider(mail: str) -> Iterator[Provider]:
    """Run a provider in a thread."""
    server = Provider(mail)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
