"""Where messages are read, and as whom: GCN and its notices, Hopskotch, brokers of surveys."""

from __future__ import annotations

from typing import Literal

from pydantic import AliasChoices, Field, SecretStr

from mma_pipeline.adapters.hopskotch.stream import HOPSKOTCH
from mma_pipeline.settings.base import Group, Start, Words, setting


class KafkaSettings(Group):
    """Where alerts are read: NASA GCN, or a broker without authentication in its place."""

    client_id: str | None = setting(None, "KAFKA_CLIENT_ID", about="GCN client credentials: the id.")
    client_secret: SecretStr | None = setting(None, "KAFKA_CLIENT_SECRET", about="GCN client credentials: the secret.")
    group_id: str | None = setting(None, "KAFKA_GROUP_ID", about="Consumer group; by default `mma-` and the client id.")
    offset_reset: Start = setting("earliest", "KAFKA_OFFSET_RESET", about="Where a new group begins.")
    domain: str = setting("gcn.nasa.gov", "GCN_DOMAIN", about="Another GCN, such as `test.gcn.nasa.gov`.")
    bootstrap: str | None = setting(
        None, "MMA_KAFKA_BOOTSTRAP", about="A broker without authentication in place of GCN (tests, demonstration)."
    )


class NoticeSettings(Group):
    """Streams of other observatories on GCN: which are read. A topic that the broker lacks is passed over."""

    fermi_gbm: bool = setting(True, "MMA_NOTICES_FERMI_GBM", about="Fermi GBM's triggers.")
    fermi_gbm_classic: bool = setting(
        True,
        "MMA_NOTICES_FERMI_GBM_CLASSIC",
        about="The same as VOEvents, which GCN sends until the JSON notices come.",
    )
    fermi_gbm_targeted: bool = setting(
        False, "MMA_NOTICES_FERMI_GBM_TARGETED", about="Fermi GBM's targeted searches (not public)."
    )
    swift_bat_guano: bool = setting(True, "MMA_NOTICES_SWIFT_BAT_GUANO", about="Swift BAT's bursts by GUANO.")
    einstein_probe_wxt: bool = setting(
        True, "MMA_NOTICES_EINSTEIN_PROBE_WXT", about="Einstein Probe's X-ray transients."
    )
    icecube_tracks: bool = setting(True, "MMA_NOTICES_ICECUBE_TRACKS", about="IceCube's gold and bronze tracks.")
    km3net: bool = setting(True, "MMA_NOTICES_KM3NET", about="KM3NeT's neutrinos.")
    superk_sn: bool = setting(True, "MMA_NOTICES_SUPERK_SN", about="Super-Kamiokande's supernova alerts.")
    chime_frb: bool = setting(True, "MMA_NOTICES_CHIME_FRB", about="Fast radio bursts of CHIME.")
    dsa110_frb: bool = setting(True, "MMA_NOTICES_DSA110_FRB", about="Fast radio bursts of DSA-110.")
    maxi_gsc_unknown: bool = setting(True, "MMA_NOTICES_MAXI_GSC_UNKNOWN", about="MAXI's new X-ray transients.")
    maxi_gsc_known: bool = setting(
        False, "MMA_NOTICES_MAXI_GSC_KNOWN", about="MAXI's outbursts of known sources, most of them in the Galaxy."
    )
    svom_voevent: bool = setting(True, "MMA_NOTICES_SVOM_VOEVENT", about="SVOM's triggers, as VOEvents.")
    svom: bool = setting(True, "MMA_NOTICES_SVOM", about="The same as JSON, once GCN sends them.")
    burstcube: bool = setting(False, "MMA_NOTICES_BURSTCUBE", about="BurstCube, which has ended.")
    glowbug: bool = setting(False, "MMA_NOTICES_GLOWBUG", about="Glowbug, which has ended.")
    map_seconds: float = Field(
        20.0,
        gt=0,
        le=40,
        validation_alias=AliasChoices("MMA_NOTICES_MAP_SECONDS"),
        description="Longest time for one fetch of a map that a notice names, s.",
    )
    map_megabytes: float = Field(
        64.0,
        gt=0,
        le=500,
        validation_alias=AliasChoices("MMA_NOTICES_MAP_MEGABYTES"),
        description="Largest such map, MB.",
    )
    map_hours: float = Field(
        24.0,
        ge=0,
        le=240,
        validation_alias=AliasChoices("MMA_NOTICES_MAP_HOURS"),
        description="Hours after a notice in which its map is tried again; 0 fetches none.",
    )


class HopskotchSettings(Group):
    """SCiMMA Hopskotch: the credential, and how streams are read with it."""

    username: str | None = setting(None, "HOP_USERNAME", about="Credential: the user name.")
    password: SecretStr | None = setting(None, "HOP_PASSWORD", about="Credential: the password.")
    streams: bool = setting(
        False, "MMA_HOP_STREAMS", about="Read streams with the credential that `hop auth` keeps in auth.toml."
    )
    tests: bool = setting(False, "MMA_HOP_TESTS", about="Take messages that are marked as tests too.")
    bootstrap: str = setting(HOPSKOTCH, "MMA_HOP_BOOTSTRAP", about="Another Hopskotch broker.")
    protocol: Literal["SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"] = setting(
        "SASL_SSL",
        "MMA_HOP_PROTOCOL",
        about="`SASL_PLAINTEXT` for a broker without TLS; `PLAINTEXT` or `SSL` for one that asks for no credential.",
    )
    group: str = setting("mma", "MMA_HOP_GROUP", about="Part of the group id after the user name.")


class SurveyStreamSettings(Group):
    """Where survey alerts are read: one broker per reader (`mma survey read`)."""

    topics: Words = setting(
        (),
        "MMA_SURVEY_TOPICS",
        about="Topics of survey alerts, comma-separated; a name that begins with `^` is a pattern.",
    )
    name: str = setting(
        "survey", "MMA_SURVEY_STREAM", about="Name of the stream, for several readers of several brokers."
    )
    broker: str | None = setting(
        None,
        "MMA_SURVEY_BROKER",
        about="Broker, `host:port`; by default Hopskotch, and GCN for topics that begin with `gcn.`.",
    )
    username: str | None = setting(None, "MMA_SURVEY_USERNAME", about="Credential there: the user name.")
    password: SecretStr | None = setting(None, "MMA_SURVEY_PASSWORD", about="Credential there: the password.")
    protocol: Literal["SASL_SSL", "SASL_PLAINTEXT", "SSL", "PLAINTEXT"] | None = setting(
        None, "MMA_SURVEY_PROTOCOL", about="By default `SASL_SSL` with a user and `PLAINTEXT` without."
    )
    mechanism: Literal["SCRAM-SHA-512", "SCRAM-SHA-256", "PLAIN"] = setting(
        "SCRAM-SHA-512", "MMA_SURVEY_MECHANISM", about="How the password is proven."
    )
    group: str = setting("mma-survey", "MMA_SURVEY_GROUP", about="Consumer group, which the readers of a stream share.")
    offset_reset: Start = setting("latest", "MMA_SURVEY_OFFSET_RESET", about="Where a new group begins.")
