"""Decides which versions of an event go to which destination, and writes them to the outbox in the same transaction.

Beyond the rules of a destination:
- A retraction goes to every destination that got something of the event, as a withdrawal of each message. The Treasure Map
  (GWTM), which shows an event's whole history, gets it in any case.
- A version that arrives after its event was retracted is only sent to GWTM, whose numbering needs it.
- GWTM keeps a galaxy list until it is removed. So if a list of ours was posted, a later version that ranks no galaxy, or a
  retraction, sends an empty list, which means removal.
- A neutrino notice goes to GWTM according to its role, to Hopskotch if the event that it was compared with meets the rule,
  and nowhere else. GWTM keeps the first notice of a reference, so a second one is not sent.
- GWTM numbers rows by counting them. So all versions of the same kind with lower numbers go before a version, and the main
  version before the combined map of a coincidence. One of these that may not be published yet (its products are missing, or
  a check blocks it) keeps its place and is sent after its own decision; those behind it wait.
- A version whose products failed for good is bare: it lacks its map's values. GWTM keeps a row as first posted, so it gets
  none (unless `bare_rows` is set). The other destinations get the bare version, and a second, complete message when the
  products are made.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from uuid import uuid5

from mma_pipeline.adapters.archive import (
    Archive,
    Connection,
    ProductRecord,
    VersionRecord,
    decisions,
    outbox,
    reading,
    writing,
)
from mma_pipeline.adapters.archive.database import lock_event
from mma_pipeline.adapters.archive.event_history import retraction_of
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.archive.publications import Draft, Publication, State
from mma_pipeline.adapters.publishing import formats, gwtm, gwtm_candidates, hopskotch, webhook
from mma_pipeline.adapters.publishing.compose import FLAT_MAP, GALAXIES, compose, is_bare, plot_url, version_ref
from mma_pipeline.adapters.publishing.config import GWTM, HOPSKOTCH, DestinationConfig
from mma_pipeline.adapters.publishing.gwtm_fields import icecube_body
from mma_pipeline.adapters.publishing.rules import Reason
from mma_pipeline.notices.derived import ID_NAMESPACE, BrokerAlertV1, DerivedAlert
from mma_pipeline.notices.derived import retraction_of as withdrawal_of
from mma_pipeline.notices.fields import decode_notice
from mma_pipeline.notices.key import EXTERNAL_SUFFIX, ICECUBE_LABEL
from mma_pipeline.notices.outgoing.points import points_of

#: Whether a version may be published in its present state: its products exist, and nothing blocks it.
Fit = Callable[[VersionRecord], bool]


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision about one version for one destination."""

    destination: str
    accepted: bool
    reasons: tuple[Reason, ...]
    drafts: tuple[Draft, ...]
    """Publications that follow from it, in order."""
    bare: bool = False
    """Whether the version lacked its map's values."""
    deferred: bool = False
    """Nothing was decided: the destination waits for the version's products."""


@dataclass(frozen=True, slots=True)
class Extras:
    """Content of a version beyond its alert."""

    galaxies: Sequence[Mapping[str, Any]] | None = None
    """Ranked host galaxies, best first: name, ra and dec [deg], score, info. Empty if the version ranks none, None
    if its ranking is unknown."""


