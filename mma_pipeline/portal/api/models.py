"""What the API answers, as its OpenAPI states it. Units are in the names; null means unknown, never zero."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, Field

from mma_pipeline.adapters.archive import ProductRecord, VersionRecord
from mma_pipeline.adapters.archive.coincidences import PairRecord, PairState
from mma_pipeline.adapters.archive.quarantine import QuarantinedMessage
from mma_pipeline.notices.model import Role
from mma_pipeline.notices.pointings import Pointing
from mma_pipeline.portal.context import Portal
from mma_pipeline.portal.guard import plain
from mma_pipeline.portal.summary import EventSummary

#: Formats of tables.
Format = Literal["json", "votable", "ecsv"]


class Problem(BaseModel):
    """What is wrong with a request, or with the portal."""

    detail: Any


class Event(BaseModel):
    """One event as a list shows it."""

    event: str
    test: bool = Field(description="Whether it is a mock or test event.")
    time: datetime | None = Field(description="Time of the event, UTC.")
    newest: datetime = Field(description="Creation time of its newest version, UTC.")
    newest_version: str
    kind: str
    kinds: list[str]
    versions: int
    significant: bool | None
    far_hz: float | None
    instruments: list[str]
    group: str | None
    messenger: str = Field(
        description="What arrived: gravitational waves, gamma rays, X-rays, neutrinos or radio; empty if no notice says so."
    )
    trigger: str = Field(
        description="What a trigger of another observatory is, such as a gamma-ray burst; empty for a gravitational wave."
    )
    classification: dict[str, float]
    properties: dict[str, float]
    map_version: str | None = Field(
        description="The version of its newest own map: areas and distance are of that one."
    )
    area_50_deg2: float | None
    area_90_deg2: float | None
    distance_mpc: float | None
    distance_std_mpc: float | None
    best_region: str | None = Field(
        description="What the smallest region that holds now is: the map above, or one combined with another event's."
    )
    best_area_50_deg2: float | None
    best_area_90_deg2: float | None
    best_distance_mpc: float | None
    best_distance_std_mpc: float | None
    best_combined: bool = Field(description="Whether that region holds only if two events are one source.")
    coincidences: list[str] = Field(description="Observatories of coincidences that its notices state.")
    partners: list[str] = Field(description="Events with which it makes a claimed pair.")
    retracted_by: str | None
    degraded: bool
    page: str = Field(description="Path of its page.")

    @classmethod
    def of(cls, event: EventSummary, portal: Portal) -> Event:
        """From a summary."""
        values = {name: getattr(event, name) for name in EventSummary.__slots__}
        return cls(**plain(values), page=f"{portal.base}/events/{event.event}")


class Events(BaseModel):
    """A page of events, newest first."""

    total: int = Field(description="Events that the filter takes.")
    start: int
    events: list[Event]


class File(BaseModel):
    """One file of the store."""

    key: str = Field(description="Its key in the store.")
    href: str = Field(description="Path at which the portal serves it.")
    name: str = Field(description="Its name among the products of a version, else the last part of its key.")
    product: str | None = Field(description="The product (asset) that made it.")
    version: str | None = Field(description="Partition key of the version that it belongs to.")
    content_type: str | None
    size: int = Field(description="Bytes.")
    sha256: str | None
    written: datetime | None

    @classmethod
    def of(cls, record: ProductRecord, portal: Portal) -> File:
        """From the archive's record of a product."""
        return cls(
            key=record.store_key,
            href=portal.file_path(record.store_key),
            name=record.name,
            product=record.asset,
            version=record.partition_key,
            content_type=record.content_type,
            size=record.size,
            sha256=record.sha256,
            written=record.written,
        )


class Files(BaseModel):
    """Files of an event."""

    event: str
    files: list[File]


class Product(BaseModel):
    """A product of a version: its figures and files."""

    product: str
    version: str
    figures: dict[str, Any] = Field(description="Statistics, with units in their names.")
    files: list[File]


class Products(BaseModel):
    """Products of an event, newest version first."""

    event: str
    products: list[Product]


class Version(BaseModel):
    """One version of an event."""

    version: str = Field(description="Its partition key.")
    event: str
    kind: str
    stem: str = Field(description="Its name in the files that the Treasure Map reads.")
    created: datetime
    has_map: bool
    retraction: bool
    facts: dict[str, Any] = Field(description="What the notice says, without its map.")

    @classmethod
    def of(cls, record: VersionRecord) -> Version:
        """From the archive's record."""
        version = record.version
        return cls(
            version=record.partition_key,
            event=version.event_id,
            kind=version.label,
            stem=str(record.stem),
            created=version.created,
            has_map=record.has_map,
            retraction=version.is_retraction,
            facts=plain(dict(record.facts)),
        )


class Versions(BaseModel):
    """Versions of an event, newest first."""

    event: str
    versions: list[Version]


