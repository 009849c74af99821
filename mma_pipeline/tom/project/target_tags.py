"""The toolkit's template tags of targets, with the Moon's distance computed at once.

The toolkit asks astropy for the Moon 150 times, one time after the other, on every view of a target, which takes seconds.
This library replaces it through the setting TEMPLATES / libraries, and keeps all its other tags.
"""

from __future__ import annotations

from typing import Any

import astropy.units as u
import numpy as np
import plotly.graph_objs as go
from astroplan import moon_illumination
from astropy.coordinates import GCRS, SkyCoord, get_body
from astropy.time import Time
from django import template
from plotly import offline
from tom_targets.templatetags import targets_extras

register = template.Library()
register.tags = dict(targets_extras.register.tags)
register.filters = dict(targets_extras.register.filters)

_DAYS = np.arange(0.0, 30.0, 0.2)
_DISTANCE, _PHASE = "rgb(0, 0, 255)", "rgb(255, 100, 100)"


def moon_separation(ra: float, dec: float, times: Time) -> np.ndarray:
    """Angle between a position (deg) and the Moon as seen from the Earth's centre, deg, one per time."""
    moon = get_body("moon", times)
    position = SkyCoord(np.full(times.shape, ra), np.full(times.shape, dec), unit="deg", frame=GCRS(obstime=times))
    return moon.separation(position).to_value(u.deg)


@register.inclusion_tag("tom_targets/partials/moon_distance.html")
def moon_distance(target: Any, width: int = 600, height: int = 400) -> dict[str, str | None]:
    """Plot of the Moon's distance and illumination over the coming 30 days."""
    if target.type != "SIDEREAL":
        return {"plot": None}
    times = Time.now() + _DAYS * u.day
    data = [
        go.Scatter(
            x=_DAYS, y=moon_separation(target.ra, target.dec, times), name="Moon distance", line_color=_DISTANCE
        ),
        go.Scatter(x=_DAYS, y=moon_illumination(times), name="Moon phase", yaxis="y2", line_color=_PHASE),
    ]
    axis = {"overlaying": "y", "side": "right", "range": [0, 1], "dtick": 0.25}
    layout = go.Layout(
        xaxis={"title": "Days from now"},
        yaxis={"title": {"text": "Moon distance (deg)", "font": {"color": _DISTANCE}}, "range": [0, 180], "dtick": 45},
        yaxis2={"title": {"text": "Illuminated fraction", "font": {"color": _PHASE}}, **axis},
        margin={"l": 20, "r": 10, "b": 30, "t": 40},
        width=width,
        height=height,
        showlegend=False,
    )
    return {"plot": offline.plot(go.Figure(data=data, layout=layout), output_type="div", show_link=False)}
