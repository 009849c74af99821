"""Fields of the imagers that observers request through a TOM, where a published source states them.

An instrument that is not listed has no footprint: its pointings are told, and count nowhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from mma_pipeline.notices.footprints import Footprint, box

#: (instrument type of the LCO portal, readout mode) -> field, degrees; an empty mode stands for every other one.
#: Sinistro: https://lco.global/observatory/instruments/sinistro (26.5 x 26.5 arcmin; the central 2k x 2k of 4k x 4k).
#: MuSCAT3 and 4: https://lco.global/observatory/instruments/muscat3 (9.1 x 9.1 arcmin).
#: QHY600: https://lco.global/observatory/instruments/qhy600-delta-rho-350 (its modes: the full frame, and 30 x 30 arcmin).
_FIELDS: Mapping[tuple[str, str], tuple[float, float]] = MappingProxyType(
    {
        ("1M0-SCICAM-SINISTRO", ""): (26.5 / 60, 26.5 / 60),
        ("1M0-SCICAM-SINISTRO", "central_2k_2x2"): (13.25 / 60, 13.25 / 60),
        ("2M0-SCICAM-MUSCAT", ""): (9.1 / 60, 9.1 / 60),
        ("0M4-SCICAM-QHY600", "full_frame"): (1.9, 1.2),
        ("0M4-SCICAM-QHY600", "central30x30"): (0.5, 0.5),
    }
)


def field_of(instrument: str, mode: str) -> Footprint | None:
    """The field of an instrument in a readout mode; None where no source is known."""
    found = _FIELDS.get((instrument, mode)) or _FIELDS.get((instrument, ""))
    return None if found is None else box(*found)
