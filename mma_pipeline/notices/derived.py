"""The alerts that we publish: the broker message of the SCiMMA demo (v1) and our own richer one (v2).

Here: frozen values, their JSON, the message id, and the Hopskotch headers. Not here: sending and
deciding what is sent. The v2 JSON schema lies in `schemas/`; docs/derived-alerts.md explains it to consumers.

v1 follows scimma/alert-integration-demo (its broker and its TOM), whose consumers compare `sender` and `schema`
and parse `time` with `%Y-%m-%d %H:%M:%S.%f`.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from enum import StrEnum
from importlib import resources
from typing import Any

from mma_pipeline.notices.candidate_summary import AssumedDistance, CheckVerdict, HostSummary
from mma_pipeline.notices.coincidence import Coincidence, with_coincidence
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.fields import decode_json, time_at
from mma_pipeline.notices.icecube_summary import NeutrinoSearch
from mma_pipeline.notices.key import check_event_id
from mma_pipeline.notices.model import Role, role_of

SCHEMA_V1 = "scimma.alert-integration-demo/broker/v1"
SENDER_V1 = "alert-integration-demo"
SCHEMA_V2 = "mma.derived-alert/2.0"
#: A message names the lowest version that has all of its keys: this one added `completes`, `chirp_mass`, `observability`,
#: `forecast`, `coverage` and `coincidence`, and of a candidate everything from `p_phot` on.
SCHEMA_V2_1 = "mma.derived-alert/2.1"
SENDER_V2 = "mma_pipeline"
#: Hopskotch `_format` of v2 messages before it became `json`; the hop plugin still reads it.
FORMAT_V2 = "mma_derived_alert"
#: Namespace of message ids (RFC 9562 version 5): an id depends on the content alone.
ID_NAMESPACE = uuid.UUID("6f1c2b5e-6d0a-5c0e-9f0e-3d0c7a4b8e21")
_TIME_V1 = "%Y-%m-%d %H:%M:%S.%f"
_TIME_V2 = "%Y-%m-%dT%H:%M:%S.%fZ"


class DerivedKind(StrEnum):
    """Kind of a v2 message."""

    VERSION = "version"
    """A version of an event with its products."""
    CANDIDATE = "candidate"
    """A transient scored against an event."""
    COINCIDENCE = "coincidence"
    """A pair of an event with one of another messenger (from 2.1)."""
    RETRACTION = "retraction"
    """Withdraws an earlier message of ours."""


@dataclass(frozen=True, slots=True)
class BrokerAlertV1:
    """Score of one candidate, as the consumers of the SCiMMA demo read it."""

    candidate: str
    ra: float
    """Right ascension ICRS, deg."""
    dec: float
    """Declination ICRS, deg."""
    time_obs: float
    """Time of the latest observation used, MJD (double precision)."""
    kn_score: float
    """Probability that it is a kilonova, 0 to 1."""
    other_score: float
    """Probability that it is something else, 0 to 1."""

    def to_json(self) -> dict[str, Any]:
        """The six fields of the message."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class VersionRef:
    """The version of an event that a message is about."""

    partition_key: str
    label: str
    """Kind of notice, such as `Update` or `Update-ExtCoinc`."""
    created: datetime
    """Creation time of the notice, UTC."""
    file_stem: str | None = None
    """Name of its files on the GWTM site, such as `S230518h-Update1`."""


@dataclass(frozen=True, slots=True)
class Localisation:
    """Localisation of the source, from the sky map."""

    ra: float | None = None
    """Right ascension of the most probable pixel, deg."""
    dec: float | None = None
    """Declination of the most probable pixel, deg."""
    area_50: float | None = None
    """50 % credible area, deg²."""
    area_90: float | None = None
    """90 % credible area, deg²."""
    distance_mean: float | None = None
    """Mean luminosity distance, Mpc, from the map's header, else from the map's layers."""
    distance_std: float | None = None
    """Standard deviation of the luminosity distance, Mpc, from the same source as the mean."""
    distance_mean_layers: float | None = None
    """Mean luminosity distance from the map's layers, Mpc."""
    distance_std_layers: float | None = None
    """Standard deviation of the luminosity distance from the map's layers, Mpc."""


@dataclass(frozen=True, slots=True)
class ChirpMassSummary:
    """Histogram of the source-frame chirp mass, as the notice states it."""

    bin_edges: tuple[float, ...]
    """Edges in solar masses, shape (K + 1,)."""
    probabilities: tuple[float, ...]
    """Probability of each bin, shape (K,)."""


