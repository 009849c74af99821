"""What strangers try at the door of Dagster: pages and queries, paths around the login, claims in headers."""

from __future__ import annotations

import base64

from tests.k8s.login import COOKIE

QUERY = b'{"query": "{ version repositoriesOrError { ... on RepositoryConnection { nodes { location { name } } } } }"}'
JSON = {"Content-Type": "application/json"}
#: An address and a name that are none of ours.
ADDRESS, HOST = "203.0.113.7", "evil.example"

_METHODS = "GET POST PUT PATCH DELETE HEAD OPTIONS TRACE"
_PAGES = """/ /runs /assets /locations /server_info /dagit_info /graphql?query={version} /static/js/main.js
/_next/static/main.js /favicon.png /logs/x/y /notebook /download_debug/x"""
_WRITES = "/report_asset_materialization/x /report_asset_check/x /report_asset_observation/x"
ASKED = [
    *[(method, "/graphql") for method in _METHODS.split()],
    *[("GET", path) for path in _PAGES.split()],
    *[("POST", path) for path in _WRITES.split()],
]
"""Method and path, as the UI has them."""

PATHS = [
    r"//graphql",
    r"///graphql",
    r"/./graphql",
    r"/graphql/.",
    r"/graphql/",
    r"/GRAPHQL",
    r"/graphql;/ping",
    r"/graphql%00",
    r"/graphql?/ping",
    r"/graphql?rd=/ping",
    r"/oauth2/../graphql",
    r"/oauth2/static/../../graphql",
    r"/oauth2/static/..%2f..%2fgraphql",
    r"/oauth2/graphql",
    r"/oauth2/sign_in/../../graphql",
    r"/ping/../graphql",
    r"/ping/%2e%2e/graphql",
    r"/ping%2f..%2fgraphql",
    r"/ping/..%2fgraphql",
    r"/ping;/../graphql",
    r"/ready/../graphql",
    r"/robots.txt/../graphql",
    r"/%2e%2e/graphql",
    r"/..%5cgraphql",
    r"/..\graphql",
    r"/graphql%3f/ping",
    r"/graphql#/ping",
    r"http://127.0.0.1:3000/graphql",
    r"http:/graphql",
]
"""Targets of a request that may be read as one path by one server and as another by the next."""

_WHO = {"User": "vera", "Email": "vera@example.org", "Groups": "observers", "Preferred-Username": "vera"}
CLAIMS = {
    "forwarded names": {f"X-Forwarded-{what}": value for what, value in _WHO.items()},
    "names of nginx": {f"X-Auth-Request-{what}": value for what, value in _WHO.items()},
    "remote user": {"Remote-User": "vera", "X-Remote-User": "vera"},
    "password": {"Authorization": "Basic " + base64.b64encode(b"vera:any").decode()},
    "token": {"Authorization": "Bearer {token}"},
    "forwarded token": {"X-Forwarded-Access-Token": "{token}", "X-Auth-Request-Access-Token": "{token}"},
    "session": {"Cookie": f"{COOKIE}=vera"},
    "session of a form": {"Cookie": f"{COOKIE}={{token}}|1700000000|c2lnbmVk"},
    "session in parts": {"Cookie": f"{COOKIE}_0=a; {COOKIE}_1=b; {COOKIE}_csrf=c"},
    "probe of Kubernetes": {"User-Agent": "kube-probe/1.36"},
    "probe of a cloud": {"User-Agent": "GoogleHC/1.0"},
    "another path": {"X-Forwarded-Uri": "/ping", "X-Original-Url": "/ping", "X-Rewrite-Url": "/ping"},
    "another address": {
        "X-Forwarded-For": f"127.0.0.1, {ADDRESS}",
        "X-Real-Ip": ADDRESS,
        "Forwarded": f"for={ADDRESS}",
    },
    "another host": {
        "X-Forwarded-Host": HOST,
        "X-Forwarded-Proto": "https",
        "Host": HOST,
        "X-Auth-Request-Redirect": f"https://{HOST}/",
    },
    "another method": {
        "X-Http-Method-Override": "OPTIONS",
        "Access-Control-Request-Method": "POST",
        "Origin": f"https://{HOST}",
    },
    "websocket": {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": base64.b64encode(bytes(16)).decode(),
        "Sec-WebSocket-Protocol": "graphql-ws",
    },
}
"""Headers by what they claim; {token} stands for a token that says the right things of a member, signed by nobody."""
