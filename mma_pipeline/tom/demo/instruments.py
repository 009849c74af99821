"""Instruments of the stand-in portal, in the shape of `/api/instruments/` of the real one, two cameras only."""

from __future__ import annotations

from typing import Any

_FILTERS = [
    {"name": "SDSS-gp", "code": "gp", "schedulable": True, "default": False},
    {"name": "SDSS-rp", "code": "rp", "schedulable": True, "default": True},
    {"name": "SDSS-ip", "code": "ip", "schedulable": True, "default": False},
    {"name": "PanSTARRS-Z", "code": "zs", "schedulable": True, "default": False},
    {"name": "Opaque", "code": "opaque", "schedulable": False, "default": False},
]


def _camera(name: str, telescope: str) -> dict[str, Any]:
    return {
        "type": "IMAGE",
        "class": telescope,
        "name": name,
        "optical_elements": {"filters": _FILTERS},
        "modes": {
            "guiding": {
                "type": "guiding",
                "modes": [
                    {"name": "On", "overhead": 0.0, "code": "ON"},
                    {"name": "Off", "overhead": 0.0, "code": "OFF"},
                ],
                "default": "ON",
            },
            "readout": {
                "type": "readout",
                "modes": [{"name": "Default full frame", "overhead": 28.0, "code": "full_frame"}],
                "default": "full_frame",
            },
        },
        "configuration_types": {
            "EXPOSE": {"name": "Exposure", "code": "EXPOSE", "schedulable": True},
            "REPEAT_EXPOSE": {"name": "Exposure Sequence", "code": "REPEAT_EXPOSE", "schedulable": True},
        },
        "default_configuration_type": "EXPOSE",
    }


INSTRUMENTS: dict[str, dict[str, Any]] = {
    "1M0-SCICAM-SINISTRO": _camera("1.0 meter Sinistro", "1m0"),
    "0M4-SCICAM-QHY600": _camera("0.4 meter QHY600", "0m4"),
}