class Candidates(BaseModel):
    """Kilonova candidates of an event, the most probable first."""

    event: str
    total: int
    candidates: list[dict[str, Any]]


class Pair(BaseModel):
    """A gravitational wave and an event of another messenger within a search window of it."""

    gw_event: str
    other_event: str
    test: bool = Field(description="Whether they are mock or test events.")
    time: datetime = Field(description="Time of the gravitational wave, UTC.")
    state: PairState = Field(description="`claimed`, or why it is not.")
    gw_version: str = Field(description="The version of the gravitational wave that was compared.")
    other_version: str
    figures: dict[str, Any] = Field(description="What the comparison gave, with units in the names.")

    @classmethod
    def of(cls, pair: PairRecord) -> Pair:
        """From the archive's record."""
        return cls(
            gw_event=pair.gw_event,
            other_event=pair.other_event,
            test=pair.role == Role.TEST.value,
            time=pair.gw_time,
            state=pair.state,
            gw_version=pair.gw_partition,
            other_version=pair.other_partition,
            figures=plain(dict(pair.figures)),
        )


class Pairs(BaseModel):
    """Pairs of events of different messengers, the newest gravitational wave first."""

    total: int
    start: int
    pairs: list[Pair]


class Visit(BaseModel):
    """One pointing of a telescope."""

    source: str
    source_id: str
    instrument: str
    status: str
    time: datetime | None
    ra_deg: float
    dec_deg: float
    pos_angle_deg: float
    band: str | None
    depth: float | None
    depth_unit: str | None

    @classmethod
    def of(cls, pointing: Pointing) -> Visit:
        """From the archive's record."""
        shared = {
            name: getattr(pointing, name)
            for name in ("source", "source_id", "instrument", "time", "band", "depth", "depth_unit")
        }
        return cls(
            **shared,
            status=pointing.status.value,
            ra_deg=pointing.ra,
            dec_deg=pointing.dec,
            pos_angle_deg=pointing.pos_angle,
        )


class Coverage(BaseModel):
    """What telescopes have covered of the newest map with a ledger."""

    event: str
    version: str | None
    retracted_by: str | None = Field(description="The notice that withdrew the event, if it is retracted.")
    figures: dict[str, Any]
    total: int = Field(description="Pointings of the event.")
    pointings: list[Visit]


class Quarantined(BaseModel):
    """A message that could not be used."""

    message: int
    stream: str
    coordinates: str
    received: datetime
    reason: str
    event: str | None
    test: bool
    size: int
    sha256: str
    solved: datetime | None
    solution: str | None

    @classmethod
    def of(cls, entry: QuarantinedMessage) -> Quarantined:
        """From the archive's record."""
        shared = {
            name: getattr(entry, name)
            for name in ("stream", "coordinates", "received", "reason", "size", "sha256", "solved", "solution")
        }
        return cls(**shared, message=entry.id, event=entry.event_id, test=entry.rehearsal)


class Quarantine(BaseModel):
    """Messages in quarantine, newest first."""

    messages: list[Quarantined]


class Place(BaseModel):
    """Where a live event's map has a position."""

    event: str
    version: str
    credible_level: float = Field(description="Smallest credible level of the map that holds the position, 0 to 1.")
    area_deg2: float = Field(description="Area of that region.")
    offset_deg: float = Field(description="Angle to the map's peak.")


class Places(BaseModel):
    """Live events whose map has a position within a credible level, the most probable first."""

    ra_deg: float
    dec_deg: float
    level: float
    events: list[Place]


class Object(BaseModel):
    """A candidate within a region."""

    name: str
    ra_deg: float
    dec_deg: float
    simulated: bool


class Objects(BaseModel):
    """Candidates within a region, by name."""

    area_deg2: float = Field(description="Area of the region.")
    total: int
    objects: list[Object]


class Match(BaseModel):
    """Where a map has a position; null where neither map nor caller gave a distance."""

    name: str | None
    ra_deg: float
    dec_deg: float
    distance_mpc: float | None
    searched_prob: float
    searched_area_deg2: float
    offset_deg: float
    probdensity_per_sr: float
    searched_prob_vol: float | None
    searched_vol_mpc3: float | None


class Matches(BaseModel):
    """Positions in the newest map of an event, in the order in which they were sent."""

    event: str
    version: str
    retracted_by: str | None = Field(description="The notice that withdrew the event, if it is retracted.")
    positions: list[Match]


class Position(BaseModel, allow_inf_nan=False):
    """A position to look up."""

    name: str | None = Field(None, max_length=200)
    ra: float = Field(ge=-360, le=360, description="Right ascension, deg, ICRS.")
    dec: float = Field(ge=-90, le=90, description="Declination, deg, ICRS.")
    distance: float | None = Field(None, gt=0, le=1e6, description="Luminosity distance, Mpc.")


class Positions(BaseModel):
    """Positions to look up."""

    positions: list[Position] = Field(min_length=1, max_length=20_000)
