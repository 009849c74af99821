"""The streams of GCN's unified schema that are read. To add one, add an entry and a fixture in the tests."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.notices.gcn.declaration import CoreStream
from mma_pipeline.notices.gcn.localisation import ONE_SIGMA, Systematic
from mma_pipeline.notices.gcn.voevent import decode_gbm, decode_svom, is_voevent, ivorn_of

_HEASARC = ("heasarc.gsfc.nasa.gov", "gcn.gsfc.nasa.gov")
#: RoboBA's systematic error of long and short bursts, and that of the older ground localisation: Fisher distributions by
#: the radius that holds 68.3 %, with weights.
_ROBOBA = "Goldstein et al. 2020, ApJ 895 40"
_LONG = Systematic(((0.579, 1.86, ONE_SIGMA), (0.421, 4.14, ONE_SIGMA)), f"{_ROBOBA} (RoboBA, long bursts)")
_SHORT = Systematic(((0.390, 2.55, ONE_SIGMA), (0.610, 4.43, ONE_SIGMA)), f"{_ROBOBA} (RoboBA, short bursts)")
_EARLIER = Systematic(
    ((0.804, 3.72, ONE_SIGMA), (0.196, 13.7, ONE_SIGMA)),
    "Connaughton et al. 2015, ApJS 216 32 (automatic localisations before RoboBA)",
)
_MAXI = Systematic(((1.0, 0.1, 0.9),), "MAXI's circulars: a systematic error of 0.1 deg (90 %) is added")


def gbm_systematic(record: Mapping[str, Any]) -> Systematic:
    """GBM's systematic error by the kind of localisation: RoboBA's for the ground's, a coarser one for any other."""
    kind = str(record.get("subtype") or record.get("notice_subtype")).upper()
    if "GROUND" not in kind and "FINAL" not in kind:
        return _EARLIER
    return _SHORT if str(record.get("duration_class")).upper() == "SHORT" else _LONG


