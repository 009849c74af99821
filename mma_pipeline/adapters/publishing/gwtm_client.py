"""HTTP client of the GWTM v1 API: one method per endpoint that we use, without decisions.

Contract: recorded steps of the real server (TheTreasureMap/gwtm). The token goes into the header `api_token` and
nowhere else. Every request has a timeout; none is repeated here, because repeating a post without a query first
doubles rows. Raises `CredentialsError`, `ConfigurationError`, `PermanentError`, `TransientError` or `UncertainError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.errors import (
    ConfigurationError,
    NotFoundError,
    PermanentError,
    TransientError,
    UncertainError,
)
from mma_pipeline.adapters.http import client, refusal, timeouts, transport_error

if TYPE_CHECKING:
    import httpx

_WHO = "GWTM"
_LIST_ID = re.compile(r"List ID: (\d+)")


class GwtmClient:
    """The API below one base address.

    Args:
        base: address that ends in `/api/v1/`.
        token: an administrator's API token.
        timeout_s: seconds that the server may take to answer a query; connecting gets a third of it, at most 10 s.
        post_timeout_s: seconds that it may take to answer a request that changes something; by default twice `timeout_s`.
        transport: for tests.
    """

    def __init__(
        self,
        base: str,
        token: str,
        *,
        timeout_s: float = 30.0,
        post_timeout_s: float | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        if not base.startswith(("http://", "https://")):
            raise ConfigurationError("API_BASE must be an http or https address that ends in /api/v1/")
        if not token or not token.isascii() or not token.isprintable():
            raise ConfigurationError("API_TOKEN is empty or holds characters that no header can carry")
        self._token = token
        self._look_s = timeout_s
        self._change_s = 2 * timeout_s if post_timeout_s is None else post_timeout_s
        self._http = client(
            base=base if base.endswith("/") else f"{base}/", headers={"api_token": token}, transport=transport
        )

    def __repr__(self) -> str:
        return f"GwtmClient({str(self._http.base_url)!r})"

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def alerts(self, graceid: str) -> list[dict[str, Any]]:
        """All rows of an event, oldest first: the order in which the site numbers them."""
        rows = self._request("GET", "query_alerts", params={"graceid": graceid})
        if not isinstance(rows, list) or not all(isinstance(r, dict) and r.get("graceid") == graceid for r in rows):
            raise PermanentError(f"{_WHO} answered query_alerts with something other than rows of {graceid}")
        return sorted(rows, key=lambda row: (str(row.get("datecreated")), int(row.get("id") or 0)))

    def post_alert(self, fields: Mapping[str, Any]) -> dict[str, Any]:
        """Insert a row, even if it exists; returns it as stored, with its `id`."""
        row = self._request("POST", "post_alert", json=dict(fields))
        if not isinstance(row, dict) or not isinstance(row.get("id"), int):
            raise UncertainError(f"{_WHO} answered post_alert without the stored row", settled=True)
        return row

    def may_post(self) -> bool:
        """Whether the token is an administrator's; nothing is stored, because the body lacks all required values.

        The site checks the rights first (403), then the body (400): recorded steps 008 and 026. Raises
        CredentialsError for a token that it does not know.
        """
        answer = self._answer("POST", "post_alert", json={})
        if answer.status_code in {400, 403}:
            return answer.status_code == 400
        failure = refusal(answer, f"{_WHO} post_alert", (self._token,), changes=True)
        raise failure or PermanentError(
            f"{_WHO} accepted a post_alert that contains no value: is API_BASE its address?"
        )

    def galaxies(self, graceid: str, groupname: str) -> dict[int, list[dict[str, Any]]]:
        """Entries of each list of a group for an event, by list id; the API does not show empty lists."""
        entries = self._request("GET", "event_galaxies", params={"graceid": graceid, "groupname": groupname})
        if not isinstance(entries, list):
            raise PermanentError(f"{_WHO} answered event_galaxies with something other than a list")
        lists: dict[int, list[dict[str, Any]]] = {}
        for entry in entries:
            lists.setdefault(int(entry["listid"]), []).append(entry)
        return lists

    def post_galaxies(self, body: Mapping[str, Any]) -> int:
        """Add a list; returns its id, which the server gives only in the text of its message."""
        answer = self._request("POST", "event_galaxies", json=dict(body))
        found = _LIST_ID.search(str(answer.get("message"))) if isinstance(answer, dict) else None
        if found is None:
            raise UncertainError(f"{_WHO} answered event_galaxies without the id of the list")
        return int(found[1])

    def remove_galaxies(self, listid: int) -> bool:
        """Remove a list of ours; False if it no longer exists."""
        try:
            self._request("DELETE", "remove_event_galaxies", params={"listid": str(listid)})
        except NotFoundError:
            return False
        return True

    def pointings(self, graceid: str) -> list[dict[str, Any]]:
        """Pointings of an event, each once, by ascending id."""
        rows = self._request("GET", "pointings", params={"graceid": graceid})
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise PermanentError(f"{_WHO} answered pointings with something other than rows")
        by_id = {int(row["id"]): row for row in rows if isinstance(row.get("id"), int)}
        return [by_id[number] for number in sorted(by_id)]

    def post_pointing(self, graceid: str, fields: Mapping[str, Any]) -> int:
        """Add a pointing, even if it exists, or complete the planned one whose `id` the fields have; returns its id.

        The site answers 200 to what it refuses, with the reasons: PermanentError.
        """
        answer = self._request("POST", "pointings", json={"graceid": graceid, "pointing": dict(fields)})
        found = answer if isinstance(answer, dict) else {}
        if found.get("ERRORS"):
            raise PermanentError(f"{_WHO} refused the pointing: {str(found['ERRORS'])[:300]}")
        ids = found.get("pointing_ids")
        if not isinstance(ids, list) or len(ids) != 1:
            raise UncertainError(f"{_WHO} answered pointings without the id", settled=True)
        return int(ids[0])

    def cancel_pointings(self, ids: Sequence[int]) -> None:
        """Cancel planned pointings of ours; the site leaves out all others without a word."""
        self._request("POST", "update_pointings", json={"status": "cancelled", "ids": list(ids)})

    def candidates(self, graceid: str) -> list[dict[str, Any]]:
        """Candidates of an event, whoever posted them, by ascending id."""
        rows = self._request("GET", "candidate", params={"graceid": graceid})
        if not isinstance(rows, list) or not all(isinstance(r, dict) and isinstance(r.get("id"), int) for r in rows):
            raise PermanentError(f"{_WHO} answered candidate with something other than rows")
        return sorted(rows, key=lambda row: int(row["id"]))

    def post_candidate(self, graceid: str, fields: Mapping[str, Any]) -> int:
        """Add a candidate, even if it exists; returns its id. The site answers 200 to what it refuses: PermanentError."""
        answer = self._request("POST", "candidate", json={"graceid": graceid, "candidate": dict(fields)})
        found = answer if isinstance(answer, dict) else {}
        if found.get("ERRORS"):
            raise PermanentError(f"{_WHO} refused the candidate: {str(found['ERRORS'])[:300]}")
        ids = found.get("candidate_ids")
        if not isinstance(ids, list) or len(ids) != 1:
            raise UncertainError(f"{_WHO} answered candidate without the id", settled=True)
        return int(ids[0])

    def remove_candidates(self, ids: Sequence[int]) -> list[int]:
        """Remove those of the given candidates that are ours; returns their ids."""
        if not ids:
            return []
        answer = self._request("DELETE", "candidate", json={"ids": list(ids)})
        found = answer.get("deleted_ids") if isinstance(answer, dict) else None
        return [int(one) for one in found or ()]

    def post_icecube(self, body: Mapping[str, Any]) -> dict[str, Any]:
        """Store a neutrino notice; the server ignores a reference that it knows."""
        answer = self._request("POST", "post_icecube_notice", json=dict(body))
        if not isinstance(answer, dict) or not isinstance(answer.get("icecube_notice"), dict):
            raise UncertainError(f"{_WHO} answered post_icecube_notice without a notice")
        return answer

    def delete_test_alerts(self) -> str:
        """Remove the site's test alerts and their files, whoever posted them. Returns the server's answer.

        It keeps MS181101ab, and mocks whose id has the date of its yesterday, today or tomorrow. Galaxy lists stay.
        """
        answer = self._request("POST", "del_test_alerts", json={})
        return str(answer.get("message")) if isinstance(answer, dict) else ""

    def _answer(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        json: Mapping[str, Any] | Sequence[Any] | None = None,
    ) -> httpx.Response:
        import httpx

        try:
            seconds = self._look_s if method == "GET" else self._change_s
            return self._http.request(method, path, params=params, json=json, timeout=timeouts(seconds))
        except httpx.TransportError as error:
            # The library's own text may repeat the address but never the headers.
            raise transport_error(error, f"{_WHO} {path}", changes=method != "GET") from error

    def _request(self, method: str, path: str, **content: Any) -> Any:
        answer = self._answer(method, path, **content)
        failure = refusal(answer, f"{_WHO} {path}", (self._token,), changes=method != "GET")
        if failure is not None:
            raise failure
        try:
            return answer.json()
        except ValueError as error:
            text = f"{_WHO} {path} answered {answer.status_code} with something that is not JSON"
            raise (TransientError(text) if method == "GET" else UncertainError(text, settled=True)) from error
