"""Parameters of requests that no operation has: refused, so that a slip in a name is not taken for a filter that holds."""

from __future__ import annotations

from collections.abc import Callable

from fastapi import Request
from fastapi.exceptions import RequestValidationError


def only_known_below(prefix: str) -> Callable[[Request], None]:
    """A dependency for the operations below a path: it refuses parameters of the query that an operation does not have.

    The portal's own description of itself says which those are.
    """

    def only_known(request: Request) -> None:
        path = getattr(request.scope.get("route"), "path_format", "")
        described = request.app.openapi()["paths"]
        # Some versions of FastAPI give a route's path with the prefix of its router, some without.
        operation = (described.get(path) or described[prefix + path])[request.method.lower()]
        known = {one["name"] for one in operation.get("parameters", ()) if one["in"] == "query"}
        unknown = sorted(set(request.query_params.keys()) - known)
        if unknown:
            said = f"there is no such parameter here; there are {', '.join(sorted(known)) or 'none'}"
            raise RequestValidationError(
                [{"loc": ("query", name), "msg": said, "type": "extra_forbidden"} for name in unknown[:20]]
            )

    return only_known