@dataclass(frozen=True, slots=True)
class SiteWindow:
    """When one observatory can observe the map."""

    site: str
    probability: float
    """Probability of the map that is above the site's limits in darkness at some time of the 24 h, 0 to 1."""
    begins: datetime
    """Begin of the spell in which at least a tenth of the best probability is within the limits, UTC."""
    ends: datetime
    """End of that spell, UTC."""
    best: datetime
    """Time at which most probability is above the limits at once, UTC."""
    best_probability: float
    """That probability, 0 to 1."""
    moon_separation: float | None = None
    """Angle between the Moon and the most probable pixel at that time, deg."""
    moon_illumination: float | None = None
    """Share of the Moon's disk that is lit, 0 to 1."""


@dataclass(frozen=True, slots=True)
class Observability:
    """From where the map can be observed in 24 h: the observatories with the most probability first."""

    begins: datetime
    """Begin of the 24 h, UTC."""
    sites: tuple[SiteWindow, ...] = ()
    probability: float | None = None
    """Probability of the map that at least one of all configured observatories can observe, 0 to 1."""


@dataclass(frozen=True, slots=True)
class CoverageSummary:
    """What telescopes have covered of the map when the message was written; the product `coverage_ledger` has all of it."""

    completed: int
    """Completed pointings."""
    planned: int
    """Planned pointings, which count in nothing below."""
    probability: float
    """Probability of the map that completed pointings cover, 0 to 1."""
    area: float
    """Area that they cover, deg²."""
    left_90: float
    """Probability of what they leave of the 90 % region, 0 to 1."""
    left_area_90: float
    """Area of that, deg²."""
    reached: float | None = None
    """Probability covered, weighted by the share of the distance posterior within reach; None without distances."""
    absolute_magnitude: float | None = None
    """Of the source that `reached` assumes."""


@dataclass(frozen=True, slots=True)
class EventSummary:
    """Properties of the source according to the notice."""

    time: datetime | None = None
    """Time of the signal, UTC; None without a usable one."""
    far: float | None = None
    """False alarm rate, Hz."""
    significant: bool | None = None
    instruments: tuple[str, ...] = ()
    group: str | None = None
    pipeline: str | None = None
    search: str | None = None
    classification: Mapping[str, float] = field(default_factory=dict)
    """Class to probability."""
    properties: Mapping[str, float] = field(default_factory=dict)
    """Source property to probability."""
    duration: float | None = None
    """Burst duration, s."""
    central_frequency: float | None = None
    """Burst central frequency, Hz."""
    chirp_mass: ChirpMassSummary | None = None


@dataclass(frozen=True, slots=True)
class CoincidenceSummary:
    """An external coincidence of the version."""

    observatory: str
    gcn_notice_id: str | None = None
    search: str | None = None
    ivorn: str | None = None
    """IVOA identifier of the external notice."""
    time_difference: float | None = None
    """Seconds between the two events."""
    time_coincidence_far: float | None = None
    """Joint false alarm rate in time, Hz."""
    time_sky_position_coincidence_far: float | None = None
    """Joint false alarm rate in time and position, Hz."""


@dataclass(frozen=True, slots=True)
class ForecastSummary:
    """How bright a kilonova of the event would be; the product `forecast` has all of it."""

    applies: bool
    """Whether there is a forecast; `words` say why not."""
    words: str
    p_kilonova: float | None = None
    """(1 - P(terrestrial)) × HasRemnant; None where the notice lacks either."""
    masses: str | None = None
    """Where the masses of the ejecta come from: `notice` or `families`."""
    hours: float | None = None
    """Time after the merger of what follows."""
    median: Mapping[str, float] = field(default_factory=dict)
    """Band to median AB magnitude of the models, without Galactic dust."""
    depth_90: Mapping[str, float] = field(default_factory=dict)
    """Band to the depth (AB mag) that shows 90 % of the models."""


@dataclass(frozen=True, slots=True)
class ProductLink:
    """A product by reference: messages carry no large content."""

    name: str
    url: str
    sha256: str
    """Digest of the bytes behind the link, 64 hexadecimal digits."""
    size: int
    """Bytes."""
    content_type: str | None = None