@dataclass(slots=True)
class Decider:
    """Decides for the destinations of one archive.

    Args:
        archive: versions and products.
        url: public address of a storage key, for links; None if it has none.
        destinations: as configured.
        fit: whether an earlier version may be published in its present state; by default, whether its map's values exist.
    """

    archive: Archive
    url: Callable[[str], str | None]
    destinations: Sequence[DestinationConfig]
    fit: Fit | None = None
    _cache: dict[str, tuple[DerivedAlert, Mapping[str, ProductRecord]]] = field(default_factory=dict)
    _unfit: set[str] = field(default_factory=set)
    _notice: Mapping[str, Any] | None = None

    def decide(self, record: VersionRecord, now: datetime, extras: Extras | None = None) -> list[Decision]:
        """Decide and enqueue in one transaction; idempotent."""
        versions = self._versions_of(record)
        with writing(self.archive.engine) as connection:
            lock_event(connection, record.version.event_id)
            made = [self._judge(connection, c, record, versions, now, extras or Extras()) for c in self.destinations]
            for decision in made:
                if decision.deferred:
                    continue
                decisions.record_decision(
                    connection,
                    decision.destination,
                    record.partition_key,
                    record.version.event_id,
                    accepted=decision.accepted,
                    reasons=[reason.to_json() for reason in decision.reasons],
                    now=now,
                    bare=decision.bare,
                )
                for draft in decision.drafts:
                    is_new = outbox.enqueue(connection, draft, now)
                    if is_new and draft.kind == gwtm.GALAXIES and not draft.payload["galaxies"]:
                        # An older list that still waits is obsolete and would delay the removal.
                        older = [v.partition_key for v in versions if _rank(v) < _rank(record)]
                        outbox.supersede(connection, draft.destination, draft.kind, older, now, by=draft.dedupe_key)
        return made

    def preview(self, record: VersionRecord, now: datetime, extras: Extras | None = None) -> list[Decision]:
        """The decisions that would be made; nothing is written."""
        versions = self._versions_of(record)
        with reading(self.archive.engine) as connection:
            return [self._judge(connection, c, record, versions, now, extras or Extras()) for c in self.destinations]

    def _versions_of(self, record: VersionRecord) -> list[VersionRecord]:
        """All versions of the event; their alerts are built before the transaction, which should be short."""
        self._cache.clear()
        versions = self.archive.versions(record.version.event_id)
        products = self.archive.products_of(one.partition_key for one in versions)
        for one in versions:
            self._cache[one.partition_key] = compose(one, products[one.partition_key], self.url, versions)
        if self.fit is not None and any(config.kind == GWTM for config in self.destinations):
            self._unfit = {v.partition_key for v in _prerequisites(record, versions) if not self.fit(v)}
        self._notice = None
        if record.version.label == ICECUBE_LABEL:
            sent = decode_notice(self.archive.message(record.message_id).body)
            # The parser found the event: a notice of the old schema names it only in its reference.
            self._notice = icecube_body({**sent, "ref_ID": record.version.event_id})
        return versions

    def _judge(
        self,
        connection: Connection,
        config: DestinationConfig,
        record: VersionRecord,
        versions: Sequence[VersionRecord],
        now: datetime,
        extras: Extras,
    ) -> Decision:
        alert, products = self._cache[record.partition_key]
        bare = is_bare(record, products)
        reasons = self._reasons(connection, config, record, alert, versions)
        accepted = all(reason.passed for reason in reasons)
        held = bare and not config.takes_bare and record.version.label != ICECUBE_LABEL
        if held and accepted:
            reasons += (
                Reason("its products exist", False, "not yet: the Treasure Map keeps a row as it was first posted"),
            )
            return Decision(config.name, accepted, reasons, (), bare=True, deferred=True)
        if config.kind == GWTM:
            drafts = [] if held else self._gwtm(connection, config, record, versions, extras, accepted=accepted)
        elif not accepted:
            drafts = []
        elif config.kind == HOPSKOTCH:
            drafts = self._hopskotch(connection, config, record, alert, now)
        else:
            drafts = self._webhook(connection, config, record)
        return Decision(config.name, accepted, reasons, tuple(drafts), bare=bare)

    def _reasons(
        self,
        connection: Connection,
        config: DestinationConfig,
        record: VersionRecord,
        alert: DerivedAlert,
        versions: Sequence[VersionRecord],
    ) -> tuple[Reason, ...]:
        event_id, label = record.version.event_id, record.version.label
        if not record.version.is_gravitational_wave:
            found = f"a trigger of {', '.join(record.facts.get('instruments') or ['another observatory'])}"
            return (Reason("a gravitational-wave event", False, found),)
        neutrinos = label == ICECUBE_LABEL
        if neutrinos and config.kind not in {GWTM, HOPSKOTCH}:
            return (Reason("a gravitational-wave version", False, "a neutrino notice"),)
        if record.version.is_retraction or (neutrinos and config.kind == GWTM):
            sent = outbox.publications(connection, event_id=event_id, destination=config.name)
            role = Reason(
                f"role is {' or '.join(config.rule.roles)}", str(alert.role) in config.rule.roles, str(alert.role)
            )
            if neutrinos:
                return (role, self._first_of_its_reference(connection, config, record))
            if config.kind == GWTM:
                return (role,)
            return (Reason("an earlier version was sent there", bool(sent), f"{len(sent)} publications"),)
        reasons = config.rule.judge(alert)
        retraction = retraction_of(versions)
        if retraction is not None and config.kind != GWTM:
            found = f"retracted at {retraction.version.created.isoformat()}"
            reasons += (Reason("the event is not retracted", False, found),)
        return reasons

    def _first_of_its_reference(
        self, connection: Connection, config: DestinationConfig, record: VersionRecord
    ) -> Reason:
        """Whether the notice is the first of its reference: GWTM answers further ones with 200, and stores nothing."""
        key = self._notice_key()
        known = outbox.keyed(connection, config.name, key)
        other = known is not None and known.partition_key != record.partition_key
        found = f"{key}, sent for {known.partition_key}" if known is not None and other else key
        return Reason("the first notice of its reference", not other, found)

    def _notice_key(self) -> str:
        return f"icecube:{self._notice['notice_data']['ref_id']}" if self._notice else ""

    def _gwtm(
        self,
        connection: Connection,
        config: DestinationConfig,
        record: VersionRecord,
        versions: Sequence[VersionRecord],
        extras: Extras,
        *,
        accepted: bool,
    ) -> list[Draft]:
        if record.version.label == ICECUBE_LABEL:
            if not accepted or self._notice is None:
                return []
            return [self._draft(config, record, gwtm.ICECUBE, self._notice_key(), {"body": self._notice})]
        own = self._gwtm_alert(config, record, provisional=False, versions=versions)
        if not accepted:
            # A later version may already have needed this row for the numbering: then the row gets its full content now.
            known = outbox.publications(connection, destination=config.name, partition_key=record.partition_key)
            return [own] if any(p.dedupe_key == own.dedupe_key and p.provisional for p in known) else []
        before = [
            self._gwtm_alert(config, one, provisional=not self._is_fit(one), versions=versions)
            for one in _prerequisites(record, versions)
        ]
        removals = self._candidate_removals(connection, config, record)
        return [*before, own, *self._galaxies(connection, config, record, versions, extras, own), *removals]

    def _candidate_removals(
        self, connection: Connection, config: DestinationConfig, record: VersionRecord
    ) -> list[Draft]:
        """Removals of the candidates that were posted of an event that is retracted."""
        if not record.version.is_retraction:
            return []
        posted = outbox.publications(
            connection,
            event_id=record.version.event_id,
            destination=config.name,
            kinds=(gwtm_candidates.CANDIDATE,),
        )
        drafts = []
        for item in posted:
            name, key = item.payload["fields"]["candidate_name"], f"remove {item.dedupe_key}"
            kind = gwtm_candidates.REMOVAL
            drafts.append(self._draft(config, record, kind, key, {"name": name}, after=item.dedupe_key))
        return drafts

    def _is_fit(self, record: VersionRecord) -> bool:
        key = record.partition_key
        return key not in self._unfit and not is_bare(record, self._cache[key][1])

    def _galaxies(
        self,
        connection: Connection,
        config: DestinationConfig,
        record: VersionRecord,
        versions: Sequence[VersionRecord],
        extras: Extras,
        row: Draft,
    ) -> list[Draft]:
        """The galaxy list of a version, empty for the removal of an earlier one; no draft if nothing changes.

        Lists of one event keep their order. A retraction's removal overtakes them, and lists that still wait are no longer
        posted. A list with galaxies needs the row of its version on GWTM.
        """
        galaxies = () if record.version.is_retraction else extras.galaxies
        if galaxies is None:
            return []
        known = outbox.publications(
            connection, event_id=record.version.event_id, destination=config.name, kinds=(gwtm.GALAXIES,)
        )
        own, before, after = _rank(record), [], []
        for version in versions:
            lists = [p for p in known if p.partition_key == version.partition_key]
            if _rank(version) < own:
                before += lists
            elif _rank(version) > own:
                after += lists
        # A notice that arrives late must neither restore an old list nor remove a newer one.
        if any(p.state is not State.FAILED for p in after):
            return []
        if galaxies and any(_rank(v) > own and self._has_none(connection, config, v) for v in versions):
            return []
        # A list whose publication failed may still be on GWTM: it is removed, too.
        if not galaxies and not any(p.payload["galaxies"] for p in before):
            return []
        payload: dict[str, Any] = {"alert": row.payload["alert"], "galaxies": [dict(g) for g in galaxies]}
        key, retracted = f"galaxies:{record.partition_key}", record.version.is_retraction
        order = None if retracted else "galaxies"
        # No list is posted after the retraction's row, so the removal finds all of them.
        first = row.dedupe_key if galaxies or retracted else None
        return [self._draft(config, record, gwtm.GALAXIES, key, payload, sequence=order, after=first)]

    def _has_none(self, connection: Connection, config: DestinationConfig, record: VersionRecord) -> bool:
        """Whether a version has been decided on that removes the event's list, or would if there were one."""
        product = self._cache[record.partition_key][1].get(GALAXIES)
        ranks_none = product is not None and product.statistics.get("galaxies_listed") == 0
        decided = decisions.is_decided(connection, config.name, record.partition_key)
        return decided and (ranks_none or record.version.is_retraction)

    def _gwtm_alert(
        self, config: DestinationConfig, record: VersionRecord, *, provisional: bool, versions: Sequence[VersionRecord]
    ) -> Draft:
        alert, products = self._cache[record.partition_key]
        flat = products.get(FLAT_MAP)
        payload = {"alert": alert.to_json(), "number": record.number, "skymap_key": flat.store_key if flat else None}
        if is_bare(record, products):
            payload["bare"] = True
        main = _main_of(record, versions)
        return self._draft(
            config,
            record,
            gwtm.ALERT,
            _alert_key(record),
            payload,
            provisional=provisional,
            sequence=f"alert {record.version.label}",
            after=_alert_key(main[-1]) if main else None,
        )

    def _hopskotch(
        self,
        connection: Connection,
        config: DestinationConfig,
        record: VersionRecord,
        alert: DerivedAlert,
        now: datetime,
    ) -> list[Draft]:
        published = now.isoformat()
        if not record.version.is_retraction:
            # v1 and Hermes are for candidates only.
            forms = [form for form in (formats.V2, formats.GCN) if form in config.formats]
            return [self._version_message(connection, config, record, alert, published, form) for form in forms]
        sent = outbox.publications(
            connection, event_id=record.version.event_id, destination=config.name, kinds=formats.FORMATS
        )
        reason = f"{record.version.event_id} was retracted by LIGO/Virgo/KAGRA at {record.version.created.isoformat()}"
        drafts = []
        for item in (p for p in sent if p.state is not State.FAILED and not hopskotch.withdraws(p.kind, p.payload)):
            message = hopskotch.id_of(item.kind, item.payload)
            withdrawal = withdrawal_of(message, record.version.event_id, version=version_ref(record), reason=reason)
            payload = {"alert": withdrawal.to_json(), "published": published}
            key, form = f"retract:{message}", hopskotch.withdrawal_form(item.kind)
            # A withdrawal waits only for the message that it withdraws.
            drafts.append(self._draft(config, record, form, key, payload, after=item.dedupe_key))
        return drafts

    def _version_message(
        self,
        connection: Connection,
        config: DestinationConfig,
        record: VersionRecord,
        alert: DerivedAlert,
        published: str,
        form: str,
    ) -> Draft:
        # By version, not by content: products that are made later cause no second message, except after a bare one.
        key = f"version:{record.partition_key}" if form == formats.V2 else f"{form}:version:{record.partition_key}"
        earlier = outbox.keyed(connection, config.name, key)
        if self._completes(earlier, record):
            key = f"{key}:completed"
            if earlier is not None and earlier.state is not State.FAILED:
                alert = replace(alert, completes=str(hopskotch.id_of(earlier.kind, earlier.payload)))
        payload = {"alert": alert.to_json(), "published": published, **self._bare(record)}
        return self._draft(
            config, record, form, key, payload, sequence="versions" if form == formats.V2 else f"{form} versions"
        )

    def _webhook(self, connection: Connection, config: DestinationConfig, record: VersionRecord) -> list[Draft]:
        alert, products = self._cache[record.partition_key]
        key = record.partition_key
        if self._completes(outbox.keyed(connection, config.name, key), record):
            key = f"{key}:completed"
        payload = {"alert": alert.to_json(), "picture": plot_url(products, self.url), **self._bare(record)}
        sequence = None if record.version.is_retraction else "versions"
        return [self._draft(config, record, webhook.VERSION, key, payload, sequence=sequence)]

    def _bare(self, record: VersionRecord) -> dict[str, bool]:
        return {"bare": True} if is_bare(record, self._cache[record.partition_key][1]) else {}

    def _completes(self, earlier: Publication | None, record: VersionRecord) -> bool:
        """Whether a message went out without the map's values, which exist now."""
        if earlier is None or not earlier.payload.get("bare") or self._bare(record):
            return False
        return not outbox.is_untried(earlier)

    def _draft(
        self,
        config: DestinationConfig,
        record: VersionRecord,
        kind: str,
        key: str,
        payload: Mapping[str, Any],
        *,
        provisional: bool = False,
        sequence: str | None = None,
        after: str | None = None,
    ) -> Draft:
        event_id, partition = record.version.event_id, record.partition_key
        return Draft(config.name, kind, key, event_id, payload, partition, provisional, sequence, after)


