"""External assets: the streams that alerts come from, and the quarantine of messages that cannot be used."""

from datetime import timedelta

import dagster as dg

from mma_pipeline.defs.product_asset import OWNERS
from mma_pipeline.notices.gcn.streams import CORE_STREAMS

#: `pipeline_health_sensor` reports a stream every five minutes while its sensor reads it.
READ_LATELY = dg.FreshnessPolicy.time_window(fail_window=timedelta(minutes=20), warn_window=timedelta(minutes=11))

gwalert_stream = dg.AssetSpec(
    "gwalert_stream",
    group_name="alert",
    freshness_policy=READ_LATELY,
    kinds={"kafka"},
    owners=OWNERS,
    description=(
        "The topic `igwn.gwalert`: gravitational-wave alerts of LIGO/Virgo/KAGRA. Every message is archived as received "
        "before anything is made from it."
    ),
)

icecube_stream = dg.AssetSpec(
    "icecube_stream",
    group_name="neutrino",
    freshness_policy=READ_LATELY,
    kinds={"kafka"},
    owners=OWNERS,
    description=(
        "The topic `gcn.notices.icecube.lvk_nu_track_search`: IceCube's search for neutrinos from each gravitational-wave "
        "event. Every message is archived as received; each notice has its own partition."
    ),
)

#: Each stream of another observatory, and all of them together, which notices come from.
observatory_streams = [
    dg.AssetSpec(
        f"{stream.name}_stream",
        group_name="notices",
        freshness_policy=READ_LATELY,
        kinds={"kafka"},
        owners=OWNERS,
        description=f"{stream.about} Topics {', '.join(f'`{topic}`' for topic in stream.topics)}; a broker need not have them.",
    )
    for stream in CORE_STREAMS
]

notice_streams = dg.AssetSpec(
    "notice_streams",
    group_name="notices",
    freshness_policy=READ_LATELY,
    kinds={"kafka"},
    owners=OWNERS,
    deps=observatory_streams,
    description=(
        "Notices of other observatories in GCN's core schema, read by one consumer: gamma-ray bursts, X-ray and radio "
        "transients, neutrinos. Every message is archived as received; each trigger is an event, and each notice a version."
    ),
)

quarantine = dg.AssetSpec(
    "quarantine",
    group_name="alert",
    kinds={"kafka"},
    owners=OWNERS,
    deps=[gwalert_stream, icecube_stream, notice_streams],
    description=(
        "Messages that could not be used, each with the reason. They stay in the archive and do not stop the messages "
        "behind them. `mma quarantine` lists them."
    ),
)
