"""A stand-in for the GWTM v1 server: what the recorded contract shows, in memory, with faults on request.

`GwtmStandIn()` as a context manager serves on a free port; `.alerts`, `.lists`, `.notices` are what is stored, with
`.instruments`, `.pointings` and `.candidates` in modules of their own.
`.fail(...)` makes the next requests go wrong the way real servers do, and `.locked` holds the paths whose requests wait,
for a lock of the database, and are carried out when it goes, whether or not anybody still listens.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Literal

import uvicorn
from dateutil.parser import parse as parse_date
from pydantic import Field
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.services import gwtm_files as files
from tests.services.gwtm_candidates import Candidates
from tests.services.gwtm_instruments import Instruments
from tests.services.gwtm_pointings import Pointings
from tests.services.gwtm_schemas import (
    LENGTHS,
    NO_TOKEN,
    Alert,
    GalaxyList,
    NoticeBody,
    Refusal,
    body_of,
    checked,
    invalid,
    to_utc,
    user_of,
)


def _plain(row: dict[str, Any]) -> dict[str, Any]:
    def one(value: Any) -> Any:
        if isinstance(value, datetime):
            return value.isoformat()
        return None if isinstance(value, float) and value != value else value

    return {k: one(v) for k, v in row.items()}


FaultKind = Literal["500", "500 after", "slow after", "slow before", "truncated", "html", "401", "307", "409", "400"]


@dataclass
class _Fault:
    path: str
    kind: FaultKind
    seconds: float


@dataclass
class GwtmStandIn:
    """The server; all state is readable from the test's thread."""

    alerts: list[dict[str, Any]] = field(default_factory=list)
    lists: list[dict[str, Any]] = field(default_factory=list)
    notices: list[dict[str, Any]] = field(default_factory=list)
    requests: Counter[str] = field(default_factory=Counter)
    locked: frozenset[str] = frozenset()
    _faults: list[_Fault] = field(default_factory=list)
    _entries: int = 0
    _events: int = 0

    def __post_init__(self) -> None:
        self.instruments = Instruments()
        self.pointings = Pointings(self.alerts, self.instruments)
        self.candidates = Candidates(self.alerts)

    def fail(self, path: str, kind: FaultKind, *, times: int = 1, seconds: float = 3.0) -> None:
        """Make the next `times` requests to a path end the given way; `after` means after the server has stored."""
        self._faults += [_Fault(path, kind, seconds)] * times

    def __enter__(self) -> GwtmStandIn:
        v1 = "/api/v1/"
        routes = [
            ("/health", "GET", lambda _: {"status": "ok", "time": datetime.now(UTC).isoformat()}),
            (v1 + "query_alerts", "GET", self._query), (v1 + "post_alert", "POST", self._post_alert),
            (v1 + "alert_filter_options", "GET", self._options),
            (v1 + "event_galaxies", "GET", self._get_galaxies), (v1 + "event_galaxies", "POST", self._post_galaxies),
            (v1 + "remove_event_galaxies", "DELETE", self._remove_galaxies),
            (v1 + "post_icecube_notice", "POST", self._post_notice),
            (v1 + "del_test_alerts", "POST", self._delete_tests),
            (v1 + "instruments", "GET", self.instruments.get), (v1 + "instruments", "POST", self.instruments.post),
            (v1 + "footprints", "GET", self.instruments.get_footprints),
            (v1 + "footprints", "POST", self.instruments.post_footprint),
            (v1 + "pointings", "GET", self.pointings.get), (v1 + "pointings", "POST", self.pointings.post),
            (v1 + "update_pointings", "POST", self.pointings.update),
            (v1 + "cancel_all", "POST", self.pointings.cancel_all),
            (v1 + "request_doi", "POST", self.pointings.request_doi),
            (v1 + "candidate", "GET", self.candidates.get), (v1 + "candidate", "POST", self.candidates.post),
            (v1 + "candidate", "PUT", self.candidates.put), (v1 + "candidate", "DELETE", self.candidates.delete),
            (v1 + "gw_skymap", "GET", files.skymap), (v1 + "gw_contour", "GET", files.contour),
            (v1 + "grb_moc_file", "GET", files.grb_moc), (v1 + "sun_moon_positions", "GET", files.sun_moon),
            ("/ajax_coverage_calculator", "POST", files.coverage),
            ("/ajax_event_galaxies", "GET", self._ajax_galaxies), ("/ajax_icecube_notice", "GET", self._ajax_notice),
        ]  # fmt: skip
        app = Starlette(routes=[Route(path, self._wrap(f), methods=[m]) for path, m, f in routes])
        answer = {404: "Not Found", 405: "Method Not Allowed"}
        for status, text in answer.items():
            app.add_exception_handler(status, lambda _r, e, t=text: JSONResponse({"detail": t}, e.status_code))
        self._server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error", timeout_graceful_shutdown=1))
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        while not self._server.started:
            self._thread.join(0.01)
        port = self._server.servers[0].sockets[0].getsockname()[1]
        self.origin = f"http://127.0.0.1:{port}"
        self.base = self.origin + v1
        return self

    def __exit__(self, *_: object) -> None:
        self._server.should_exit = True
        self._thread.join(10)

    def _wrap(self, handler: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            name = request.url.path.rsplit("/", 1)[-1]
            self.requests[f"{request.method} {name}"] += 1
            fault = next((f for f in self._faults if f.path == name), None)
            if fault is not None:
                self._faults.remove(fault)
                if early := await self._before(fault, request):
                    return early
            request.state.body = await request.body()
            while name in self.locked:
                await asyncio.sleep(0.02)
            try:
                response = JSONResponse(handler(request))
            except Refusal as refusal:
                response = JSONResponse(refusal.body, refusal.status)
            return response if fault is None else await self._after(fault, response)

        return endpoint

    async def _before(self, fault: _Fault, request: Request) -> Response | None:
        if fault.kind == "slow before":
            await asyncio.sleep(fault.seconds)
        page = "<html><body><h1>502 Bad Gateway</h1>nginx</body></html>"
        return {
            "500": JSONResponse({"message": "A database error occurred"}, 500),
            "html": Response(page, 502, media_type="text/html"),
            "401": JSONResponse({"message": NO_TOKEN}, 401),
            "400": JSONResponse({"message": "Request validation error", "errors": []}, 400),
            "409": JSONResponse({"message": "The request conflicts with database constraints"}, 409),
            "307": Response(status_code=307, headers={"location": str(request.url) + "/"}),
        }.get(fault.kind)

    async def _after(self, fault: _Fault, response: Response) -> Response:
        if fault.kind == "slow after":
            await asyncio.sleep(fault.seconds)
        if fault.kind == "truncated":
            return Response(bytes(response.body)[: len(response.body) // 2], media_type="application/json")
        if fault.kind == "500 after":
            return JSONResponse({"message": "Internal server error"}, 500)
        return response

    def _query(self, request: Request) -> Any:
        query = request.query_params
        if "page" in query:
            checked(dict[Literal["page"], Annotated[int, Field(ge=1)]], "query", {"page": query["page"]})
        if "has_pointings" in query:
            checked(dict[Literal["has_pointings"], bool], "query", {"has_pointings": query["has_pointings"]})
        wanted = {k: query[k] for k in ("graceid", "alert_type", "role", "observing_run") if query.get(k)}
        rows = [r for r in self.alerts if all(r[k] == v for k, v in wanted.items())]
        if query.get("far") == "significant":
            rows = [r for r in rows if r["alert_type"] != "Retraction" and r["group"] is not None]
            rows = [r for r in rows if r["far"] < (3.2e-8 if r["group"] == "Burst" else 3.8e-7)]
        rows = [_plain(r) for r in sorted(rows, key=lambda r: r["datecreated"], reverse=True)]
        if query.get("format") != "paginated":
            return rows
        page, size = int(query.get("page", 1)), int(query.get("per_page", 25))
        pages = -(-len(rows) // size)
        return {"alerts": rows[(page - 1) * size : page * size], "total": len(rows), "page": page,
                "per_page": size, "total_pages": pages, "has_next": page < pages, "has_prev": page > 1}  # fmt: skip

    def _options(self, _: Request) -> Any:
        keys = {"observing_runs": "observing_run", "roles": "role", "alert_types": "alert_type"}
        return {name: sorted({r[key] for r in self.alerts if r[key]}) for name, key in keys.items()}

    def _post_alert(self, request: Request) -> Any:
        user_of(request, admin=True)
        row: dict[str, Any] = body_of(request, Alert).model_dump()
        integers = (row["packet_type"], row["gcn_notice_id"])
        if any(len(row[k] or "") > n for k, n in LENGTHS.items()) or any(abs(i or 0) >= 2**31 for i in integers):
            raise Refusal(500, "A database error occurred")
        if any(r["id"] == row["id"] for r in self.alerts):
            raise Refusal(409, "The request conflicts with database constraints")
        for name in ("datecreated", "timesent", "time_of_signal"):
            row[name] = to_utc(row[name])
        if row["id"] is None:
            row["id"] = 1 + max((r["id"] for r in self.alerts if r["id"] < 900_000), default=0)
        row["datecreated"] = row["datecreated"] or datetime.now(UTC).replace(tzinfo=None)
        row["far"] = 0.0 if row["far"] is None else row["far"]
        for name in ("distance", "distance_error"):
            row[name] = None if row[name] is None or row[name] < 0 else row[name]
        row["pointing_count"] = None
        self.alerts.append(row)
        return _plain(row)

    def _alert_at(self, graceid: str, stamp: str) -> dict[str, Any]:
        try:
            moment = to_utc(parse_date(stamp))
        except ValueError:
            hint = "Timestamp should be in %Y-%m-%dT%H:%M:%S.%f format. e.g. 2019-05-01T12:00:00.00"
            raise Refusal(400, "Error parsing date", [{"message": hint}]) from None
        for row in self.alerts:
            near = row["timesent"] is not None and abs(row["timesent"] - moment) < timedelta(seconds=15)
            if row["graceid"] == graceid and near:
                return row
        hint = (
            f"Please visit http://treasuremap.space/alerts?graceids={graceid} for valid timesent stamps for this event"
        )
        raise Refusal(400, f"Invalid 'timesent_stamp' for event {graceid}", [{"message": hint}])

    def _post_galaxies(self, request: Request) -> Any:
        user = user_of(request)
        body: GalaxyList = body_of(request, GalaxyList)
        alert = self._alert_at(body.graceid, body.timesent_stamp)
        if body.request_doi and body.doi_group_id:
            hint = "Make sure you are the User associated with the DOI group"
            raise Refusal(400, "Invalid DOI group ID", [{"message": hint}])
        entries = []
        for galaxy in body.galaxies:
            self._entries += 1
            lon, lat = (galaxy.ra or 0.0), (galaxy.dec or 0.0)
            lon, lat = (lon + 180) % 360 - 180, 180 - lat if lat > 90 else lat
            entry = galaxy.model_dump(include={"name", "score", "rank", "info"})
            entries.append(entry | {"id": self._entries, "position": f"POINT ({lon:.10g} {lat:.10g})"})
        number = 1 + max((x["id"] for x in self.lists), default=0)
        self.lists.append({"id": number, "user": user, "graceid": body.graceid, "alert": alert["id"],
                           "groupname": body.groupname or user, "entries": entries})  # fmt: skip
        doi = " DOI url: https://doi.org/10.5072/gwtm.galaxy.00000000." if body.request_doi else " "
        text = f"Successful adding of {len(entries)} galaxies for event {body.graceid}.{doi} List ID: {number}"
        return {"message": text, "errors": [], "warnings": []}

    def _get_galaxies(self, request: Request) -> Any:
        user_of(request)
        query = request.query_params
        if "graceid" not in query:
            raise invalid([("query", "graceid", {"msg": "Field required", "type": "missing"})])
        lists = [x for x in self.lists if x["graceid"] == query["graceid"]]
        if query.get("timesent_stamp"):
            alert = self._alert_at(query["graceid"], query["timesent_stamp"])
            lists = [x for x in lists if x["alert"] == alert["id"]]
        if query.get("groupname"):
            lists = [x for x in lists if x["groupname"] == query["groupname"]]
        low = float(query.get("score_gt", "-inf"))
        return [{"id": e["id"], "listid": x["id"], **{k: e[k] for k in ("name", "score", "position", "rank", "info")}}
                for x in lists for e in x["entries"] if e["score"] >= low]  # fmt: skip

    def _remove_galaxies(self, request: Request) -> Any:
        user = user_of(request)
        if "listid" not in request.query_params:
            raise invalid([("query", "listid", {"msg": "Field required", "type": "missing"})])
        value = {"listid": request.query_params["listid"]}
        number = checked(dict[Literal["listid"], int], "query", value)["listid"]
        found = next((x for x in self.lists if x["id"] == number), None)
        if found is None:
            raise Refusal(404, "No galaxies found with that list ID")
        if found["user"] != user:
            raise Refusal(403, "You can only delete information related to your API token")
        self.lists.remove(found)
        return {"message": "Successfully deleted your galaxy list"}

    def _post_notice(self, request: Request) -> Any:
        user_of(request, admin=True)
        body = body_of(request, NoticeBody)
        if any(n["ref_id"] == body.notice_data.ref_id for n in self.notices):
            return {"icecube_notice": {"message": "event already exists"}, "icecube_notice_events": []}
        now, data = datetime.now(UTC).replace(tzinfo=None), body.notice_data.model_dump()
        for name in ("alert_datetime", "observation_start", "observation_stop"):
            data[name] = to_utc(data[name])
        notice = {"id": 1 + len(self.notices), "ref_id": data["ref_id"], "graceid": data["graceid"],
                  "alert_datetime": data["alert_datetime"], "datecreated": now, **data}  # fmt: skip
        events = []
        for event in body.events_data:
            self._events += 1
            events.append(
                {"id": self._events, "icecube_notice_id": notice["id"], "datecreated": now, **event.model_dump()}
            )
        self.notices.append(notice | {"events": events})
        return {"icecube_notice": _plain(notice), "icecube_notice_events": [_plain(e) for e in events]}

    def _delete_tests(self, request: Request) -> Any:
        user_of(request, admin=True)
        days = [datetime.now(UTC) + timedelta(days=d) for d in (-1, 0, 1)]
        kept = ("MS181101ab", *(f"MS{day:%y%m%d}" for day in days))
        self.alerts[:] = [r for r in self.alerts if r["role"] != "test" or r["graceid"].startswith(kept)]
        return {"message": "Successfully deleted test alerts and associated data"}

    def _ajax_galaxies(self, request: Request) -> Any:
        def marker(entry: dict[str, Any]) -> dict[str, Any]:
            lon, lat = map(float, entry["position"][7:-1].split())
            return {"name": entry["name"], "ra": lon % 360, "dec": lat, "info": "~"}

        return [{"name": x["groupname"], "color": "", "markers": [marker(e) for e in x["entries"]]}
                for x in self.lists if x["graceid"] == request.query_params["alertid"]]  # fmt: skip

    def _ajax_notice(self, request: Request) -> Any:
        def marker(event: dict[str, Any]) -> dict[str, Any]:
            return {"name": f"ICN_EVENT_{event['id']}", "ra": event["ra"], "dec": event["dec"],
                    "radius": event["ra_uncertainty"], "info": "~"}  # fmt: skip

        return [{"name": f"ICECUBENotice{n['id']}", "color": "#324E72", "markers": [marker(e) for e in n["events"]]}
                for n in self.notices if n["graceid"] == request.query_params["graceid"]]  # fmt: skip
