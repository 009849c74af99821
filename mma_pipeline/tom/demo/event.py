"""A simulated event and its derived alerts, as the pipeline publishes them; for demos and tests.

The event is a test event by its id. Positions, magnitudes and probabilities are invented; the candidate lies where
AT2017gfo did.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from mma_pipeline.notices.candidate_summary import CheckVerdict
from mma_pipeline.notices.derived import (
    BrokerAlertV1,
    CandidateScore,
    DerivedAlert,
    DerivedKind,
    EventSummary,
    Localisation,
    ProductLink,
    VersionRef,
    encode,
    headers_v1,
    headers_v2,
    message_id,
    retraction_of,
)

_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Sent:
    """A message ready for Kafka."""

    body: bytes
    headers: dict[str, bytes]
    id: uuid.UUID


@dataclass(frozen=True, slots=True)
class SimulatedEvent:
    """One event with one candidate, seen on a few nights."""

    event_id: str = "MS261121a"
    time: datetime = datetime(2026, 11, 21, 1, 2, 3, tzinfo=UTC)
    candidate: str = "AT2026mma"
    ra: float = 197.450374
    dec: float = -23.381495
    significant: bool = True
    products: str = "http://127.0.0.1:3000/products"
    """Base address of the products' links."""

    def version(self) -> VersionRef:
        """Its only version."""
        return self._ref("Initial", self.time + timedelta(minutes=30))

    def announcement(self) -> Sent:
        """The version with its products."""
        where = Localisation(ra=self.ra, dec=self.dec, area_50=9.2, area_90=31.9, distance_mean=39.8, distance_std=8.3)
        alert = DerivedAlert(
            DerivedKind.VERSION,
            self.event_id,
            version=self.version(),
            event=self._summary(),
            localisation=where,
            products=tuple(self._product(name) for name in ("skymap.fits.gz", "contours.json", "skymap.png")),
        )
        return _v2(alert, self.time + timedelta(minutes=31))

    def nights(self) -> Iterator[tuple[Sent, Sent]]:
        """The score of each night, as v1 and as v2."""
        scores = ((1, 0.42, 17.1, 0.55), (2, 0.86, 17.9, 0.93), (3, 0.98, 18.8, 0.991))
        words = "host SIM 1 (simulated) at 10.3 arcsec, 2.0 kpc in projection, 40.7 Mpc away, chance coincidence 0.21 %"
        host = CheckVerdict("host", "found", words, 8.0, counted=True)
        for night, probability, magnitude, posterior in scores:
            observed = self.time + timedelta(days=night)
            yield self.score(probability, observed, magnitude, posterior=posterior, vetting=(host,))

    def score(
        self,
        probability: float,
        observed: datetime,
        magnitude: float | None = None,
        *,
        posterior: float | None = None,
        vetting: tuple[CheckVerdict, ...] = (),
    ) -> tuple[Sent, Sent]:
        """One score of the candidate as v1 and as v2; `magnitude` in the AB system, r band."""
        mjd = (observed - _MJD_EPOCH) / timedelta(days=1)
        rest = round(1.0 - probability, 6)
        old = BrokerAlertV1(self.candidate, self.ra, self.dec, mjd, probability, rest)
        new = DerivedAlert(
            DerivedKind.CANDIDATE,
            self.event_id,
            version=self.version(),
            event=self._summary(),
            candidate=CandidateScore(
                self.candidate,
                self.ra,
                self.dec,
                mjd,
                probability,
                rest,
                classifier="simulated/1",
                searched_probability=0.47,
                magnitude=magnitude,
                magnitude_error=None if magnitude is None else 0.05,
                band=None if magnitude is None else "r",
                p_phot=None if posterior is None else probability,
                posterior=posterior,
                vetted_probability=posterior,
                vetting=vetting,
            ),
            products=(self._product("light_curve.png"),),
        )
        published = observed + timedelta(minutes=5)
        headers = {k: v.encode() for k, v in headers_v1(old, published).items()}
        return Sent(encode(old), headers | _mark(new), message_id(old)), _v2(new, published)

    def retractions(self, *withdrawn: uuid.UUID) -> Iterator[Sent]:
        """The retraction of the event: one message for every message withdrawn."""
        when = self.time + timedelta(days=4)
        for each in withdrawn:
            alert = retraction_of(
                each, self.event_id, version=self._ref("Retraction", when), reason="retracted by the collaboration"
            )
            yield _v2(alert, when + timedelta(minutes=1))

    def _ref(self, label: str, created: datetime) -> VersionRef:
        return VersionRef(f"{self.event_id}-{label}-{created:%Y%m%dT%H%M%S}-0123456789", label, created)

    def _summary(self) -> EventSummary:
        return EventSummary(
            time=self.time,
            far=1e-10,
            significant=self.significant,
            instruments=("H1", "L1", "V1"),
            group="CBC",
            classification={"BNS": 0.97, "NSBH": 0.02, "BBH": 0.0, "Terrestrial": 0.01},
            properties={"HasNS": 1.0, "HasRemnant": 0.98},
        )

    def _product(self, name: str) -> ProductLink:
        return ProductLink(name, f"{self.products}/{self.event_id}/{name}", sha256="0" * 64, size=12345)


def _v2(alert: DerivedAlert, published: datetime) -> Sent:
    headers = {k: v.encode() for k, v in headers_v2(alert, published).items()}
    return Sent(encode(alert), headers | _mark(alert), message_id(alert))


def _mark(alert: DerivedAlert) -> dict[str, bytes]:
    """The header that makes hop-client drop messages of mock and test events, for both schemas."""
    return {"_test": b"true"} if alert.is_test else {}
