"""An OpenID Connect provider of the kind that GCN has: client credentials in, signed tokens of a chosen lifetime out.

Keys at `jwks_url` for the broker, tokens at `token_url` for clients; both in plain HTTP on the loopback interface.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa

CLIENT, SECRET = "test-client", "test-client-secret"


@dataclass
class OidcProvider:
    """The provider; as a context manager it serves on a free port."""

    lifetime_s: float = 3600.0
    """Seconds that a token is good for."""
    broken: bool = False
    """While true, no token is given (503)."""
    issued: list[float] = field(default_factory=list)
    """When tokens were given, Unix seconds."""

    def __enter__(self) -> OidcProvider:
        self._key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                provider._answer(self, 200, provider._jwks())

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
                provider._answer(self, *provider._token(self.headers.get("Authorization", ""), parse_qs(body)))

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        origin = f"http://127.0.0.1:{self._server.server_address[1]}"
        self.issuer, self.jwks_url, self.token_url = origin, f"{origin}/jwks", f"{origin}/oauth2/token"
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def _jwks(self) -> dict[str, Any]:
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self._key.public_key()))
        return {"keys": [{**public, "kid": "one", "alg": "RS256", "use": "sig"}]}

    def _token(self, authorization: str, form: dict[str, list[str]]) -> tuple[int, dict[str, Any]]:
        if self.broken:
            return 503, {"error": "temporarily_unavailable"}
        if authorization.startswith("Basic "):
            given = base64.b64decode(authorization.removeprefix("Basic ")).decode()
        else:
            given = f"{form.get('client_id', [''])[0]}:{form.get('client_secret', [''])[0]}"
        if given != f"{CLIENT}:{SECRET}" or form.get("grant_type") != ["client_credentials"]:
            return 401, {"error": "invalid_client"}
        now = time.time()
        self.issued.append(now)
        claims = {"iss": self.issuer, "sub": CLIENT, "aud": "kafka", "iat": int(now), "exp": int(now + self.lifetime_s)}
        token = jwt.encode(claims, self._key, algorithm="RS256", headers={"kid": "one"})
        return 200, {"access_token": token, "token_type": "Bearer", "expires_in": int(self.lifetime_s)}

    @staticmethod
    def _answer(handler: BaseHTTPRequestHandler, status: int, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)