CORE_STREAMS: tuple[CoreStream, ...] = (
    CoreStream(
        "fermi_gbm_classic",
        tuple(f"gcn.classic.voevent.FERMI_GBM_{kind}" for kind in ("ALERT", "FLT_POS", "GND_POS", "FIN_POS")),
        "Fermi",
        "Fermi GBM",
        "gamma rays",
        "Triggers of Fermi's burst monitor as VOEvents, which came before its JSON notices.",
        {"ivorn": "Fermi#GBM_"},
        systematic=gbm_systematic,
        hosts=_HEASARC,
        decode=decode_gbm,
    ),
    CoreStream(
        "fermi_gbm",
        ("gcn.notices.fermi.gbm.trigger", "gcn.notices.fermi.gbm.alert"),
        "Fermi",
        "Fermi GBM",
        "gamma rays",
        "Triggers of Fermi's burst monitor: alert, flight, ground and final position, with a map by address.",
        {"$schema": "/fermi/gbm/trigger", "mission": "Fermi", "instrument": "GBM"},
        systematic=gbm_systematic,
        hosts=_HEASARC,
    ),
    CoreStream(
        "fermi_gbm_targeted",
        ("fermi.gbm.targeted.private.igwn",),
        "FermiTarget",
        "Fermi GBM, targeted search",
        "gamma rays",
        "Searches of Fermi GBM's data around the time of another event, with the map inside.",
        {"$schema": "/fermi/gbm/TargetedSearch", "instrument": "GBM-Targeted"},
    ),
    CoreStream(
        "swift_bat_guano",
        ("gcn.notices.swift.bat.guano",),
        "Swift",
        "Swift BAT GUANO",
        "gamma rays",
        "Bursts found in Swift BAT's event data after another instrument's trigger: a map inside, a position or neither.",
        {"$schema": "/swift/bat/guano", "instrument": "BAT-GUANO"},
    ),
    CoreStream(
        "einstein_probe_wxt",
        ("gcn.notices.einstein_probe.wxt.alert",),
        "EP",
        "Einstein Probe WXT",
        "X-rays",
        "Transients of Einstein Probe's wide-field X-ray telescope, to arc minutes.",
        {"$schema": "/einstein_probe/wxt", "instrument": "WXT"},
    ),
    CoreStream(
        "icecube_tracks",
        ("gcn.notices.icecube.gold_bronze_track_alerts",),
        "IceCube",
        "IceCube",
        "neutrinos",
        "Single neutrinos that are probably astrophysical: gold and bronze tracks, with a map by address.",
        {"$schema": "/icecube/single_neutrino", "instrument": "IC86", "pipeline": "Track Alert"},
        identity=("id", "event_name"),
        aliases=("id", "event_name"),
        hosts=("roc.icecube.wisc.edu",),
    ),
    CoreStream(
        "km3net",
        ("gcn.notices.km3net.alert", "gcn.notices.km3net"),
        "KM3NeT",
        "KM3NeT",
        "neutrinos",
        "Single neutrinos and multiplets of KM3NeT, with a map by address.",
        {"$schema": "/km3net/", "mission": "KM3NeT"},
        identity=("event_name", "id"),
        aliases=("id", "event_name"),
        hosts=("opendata.km3net.de",),
    ),
    CoreStream(
        "superk_sn",
        ("gcn.notices.superk.sn_alert",),
        "SuperK",
        "Super-Kamiokande",
        "neutrinos",
        "Bursts of neutrinos from a supernova in or near the Galaxy, with direction and distance.",
        {"$schema": "/superk/sn_alert", "mission": "Super-Kamiokande"},
        galactic=True,
    ),
    CoreStream(
        "chime_frb",
        ("gcn.notices.chime.frb",),
        "CHIME",
        "CHIME/FRB",
        "radio",
        "Fast radio bursts seen by CHIME, new and repeating.",
        {"$schema": "/chime/frb"},
    ),
    CoreStream(
        "dsa110_frb",
        ("gcn.notices.dsa110.frb",),
        "DSA110",
        "DSA-110",
        "radio",
        "Fast radio bursts seen by DSA-110, new and repeating.",
        {"$schema": "/dsa110/frb"},
    ),
    CoreStream(
        "maxi_gsc_unknown",
        ("gcn.notices.maxi.gsc.unknown",),
        "MAXI",
        "MAXI GSC",
        "X-rays",
        "X-ray transients of no known source, by circle, ellipse or rectangle.",
        {"$schema": "/maxi/gsc.unknown"},
        systematic=lambda _: _MAXI,
    ),
    CoreStream(
        "maxi_gsc_known",
        ("gcn.notices.maxi.gsc.known",),
        "MAXI",
        "MAXI GSC",
        "X-rays",
        "Outbursts of known X-ray sources, most of them in the Galaxy.",
        {"$schema": "/maxi/gsc.known"},
        galactic=True,
    ),
    CoreStream(
        "svom_voevent",
        tuple(f"gcn.notices.svom.voevent.{instrument}" for instrument in ("grm", "eclairs", "mxt")),
        "SVOM",
        "SVOM",
        "gamma rays",
        "Triggers of SVOM's ECLAIRs and GRM, and positions of MXT, as VOEvents.",
        {"ivorn": "//org.svom/"},
        decode=decode_svom,
    ),
    CoreStream(
        "svom",
        ("gcn.notices.svom.eclairs.trigger", "gcn.notices.svom.grm.trigger"),
        "SVOM",
        "SVOM",
        "gamma rays",
        "The same as JSON, once they come.",
        {"$schema": "/svom/"},
    ),
    CoreStream(
        "burstcube",
        ("gcn.notices.burstcube.alert",),
        "BurstCube",
        "BurstCube",
        "gamma rays",
        "Bursts seen by BurstCube (2024).",
        {"$schema": "/burstcube/", "mission": "BurstCube"},
        hosts=_HEASARC,
    ),
    CoreStream(
        "glowbug",
        ("gcn.notices.glowbug.alert",),
        "Glowbug",
        "Glowbug",
        "gamma rays",
        "Bursts seen by Glowbug (2023 to 2024).",
        {"$schema": "/glowbug/", "mission": "GLOWBUG"},
    ),
)

_BY_TOPIC = {topic: stream for stream in CORE_STREAMS for topic in stream.topics}


def core_stream(topic: str) -> CoreStream | None:
    """The stream of a topic; None if the topic is none of these."""
    return _BY_TOPIC.get(topic)


def stream_named(name: str) -> CoreStream | None:
    """The stream of a name of ours; None if there is none."""
    return next((stream for stream in CORE_STREAMS if stream.name == name), None)


def stream_of_message(data: bytes) -> CoreStream | None:
    """The stream of a message, JSON or VOEvent, by its own marks; None if none fits or it cannot be decoded."""
    try:
        return stream_for(ivorn_of(data) if is_voevent(data) else decode_notice(data))
    except NoticeError:
        return None


def stream_for(record: Mapping[str, Any]) -> CoreStream | None:
    """The stream of a decoded notice by its own marks, for files that no topic names; None if none fits.

    The address of the schema decides; a notice without one must match every other mark of its stream, and of several streams
    that it matches the one with the longest marks counts.
    """
    schema = str(record.get("$schema") or "").lower()
    for stream in CORE_STREAMS:
        mark = stream.marks.get("$schema")
        if mark is not None and mark.lower() in schema:
            return stream
    matched: list[tuple[int, CoreStream]] = []
    for stream in CORE_STREAMS:
        others = [(key, text) for key, text in stream.marks.items() if key != "$schema"]
        if others and all(text.lower() in str(record.get(key) or "").lower() for key, text in others):
            matched.append((sum(len(text) for _, text in others), stream))
    return max(matched, key=lambda one: one[0])[1] if matched else None
