"""Writes claimed pairs of events to the outbox as derived alerts, and withdraws those that no longer stand.

A pair is published once for the versions that were compared; a newer map of either event makes a newer message. When one
of the events is retracted, or a newer comparison no longer claims the pair, every message of it is withdrawn by its id.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from mma_pipeline.adapters.archive import Archive, Connection, VersionRecord, outbox, writing
from mma_pipeline.adapters.archive.coincidences import PairRecord, PairState
from mma_pipeline.adapters.archive.database import lock_event
from mma_pipeline.adapters.archive.publications import Draft, Publication, State
from mma_pipeline.adapters.publishing import formats, hopskotch
from mma_pipeline.adapters.publishing.compose import event_summary, version_ref
from mma_pipeline.adapters.publishing.config import DestinationConfig
from mma_pipeline.notices.coincidence import Coincidence
from mma_pipeline.notices.derived import DerivedAlert, DerivedKind, Localisation, ProductLink
from mma_pipeline.notices.derived import retraction_of as withdrawal_of
from mma_pipeline.notices.key import EventVersion

#: Beginning of the keys under which pairs are published.
KEY = "coincidence:"
_REASONS = {
    PairState.WITHDRAWN: "an event of the pair was retracted",
    PairState.CHANCE: "by newer notices the pair is compatible with chance",
    PairState.EXCLUDED: "by newer maps the events exclude a common source",
    PairState.UNRATED: "by newer notices the pair has no joint false-alarm rate",
    PairState.OUTSIDE: "by newer notices the events are not within the search window",
}


def enqueue_pair(
    archive: Archive,
    destinations: Iterable[DestinationConfig],
    pair: PairRecord,
    now: datetime,
    url: Callable[[str], str | None],
) -> list[str]:
    """Write what follows from a pair to the outbox of every Hopskotch topic; returns keys of new publications. Idempotent.

    Args:
        archive: versions, products and outbox.
        destinations: as configured; only Hopskotch topics with v2 messages or GCN's notices take pairs.
        pair: as last compared.
        now: time of the decision.
        url: public address of a storage key; None if it has none.
    """
    takers = [c for c in destinations if _forms(c)]
    if not takers:
        return []
    gw = archive.version(pair.gw_partition)
    alert = pair_alert(archive, pair, gw, url) if pair.state is PairState.CLAIMED else None
    by = pair.figures.get("withdrawn_by")
    if by is not None and EventVersion.from_partition_key(by).event_id == pair.gw_event:
        # As the withdrawal of every message of the event says: consumers then know that the event itself is retracted.
        gw = archive.version(by)
    made: list[str] = []
    with writing(archive.engine) as connection:
        lock_event(connection, pair.gw_event)
        for config in takers:
            drafts = (
                _withdrawals(connection, config, pair, gw, now) if alert is None else _alerts(config, pair, alert, now)
            )
            made += [draft.dedupe_key for draft in drafts if outbox.enqueue(connection, draft, now)]
    return made


def pair_alert(archive: Archive, pair: PairRecord, gw: VersionRecord, url: Callable[[str], str | None]) -> DerivedAlert:
    """The message of a claimed pair."""
    found = pair.figures
    return DerivedAlert(
        kind=DerivedKind.COINCIDENCE,
        event_id=pair.gw_event,
        version=version_ref(gw),
        event=event_summary(gw.facts),
        localisation=_localisation(found),
        coincidence=Coincidence(
            other_event=pair.other_event,
            other_version=pair.other_partition,
            search=found["search"],
            time_difference=found["difference_s"],
            far=found["far_hz"],
            messenger=found.get("messenger"),
            instruments=tuple(found.get("instruments") or ()),
            window=tuple(found["window_s"]),
            method=found["method"],
            overlap=found["overlap"],
            time_coincidence_far=found["far_time_hz"],
            time_sky_position_coincidence_far=found["far_space_time_hz"],
            sure_time_coincidence_far=found["far_sure_time_hz"],
            sure_time_sky_position_coincidence_far=found["far_sure_space_time_hz"],
            chance=found["p_chance"],
            chance_of_all=found["p_chance_all"],
            pairs_looked_at=found["pairs_looked_at"],
        ),
        products=tuple(_links(archive, pair, url)),
    )


def _localisation(found: Any) -> Localisation | None:
    if found.get("area_90_combined_deg2") is None:
        return None
    return Localisation(
        ra=found.get("peak_ra_combined_deg"),
        dec=found.get("peak_dec_combined_deg"),
        area_50=found["area_50_combined_deg2"],
        area_90=found["area_90_combined_deg2"],
        distance_mean=found.get("distance_mean_combined_mpc"),
        distance_std=found.get("distance_std_combined_mpc"),
    )


def _links(archive: Archive, pair: PairRecord, url: Callable[[str], str | None]) -> Iterable[ProductLink]:
    """Files of the pair, those of the version whose run compared it, with public addresses only."""
    for partition in (pair.gw_partition, pair.other_partition):
        files = {p.name: p for p in archive.products(partition) if p.asset == "coincidences"}
        best = next((p.statistics.get("best_event") for p in files.values()), None)
        if best == pair.partner_of(pair.gw_event if partition == pair.gw_partition else pair.other_event):
            for name, product in sorted(files.items()):
                address = url(product.store_key)
                if address is not None:
                    yield ProductLink(name, address, product.sha256, product.size, product.content_type)
            return


def _alerts(config: DestinationConfig, pair: PairRecord, alert: DerivedAlert, now: datetime) -> list[Draft]:
    if not all(reason.passed for reason in config.rule.judge(alert)):
        return []
    key = f"{KEY}{pair.gw_partition}:{pair.other_partition}"
    payload, order = {"alert": alert.to_json(), "published": now.isoformat()}, f"pair {pair.other_event}"
    return [
        Draft(
            config.name,
            form,
            key if form == formats.V2 else f"{form}:{key}",
            pair.gw_event,
            payload,
            pair.gw_partition,
            sequence=order if form == formats.V2 else f"{form} {order}",
        )
        for form in _forms(config)
    ]


def _forms(config: DestinationConfig) -> list[str]:
    """Forms in which a destination takes pairs."""
    return [form for form in (formats.V2, formats.GCN) if form in config.formats]


def _withdrawals(
    connection: Connection, config: DestinationConfig, pair: PairRecord, gw: VersionRecord, now: datetime
) -> list[Draft]:
    sent = outbox.publications(
        connection, event_id=pair.gw_event, destination=config.name, kinds=(formats.V2, formats.GCN)
    )
    by = pair.figures.get("withdrawn_by")
    reason = f"{pair.gw_event} with {pair.other_event}: {_REASONS[pair.state]}" + (f" ({by})" if by else "")
    drafts = []
    for item in (p for p in sent if _is_of(p, pair) and p.state is not State.FAILED):
        message = hopskotch.id_of(item.kind, item.payload)
        withdrawal = withdrawal_of(message, pair.gw_event, version=version_ref(gw), reason=reason)
        payload = {"alert": withdrawal.to_json(), "published": now.isoformat()}
        # The key is that of a retraction of the gravitational wave, which withdraws all its messages: one is sent.
        key = f"retract:{message}"
        drafts.append(
            Draft(
                config.name,
                hopskotch.withdrawal_form(item.kind),
                key,
                pair.gw_event,
                payload,
                pair.gw_partition,
                after=item.dedupe_key,
            )
        )
    return drafts


def _is_of(item: Publication, pair: PairRecord) -> bool:
    stated = item.payload["alert"].get("coincidence") or {}
    return (
        item.dedupe_key.removeprefix(f"{formats.GCN}:").startswith(KEY)
        and stated.get("other_event") == pair.other_event
    )