@dataclass(frozen=True, slots=True)
class CandidateScore:
    """A transient with the results of its light curve."""

    name: str
    ra: float
    """Right ascension ICRS, deg."""
    dec: float
    """Declination ICRS, deg."""
    time_obs: float
    """Time of the latest observation used, MJD."""
    kilonova_probability: float
    """0 to 1."""
    other_probability: float
    """0 to 1."""
    classifier: str | None = None
    """Name and version of the classifier."""
    searched_probability: float | None = None
    """Probability of the sky map above the density at the candidate, 0 to 1."""
    magnitude: float | None = None
    """AB magnitude of the latest detection."""
    magnitude_error: float | None = None
    """Standard deviation of the magnitude, mag."""
    band: str | None = None
    """Band of that magnitude."""
    aliases: tuple[str, ...] = ()
    """Other names of the candidate."""
    p_phot: float | None = None
    """Probability of a kilonova from the light curve and the assumed distance, 0 to 1: the same as `kilonova_probability`."""
    p_afterglow: float | None = None
    """The same of an afterglow of a gamma-ray burst."""
    p_afterglow_supernova: float | None = None
    """The same of an afterglow with its supernova."""
    posterior: float | None = None
    """Probability that it is the event's kilonova: light curve, sky factor and prior together; None without a prior."""
    prior: float | None = None
    """Probability of that before the light curve and the place are known."""
    sky_factor: float | None = None
    """Likelihood ratio of its place for the event's counterpart and for an unrelated transient."""
    sky_factor_dimensions: int | None = None
    """2 (position) or 3 (position and distance)."""
    no_prior: str | None = None
    """Why there is no prior, for people."""
    vetted_probability: float | None = None
    """The posterior (p_phot without one) whose odds were multiplied by the vetting's factor: what rankings use."""
    vetting_factor: float | None = None
    vetting: tuple[CheckVerdict, ...] = ()
    credible_level: float | None = None
    """Credible level of its position in the map, 0 to 1: the same as `searched_probability`."""
    redshift: float | None = None
    """Of the candidate or its host, as the photometry states it."""
    host: HostSummary | None = None
    """Host galaxy from a catalog."""
    distance: AssumedDistance | None = None
    contradiction: str | None = None
    """That and why the posterior contradicts the light curve, for people; None where it does not."""

    @property
    def best_probability(self) -> float:
        """All that is known together: after vetting, else the posterior, else by the light curve."""
        known = (self.vetted_probability, self.posterior)
        return next((value for value in known if value is not None), self.kilonova_probability)


@dataclass(frozen=True, slots=True)
class DerivedAlert:
    """One v2 message."""

    kind: DerivedKind
    event_id: str
    version: VersionRef | None = None
    event: EventSummary | None = None
    localisation: Localisation | None = None
    external: CoincidenceSummary | None = None
    neutrinos: NeutrinoSearch | None = None
    """Only for neutrino notices."""
    forecast: ForecastSummary | None = None
    candidate: CandidateScore | None = None
    products: tuple[ProductLink, ...] = ()
    retracts: str | None = None
    """Id of the withdrawn message (UUID text); only in a retraction."""
    reason: str | None = None
    """Why it was withdrawn, for people."""
    completes: str | None = None
    """Id of an earlier message on the same version (UUID text) without the map's values, which this one replaces."""
    observability: Observability | None = None
    coverage: CoverageSummary | None = None
    coincidence: Coincidence | None = None

    @property
    def schema(self) -> str:
        """Name of the message's schema."""
        mass = self.event and self.event.chirp_mass
        scored = self.candidate and self.candidate.p_phot
        later = scored, self.completes, self.observability, self.forecast, self.coverage, self.coincidence, mass
        return SCHEMA_V2_1 if any(value is not None for value in later) else SCHEMA_V2

    @property
    def role(self) -> Role:
        """Observation or test, by the event's id."""
        return role_of(self.event_id)

    @property
    def is_test(self) -> bool:
        """Whether the message must carry the `_test` header."""
        return self.role is Role.TEST

    def to_json(self) -> dict[str, Any]:
        """The message as JSON values, with its id; absent values are left out."""
        body = {"schema": self.schema, "role": str(self.role), **_plain(self)}
        return {"id": str(_content_id(body)), **body}

    @classmethod
    def from_json(cls, record: Mapping[str, Any]) -> DerivedAlert:
        """Build the alert of a decoded message; unknown keys are ignored.

        Raises NoticeError if it is not a v2 message, or if a required value is missing or of another kind.
        """
        schema = record.get("schema")
        if not isinstance(schema, str) or not schema.startswith("mma.derived-alert/2."):
            raise NoticeError(f"schema is {schema!r:.60}, not {SCHEMA_V2}")
        try:
            return cls(
                kind=DerivedKind(record["kind"]),
                event_id=check_event_id(record["event_id"]),
                version=_nested(VersionRef, record.get("version"), times=("created",)),
                event=_event(record.get("event")),
                localisation=_nested(Localisation, record.get("localisation")),
                external=_nested(CoincidenceSummary, record.get("external")),
                neutrinos=None if (found := record.get("neutrinos")) is None else NeutrinoSearch.from_json(found),
                forecast=_nested(ForecastSummary, record.get("forecast")),
                candidate=_candidate(record.get("candidate")),
                products=tuple(ProductLink(**_known(ProductLink, p)) for p in record.get("products", ())),
                retracts=record.get("retracts"),
                reason=record.get("reason"),
                completes=record.get("completes"),
                observability=_observability(record.get("observability")),
                coverage=_nested(CoverageSummary, record.get("coverage")),
                coincidence=_nested(Coincidence, record.get("coincidence")),
            )
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise NoticeError(f"the derived alert is incomplete or wrong: {error}") from error


