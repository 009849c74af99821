"""Notices of other observatories for tests, built by hand: one of each stream that is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.alerts import SHARED

FOLDER = SHARED / "data" / "notices"
needs_examples = pytest.mark.skipif(
    not FOLDER.is_dir(), reason=f"no real notices: {FOLDER} is not there (see CONTRIBUTING.md)"
)
_SCHEMA = "https://gcn.nasa.gov/schema/main/gcn/notices"
_WHEN = {"alert_datetime": "2026-03-01T12:00:30Z", "trigger_time": "2026-03-01T12:00:00.25Z", "alert_tense": "current"}
_PLACE = {"ra": 150.0, "dec": 20.0, "ra_dec_error": 1.0, "containment_probability": 0.9}

#: Stream to its notice, and to the event that it is of.
NOTICES: dict[str, tuple[dict[str, Any], str]] = {
    "fermi_gbm": (
        {
            "$schema": f"{_SCHEMA}/fermi/gbm/trigger.schema.json",
            "mission": "Fermi",
            "instrument": "GBM",
            "alert_type": "update",
            "id": ["794059200", "bn260301500"],
            "subtype": "GROUND_POSITION",
            "duration_class": "SHORT",
            "systematic_included": False,
            "rate_snr": 9.5,
            "healpix_url": "https://heasarc.gsfc.nasa.gov/FTP/fermi/glg_healpix_all_bn260301500.fit",
        },
        "Fermi_794059200",
    ),
    "fermi_gbm_targeted": (
        {"mission": "Fermi", "instrument": "GBM-Targeted-Private", "id": ["794059200123", "7"], "far": 1e-5},
        "FermiTarget_794059200123",
    ),
    "swift_bat_guano": (
        {
            "mission": "Swift",
            "instrument": "BAT-GUANO",
            "id": ["794059201"],
            "far": 1e-5,
            "follow_up_event": "S260301z",
            "follow_up_type": "GW",
        },
        "Swift_794059201",
    ),
    "einstein_probe_wxt": (
        {"$schema": f"{_SCHEMA}/einstein_probe/wxt/alert.schema.json", "instrument": "WXT", "id": ["01709300001"]},
        "EP_01709300001",
    ),
    "icecube_tracks": (
        {
            "$schema": f"{_SCHEMA}/icecube/single_neutrino_alerts.gold_bronze_track_alerts.schema.json",
            "instrument": "IC86",
            "pipeline": "Gold Track Alert",
            "event_name": ["IceCube-260301A"],
            "id": ["141000_12345678"],
            "nu_energy": 200.0,
            "far": 3e-8,
        },
        "IceCube_141000_12345678",
    ),
    "km3net": (
        {
            "$schema": f"{_SCHEMA}/km3net/alert.schema.json",
            "mission": "KM3NeT",
            "id": "31",
            "event_name": "KM3-260301A",
        },
        "KM3NeT_260301A",
    ),
    "superk_sn": (
        {
            "mission": "Super-Kamiokande",
            "$schema": f"{_SCHEMA}/superk/sn_alert.schema.json",
            "id": "SN.096001.000002",
            "n_events": 6000,
            "luminosity_distance": 0.01,
        },
        "SuperK_SN_096001_000002",
    ),
    "chime_frb": (
        {"$schema": f"{_SCHEMA}/chime/frb.schema.json", "id": "527325191", "dm": 320.5, "ra_dec_error": [0.5, 0.6, 0]},
        "CHIME_527325191",
    ),
    "dsa110_frb": (
        {
            "$schema": f"{_SCHEMA}/dsa110/frb.schema.json",
            "id": "260301aaab",
            "dm": 320.5,
            "ra_dec_error": [0.016, 0.02],
        },
        "DSA110_260301aaab",
    ),
    "maxi_gsc_unknown": (
        {"$schema": f"{_SCHEMA}/maxi/gsc.unknown.schema.json", "mission": "MAXI", "id": "9995289618"},
        "MAXI_9995289618",
    ),
    "maxi_gsc_known": (
        {
            "$schema": f"{_SCHEMA}/maxi/gsc.known.schema.json",
            "mission": "MAXI",
            "id": "0858800021",
            "ra_dec_error": None,
        },
        "MAXI_0858800021",
    ),
    "svom": (
        {"$schema": f"{_SCHEMA}/svom/eclairs/trigger.schema.json", "instrument": "ECLAIRs", "id": ["sb26030101"]},
        "SVOM_sb26030101",
    ),
    "burstcube": (
        {"$schema": f"{_SCHEMA}/burstcube/alert.schema.json", "mission": "BurstCube", "id": ["260301500"]},
        "BurstCube_260301500",
    ),
    "glowbug": (
        {"$schema": f"{_SCHEMA}/glowbug/Alert.schema.json", "mission": "GLOWBUG", "id": ["BUG260301.500", "77"]},
        "Glowbug_BUG260301_500",
    ),
}

VOEVENT = """<?xml version = '1.0' encoding = 'UTF-8'?>
<voe:VOEvent ivorn="ivo://nasa.gsfc.gcn/Fermi#GBM_Gnd_Pos_2026-03-01T12:00:00.25_794059200_56-996" role="{role}"
    version="2.0" xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0">
  <Who><Date>2026-03-01T12:00:30</Date></Who>
  <What>
    <Param name="Packet_Type" value="{packet}" />
    <Param name="TrigID" value="{trigger}" ucd="meta.id" />
    <Param name="Burst_Signif" value="9.50" />
    <Param name="LightCurve_URL" value="http://heasarc.gsfc.nasa.gov/FTP/bn260301500/quicklook/glg_lc_medres34_bn260301500.gif" />
    <Group name="Trigger_ID"><Param name="Long_short" value="unknown" /></Group>
  </What>
  <WhereWhen><ObsDataLocation><ObservationLocation><AstroCoords>
    <Time unit="s"><TimeInstant><ISOTime>2026-03-01T12:00:00.25</ISOTime></TimeInstant></Time>
    <Position2D unit="deg"><Value2><C1>150.0</C1><C2>20.0</C2></Value2><Error2Radius>{radius}</Error2Radius></Position2D>
  </AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>
