"""What the GWTM site reads from its storage, of which the stand-in has none, and the places of Sun and Moon."""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request

from tests.services.gwtm_schemas import Refusal, user_of

_STORAGE = "Error reading s3 file gwtreasuremap/fit: no such file"


def skymap(request: Request) -> Any:
    """GET gw_skymap; needs a token."""
    user_of(request)
    raise Refusal(404, f"Error retrieving skymap file. Exception: {_STORAGE}")


def contour(_: Request) -> Any:
    """GET gw_contour; needs none."""
    raise Refusal(404, f"Error retrieving contour file. Error: Exception: {_STORAGE}")


def grb_moc(request: Request) -> Any:
    """GET grb_moc_file."""
    user_of(request)
    raise Refusal(404, f"Error retrieving MOC file. Error: Exception: {_STORAGE}")


def coverage(request: Request) -> Any:
    """POST /ajax_coverage_calculator."""
    json.loads(request.state.body)
    raise Refusal(400, f"Calculator ERROR: Map not found. {_STORAGE}")


def sun_moon(request: Request) -> Any:
    """GET sun_moon_positions, degrees."""
    from astropy.coordinates import get_body
    from astropy.time import Time

    text = request.query_params["time_of_signal"]
    moment = Time(text.removesuffix("Z"), scale="utc")
    places = {name: get_body(name, moment) for name in ("sun", "moon")}
    angles = {
        f"{name}_{axis}": float(getattr(place, axis).deg) for name, place in places.items() for axis in ("ra", "dec")
    }
    return angles | {"time_of_signal": text}
