"""Invented pointings for a sky map: an imaginary camera that takes the most probable fields first, night after night."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np

from mma_pipeline.notices.footprints import box
from mma_pipeline.notices.pointings import Pointing, Status
from mma_pipeline.science.skymaps.model import SkyMap
from mma_pipeline.science.sphere import index29

#: Name of the camera, its square field in degrees and its limit in magnitudes.
CAMERA, FIELD_DEG, DEPTH = "Simulated camera", 4.0, 21.5
#: Minutes for a field, hours from the merger to the first one of a night, and source of the pointings.
_MINUTES, _BEGINS_H, SOURCE = 5, 6, "simulated"


def simulate_pointings(skymap: SkyMap, merger: datetime, *, nights: int, fields: int) -> list[Sequence[Pointing]]:
    """Completed pointings of each night, the most probable fields of a grid first, bands g and r in turn.

    Args:
        skymap: map that is followed.
        merger: time of the event, UTC; nights begin 6 h later, each a day after the one before.
        nights: how many.
        fields: how many a night.
    """
    shape = box(FIELD_DEG, FIELD_DEG)
    rows = []
    for dec in np.arange(-88.0, 89.0, FIELD_DEG):
        count = max(1, int(np.ceil(360 * np.cos(np.radians(dec)) / FIELD_DEG)))
        rows += [(360.0 * i / count, dec) for i in range(count)]
    ra, dec = np.array(rows).T
    best = np.argsort(-skymap.probdensity[skymap.row_of(index29(ra, dec))], kind="stable")
    found: list[Sequence[Pointing]] = []
    for night in range(nights):
        chosen = best[night * fields : (night + 1) * fields]
        begin = merger + timedelta(days=night, hours=_BEGINS_H)
        found.append(
            [
                Pointing(
                    SOURCE, f"{night}-{i}", CAMERA, Status.COMPLETED, begin + timedelta(minutes=_MINUTES * i),
                    float(ra[field]), float(dec[field]), 0.0, "gr"[i % 2], DEPTH, "ab_mag", shape,
                )
                for i, field in enumerate(chosen)
            ]
        )  # fmt: skip
    return found