</voe:VOEvent>
"""


SVOM = """<?xml version="1.0" encoding="UTF-8"?>
<voe:VOEvent xmlns:voe="http://www.ivoa.net/xml/VOEvent/v2.0" role="{role}" version="2.0" ivorn="ivo://org.svom/fsc#{trigger}_x">
  <Who><Date>{created}</Date></Who>
  <What>
    <Param name="Packet_Type" value="{packet}" />
    <Param name="Instrument" value="{instrument}" />
    <Group name="Svom_Identifiers">
      <Param name="Burst_Id" value="{trigger}" />{more}
    </Group>
    <Group name="Detection_Info"><Param name="SNR" value="12.5" /><Param name="Timescale" value="20.4" /></Group>
  </What>
  <WhereWhen><ObsDataLocation><ObservationLocation><AstroCoords>
    <Time unit="s"><TimeInstant><ISOTime>{time}</ISOTime></TimeInstant></Time>
    <Position2D unit="deg"><Value2><C1>150.0</C1><C2>20.0</C2></Value2><Error2Radius>{radius}</Error2Radius></Position2D>
  </AstroCoords></ObservationLocation></ObsDataLocation></WhereWhen>
  {citations}
</voe:VOEvent>
"""


def svom(
    packet: int = 202,
    *,
    instrument: str = "ECLAIRs",
    trigger: str = "sb26030101",
    created: str = "2026-03-01T12:00:50+00:00",
    time: str = "2026-03-01T12:00:00.250000",
    radius: str = "0.1",
    role: str = "observation",
    t0: str | None = None,
    source: str | None = None,
    retracts: bool = False,
) -> bytes:
    """A VOEvent of SVOM: packet types 201 GRM, 202 ECLAIRs, 203 of a known source, 204 slewing, 209 MXT, 219 retraction."""
    more = "" if t0 is None else f'<Param name="Alert_Seq_T0" value="{t0}" />'
    more += "" if source is None else f'<Param name="Source_Name" value="{source}" />'
    cite = '<Citations><EventIVORN cite="retraction">ivo://org.svom/fsc#x</EventIVORN></Citations>' if retracts else ""
    return SVOM.format(
        packet=packet, instrument=instrument, trigger=trigger, created=created, time=time, radius=radius, role=role,
        more=more, citations=cite,
    ).encode()  # fmt: skip


#: Streams of VOEvents, with a good notice of each.
VOEVENTS = {"fermi_gbm_classic": lambda: voevent(packet=115), "svom_voevent": svom}


def voevent(*, packet: int = 112, trigger: str = "794059200", radius: str = "4.0", role: str = "observation") -> bytes:
    """A classic VOEvent of Fermi GBM."""
    return VOEVENT.format(packet=packet, trigger=trigger, radius=radius, role=role).encode()


def record(stream: str, **changes: Any) -> dict[str, Any]:
    """A notice of a stream as a JSON object; a change to None leaves the key out."""
    found = {"alert_type": "initial", **_WHEN, **_PLACE, **NOTICES[stream][0], **changes}
    return {key: value for key, value in found.items() if value is not None}


def body(stream: str, **changes: Any) -> bytes:
    """The same as bytes."""
    return json.dumps(record(stream, **changes)).encode()


def examples() -> list[Path]:
    """Every real notice and published example; none where ../shared is missing."""
    return sorted(path for path in FOLDER.rglob("*") if path.suffix in {".json", ".xml"})