def enqueue_candidate(
    archive: Archive, destinations: Iterable[DestinationConfig], alert: DerivedAlert, now: datetime
) -> list[str]:
    """Write a scored candidate to the outbox of every Hopskotch topic whose rule it meets, in the configured formats, and
    once to the Treasure Map where its destination takes candidates.

    Returns the ids of the messages (UUID text) and keys of rows. Idempotent for the same score.
    """
    candidate, made = alert.candidate, []
    if candidate is None:
        raise ValueError("the alert has no candidate")
    old = BrokerAlertV1(
        candidate.name,
        candidate.ra,
        candidate.dec,
        candidate.time_obs,
        candidate.kilonova_probability,
        candidate.other_probability,
    )
    partition = alert.version.partition_key if alert.version else None
    takers = [c for c in destinations if c.takes_candidates and all(reason.passed for reason in c.rule.judge(alert))]
    points, simulated = list[dict[str, Any]](), False
    if any(c.kind == GWTM or {formats.GCN, formats.HERMES} & {*c.formats} for c in takers):
        photometry = PhotometryArchive(archive)
        found = photometry.measurements(candidate.name)
        points = points_of((one.measurement for one in found), candidate.time_obs)
        simulated = any(one.simulated for one in photometry.candidates_named([candidate.name]))
    with writing(archive.engine) as connection:
        lock_event(connection, alert.event_id)
        for config in takers:
            for form in config.formats:
                if simulated and not alert.is_test and form in {formats.GCN, formats.HERMES}:
                    continue  # their readers cannot tell it from a real one
                payload: dict[str, Any] = {
                    "alert": (old if form == formats.V1 else alert).to_json(),
                    "published": now.isoformat(),
                }
                if form == formats.V1:
                    payload["test"] = alert.is_test
                elif form in {formats.GCN, formats.HERMES}:
                    payload["photometry"] = points
                key = str(hopskotch.id_of(form, payload))
                # The nights of one candidate stay in order; the digest keeps the name of the sequence short.
                named = f"{form} {uuid5(ID_NAMESPACE, candidate.name)}"
                outbox.enqueue(
                    connection, Draft(config.name, form, key, alert.event_id, payload, partition, sequence=named), now
                )
                made.append(key)
            wanted = config.kind == GWTM and (alert.is_test or not simulated)
            row = gwtm_candidates.draft(config.name, alert, points) if wanted else None
            if row is not None:
                outbox.enqueue(connection, row, now)
                made.append(row.dedupe_key)
    return made


def _prerequisites(record: VersionRecord, versions: Sequence[VersionRecord]) -> list[VersionRecord]:
    """Versions whose rows GWTM must have before this one's, in order."""
    found = []
    for one in _main_of(record, versions):
        found += [*_prerequisites(one, versions), one]
    lower = [v for v in versions if v.version.label == record.version.label and v.number < record.number]
    return found + sorted(lower, key=lambda v: v.number)


def _main_of(record: VersionRecord, versions: Sequence[VersionRecord]) -> list[VersionRecord]:
    """The main version of a coincidence's combined map; empty for all others."""
    label = record.version.label
    if not label.endswith(EXTERNAL_SUFFIX):
        return []
    main = label.removesuffix(EXTERNAL_SUFFIX)
    return [v for v in versions if v.version.label == main and v.version.created == record.version.created]


def _alert_key(record: VersionRecord) -> str:
    return f"alert:{record.partition_key}"


def _rank(record: VersionRecord) -> tuple[datetime, bool, str]:
    """Sort key of an event's versions: by creation, the combined map after the main one."""
    return record.version.created, record.version.is_external, record.partition_key