def encode(alert: BrokerAlertV1 | DerivedAlert) -> bytes:
    """Serialise to canonical JSON: UTF-8, sorted keys, no spaces, no NaN. Raises ValueError for NaN and infinities."""
    return encode_json(alert.to_json())


def encode_json(body: Mapping[str, Any]) -> bytes:
    """The same of the JSON values of a message in any form."""
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def decode_v2(data: bytes) -> DerivedAlert:
    """Parse the bytes of a v2 message; raises NoticeError with the reason."""
    return DerivedAlert.from_json(decode_json(data))


def message_id(alert: BrokerAlertV1 | DerivedAlert) -> uuid.UUID:
    """Id by which consumers de-duplicate: the same content always has the same id, in any run on any machine.

    Hopskotch carries its 16 bytes as `_id`, v1 also its 32 hexadecimal digits as `id`.
    """
    if isinstance(alert, DerivedAlert):
        return uuid.UUID(alert.to_json()["id"])
    return _content_id({"schema": SCHEMA_V1, **alert.to_json()})


def headers_v1(alert: BrokerAlertV1, published: datetime) -> dict[str, str]:
    """Headers of a v1 message: sender, schema, time (UTC, always with microseconds) and id (32 hexadecimal digits)."""
    return {
        "sender": SENDER_V1,
        "schema": SCHEMA_V1,
        "time": published.astimezone(UTC).strftime(_TIME_V1),
        "id": message_id(alert).hex,
    }


def headers_v2(alert: DerivedAlert, published: datetime) -> dict[str, str]:
    """Headers of a v2 message, with the names that v1 consumers know; id is the UUID text of the message."""
    return {
        "sender": SENDER_V2,
        "schema": alert.schema,
        "time": published.astimezone(UTC).strftime(_TIME_V1),
        "id": str(message_id(alert)),
        "event_id": alert.event_id,
        "kind": str(alert.kind),
    }


def retraction_of(message: uuid.UUID, event_id: str, *, version: VersionRef | None, reason: str) -> DerivedAlert:
    """The message that withdraws an earlier one of ours, v1 or v2, by its id."""
    return DerivedAlert(DerivedKind.RETRACTION, event_id, version=version, retracts=str(message), reason=reason)


def json_schema_v2() -> dict[str, Any]:
    """JSON schema (draft 2020-12) of the v2 message."""
    text = resources.files(__package__).joinpath("schemas/derived-alert-2.0.schema.json").read_text("utf-8")
    schema: dict[str, Any] = json.loads(text)
    return with_coincidence(schema)


def _content_id(body: Mapping[str, Any]) -> uuid.UUID:
    return uuid.uuid5(ID_NAMESPACE, encode_json(body).decode())


def _plain(value: Any) -> Any:
    """JSON values of a dataclass tree, without None and empty values."""
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime(_TIME_V2)
    if isinstance(value, StrEnum):
        return str(value)
    if hasattr(value, "__dataclass_fields__"):
        value = {f.name: getattr(value, f.name) for f in fields(value)}
    if isinstance(value, Mapping):
        items = ((str(k), _plain(v)) for k, v in value.items() if v is not None)
        return {k: v for k, v in items if v not in ({}, [])}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return value


def _event(record: Mapping[str, Any] | None) -> EventSummary | None:
    if record is None:
        return None
    found: EventSummary = _nested(EventSummary, {k: v for k, v in record.items() if k != "chirp_mass"}, times=("time",))
    return replace(found, chirp_mass=_nested(ChirpMassSummary, record.get("chirp_mass")))


def _candidate(record: Mapping[str, Any] | None) -> CandidateScore | None:
    if record is None:
        return None
    found: CandidateScore = _nested(CandidateScore, {**record, "vetting": None, "host": None, "distance": None})
    return replace(
        found,
        vetting=tuple(_nested(CheckVerdict, one) for one in record.get("vetting", ())),
        host=_nested(HostSummary, record.get("host")),
        distance=_nested(AssumedDistance, record.get("distance")),
    )


def _observability(record: Mapping[str, Any] | None) -> Observability | None:
    if record is None:
        return None
    found: Observability = _nested(Observability, {**record, "sites": None}, times=("begins",))
    times = ("begins", "ends", "best")
    return replace(found, sites=tuple(_nested(SiteWindow, site, times=times) for site in record.get("sites", ())))


def _known(kind: type[Any], record: Mapping[str, Any]) -> dict[str, Any]:
    names = {f.name for f in fields(kind)}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in record.items() if k in names}


def _nested(kind: type[Any], record: Mapping[str, Any] | None, times: tuple[str, ...] = ()) -> Any:
    if record is None:
        return None
    return kind(**_known(kind, record) | {name: time_at(record, name) for name in times if name in record})
