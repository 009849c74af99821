"""Simulated gravitational-wave alerts: seeded maps with distance layers, and the notices that a live stream would send.

For demonstrations and tests: shapes are those of real localisations (blobs and arcs), not of a detector network.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

from mma_pipeline.notices.key import check_event_id
from mma_pipeline.notices.model import AlertType, ExternalCoincidence, GwEvent, LvkNotice
from mma_pipeline.science.healpix import order_ipix_to_uniq
from mma_pipeline.science.skymaps.model import SkyMap, encode_skymap

FloatArray = npt.NDArray[np.float64]

#: BAYESTAR's mesh (Singer & Price 2016, PRD 93 024013): all pixels of order 4, then the most probable quarter is
#: split, round by round; seven rounds reach order 11 and 19,200 rows.
BASE_ORDER = 4
_SPLIT = 12 * 4**BASE_ORDER // 4
_LARGEST_DEG2 = 20_000.0


class Shape(StrEnum):
    """Outline of a simulated region."""

    BLOB = "blob"
    """An ellipse, axis ratio 3, as three detectors give."""
    ARC = "arc"
    """Part of a timing annulus of 60° radius, as two detectors give."""


@dataclass(frozen=True)
class MapSpec:
    """What a simulated map should look like."""

    ra: float
    """Centre, degrees."""
    dec: float
    """Centre, degrees."""
    area_90: float
    """Area of the 90 % region, deg², met closely by blobs up to some 2,000 deg² and roughly by arcs."""
    distance: float | None = 150.0
    """Mean distance, Mpc; None for a map without distance layers."""
    max_order: int = 10
    shape: Shape = Shape.BLOB
    angle: float = 30.0
    """Position angle of the long axis, degrees."""


def simulate_skymap(spec: MapSpec, *, name: str, time: datetime) -> SkyMap:
    """A multi-order map by `spec`.

    Raises ValueError for a specification that no map can meet.
    """
    if not -90 <= spec.dec <= 90:
        raise ValueError(f"declination {spec.dec} is outside -90 to 90 degrees")
    if not 0 < spec.area_90 <= _LARGEST_DEG2:
        raise ValueError(f"a 90 % area of {spec.area_90} deg² is outside 0 to {_LARGEST_DEG2:,.0f}")
    if not BASE_ORDER <= spec.max_order <= 20:
        raise ValueError(f"order {spec.max_order} is outside {BASE_ORDER} to 20")
    density = _density(spec)
    order, ipix = _mesh(density, spec.max_order)
    uniq = order_ipix_to_uniq(order, ipix)
    vectors = _centres(order, ipix)
    values = density(vectors)
    total = np.sum(values * np.pi / 3 / 4.0**order)
    if not total > 0:
        raise ValueError(f"a 90 % area of {spec.area_90} deg² lies between the pixels of the coarsest mesh")
    values = values / total
    sort = np.argsort(ipix << (2 * (29 - order)))
    mu = sigma = distnorm = None
    if spec.distance is not None:
        mu = spec.distance * (1 + 0.15 * vectors[sort, 2])
        sigma = 0.25 * mu
        distnorm = _distance_norm(mu, sigma)
    meta = {
        "OBJECT": name,
        "DATE-OBS": time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f"),
        "CREATOR": "mma simulate",
        "ORIGIN": "simulated",
    }
    return SkyMap(uniq[sort], values[sort], mu, sigma, distnorm, meta=MappingProxyType(meta))


def simulate_event(
    superevent_id: str,
    *,
    time: datetime,
    seed: int,
    distance: float = 120.0,
    max_order: int = 10,
    area_90: float = 28.0,
    shape: Shape = Shape.BLOB,
) -> list[LvkNotice]:
    """The notices of one binary neutron star merger as a live stream sends them.

    `distance` in Mpc; `area_90` is the 90 % area of the update, deg², to which the regions of the notices before it
    shrink in fixed proportions; `shape` is that of the initial and later regions. Early warning, preliminary, the second preliminary with the identical map, initial, update with a smaller region,
    and a further update with an external coincidence and its combined map. The same arguments give the same notices.
    Raises NoticeError for an id that is none.
    """
    check_event_id(superevent_id)
    random = np.random.default_rng(seed)
    ra, dec = float(random.uniform(0, 360)), float(np.degrees(np.arcsin(random.uniform(-0.85, 0.85))))

    def sky(area: float, distance: float, order: int, shape: Shape) -> bytes:
        offset = random.normal(0, np.sqrt(area) / 20, 2)
        # Rounding keeps the map the same where the last bits of a mathematical library differ.
        spec = MapSpec(
            ra=round(float((ra + offset[0] / np.cos(np.radians(dec))) % 360), 6),
            dec=round(float(np.clip(dec + offset[1], -90, 90)), 6),
            area_90=area,
            distance=distance,
            max_order=order,
            shape=shape,
            angle=round(float(random.uniform(0, 180)), 3),
        )
        return encode_skymap(simulate_skymap(spec, name=superevent_id, time=time))

    def area(share: float) -> float:
        return min(area_90 * share / 28, _LARGEST_DEG2)

    early = sky(area(1800), distance * 1.2, min(max_order, 8), Shape.ARC)
    preliminary = sky(area(420), distance * 1.1, max_order, Shape.ARC)
    initial = sky(area(160), distance, max_order, shape)
    update = sky(area(28), distance, max_order, shape)
    combined = sky(area(9), distance, max_order, shape)
    grb = ExternalCoincidence(
        gcn_notice_id=str(700_000_000 + seed % 1000),
        ivorn="ivo://simulated/Fermi#GBM",
        observatory="Fermi",
        search="GRB",
        time_difference=1.7,
        time_coincidence_far=1e-9,
        time_sky_position_coincidence_far=1e-11,
        combined_skymap=combined,
    )
    plan: list[tuple[AlertType, float, bytes, ExternalCoincidence | None]] = [
        (AlertType.EARLY_WARNING, 5, early, None),
        (AlertType.PRELIMINARY, 60, preliminary, None),
        (AlertType.PRELIMINARY, 360, preliminary, None),
        (AlertType.INITIAL, 1800, initial, None),
        (AlertType.UPDATE, 7200, update, None),
        (AlertType.UPDATE, 9000, update, grb),
    ]
    return [
        _notice(superevent_id, kind, time, timedelta(seconds=after), skymap, external)
        for kind, after, skymap, external in plan
    ]


def simulate_retracted(superevent_id: str, *, time: datetime, seed: int, max_order: int = 9) -> list[LvkNotice]:
    """The notices of a candidate that is retracted: preliminary, then retraction. Raises NoticeError for a wrong id."""
    check_event_id(superevent_id)
    random = np.random.default_rng(seed)
    spec = MapSpec(float(random.uniform(0, 360)), float(random.uniform(-60, 60)), 900, 300, max_order, Shape.ARC)
    skymap = encode_skymap(simulate_skymap(spec, name=superevent_id, time=time))
    return [
        _notice(superevent_id, AlertType.PRELIMINARY, time, timedelta(seconds=70), skymap, None),
        _notice(superevent_id, AlertType.RETRACTION, time, timedelta(seconds=1500), None, None),
    ]


def _notice(
    superevent_id: str,
    kind: AlertType,
    time: datetime,
    after: timedelta,
    skymap: bytes | None,
    external: ExternalCoincidence | None,
) -> LvkNotice:
    event = None
    if kind is not AlertType.RETRACTION:
        event = GwEvent(
            time=time,
            far=1e-11,
            significant=True,
            instruments=("H1", "L1", "V1"),
            group="CBC",
            pipeline="gstlal",
            search="MDC",
            classification=MappingProxyType({"BNS": 0.96, "NSBH": 0.03, "BBH": 0.0, "Terrestrial": 0.01}),
            properties=MappingProxyType({"HasNS": 1.0, "HasRemnant": 0.98, "HasMassGap": 0.01}),
            skymap=skymap,
        )
    return LvkNotice(
        superevent_id=superevent_id,
        alert_type=kind,
        time_created=(time + after).replace(microsecond=0),
        urls=MappingProxyType({"gracedb": f"https://example.org/superevents/{superevent_id}/view/"}),
        event=event,
        external=external,
    )


def _density(spec: MapSpec) -> Callable[[FloatArray], FloatArray]:
    """Unnormalised probability density on unit vectors of shape (N, 3)."""
    ra, dec, angle = np.radians([spec.ra, spec.dec, spec.angle])
    centre = np.array([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)])
    east = np.array([-np.sin(ra), np.cos(ra), 0.0])
    north = np.cross(centre, east)
    along = np.cos(angle) * north + np.sin(angle) * east
    across = np.cross(along, centre)
    # For a Gaussian the 90 % region has the area 2π σ₁ σ₂ ln 10.
    product = np.radians(1) ** 2 * spec.area_90 / (2 * np.pi * np.log(10))
    if spec.shape is Shape.BLOB:
        long, short = np.sqrt(product * 3), np.sqrt(product / 3)

        def blob(vectors: FloatArray) -> FloatArray:
            # Azimuthal equal-area coordinates about the centre (Snyder 1987, USGS PP 1395, eq. 22-4 and 24-2).
            scale = np.sqrt(2 / np.maximum(1 + vectors @ centre, 1e-12))
            x, y = scale * (vectors @ along), scale * (vectors @ across)
            return np.asarray(np.exp(-0.5 * ((x / long) ** 2 + (y / short) ** 2)))

        return blob
    radius = np.radians(60)
    axis = np.cos(radius) * centre + np.sin(radius) * across
    length = np.sqrt(product) * 6
    width = product / length

    def arc(vectors: FloatArray) -> FloatArray:
        from_ring = np.arccos(np.clip(vectors @ axis, -1, 1)) - radius
        from_centre = np.arccos(np.clip(vectors @ centre, -1, 1))
        return np.asarray(np.exp(-0.5 * ((from_ring / width) ** 2 + (from_centre / length) ** 2)))

    return arc


def _mesh(
    density: Callable[[FloatArray], FloatArray], max_order: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    ipix = np.arange(12 * 4**BASE_ORDER, dtype=np.int64)
    order = np.full(ipix.shape, BASE_ORDER, dtype=np.int64)
    for _ in range(max_order - BASE_ORDER):
        probability = density(_centres(order, ipix)) / 4.0**order
        # Rounded before sorting, so that pixels tied but for the last bits keep their order everywhere.
        rank = np.lexsort((ipix, -np.round(np.log(np.maximum(probability, 1e-300)), 6)))
        split = rank[:_SPLIT]
        keep = np.ones(len(ipix), dtype=bool)
        keep[split] = False
        children = (4 * ipix[split][:, None] + np.arange(4)).ravel()
        order = np.concatenate([order[keep], np.repeat(order[split] + 1, 4)])
        ipix = np.concatenate([ipix[keep], children])
    return order, ipix


def _centres(order: npt.NDArray[np.int64], ipix: npt.NDArray[np.int64]) -> FloatArray:
    """Unit vectors of pixel centres, shape (N, 3)."""
    import healpy

    return np.stack(healpy.pix2vec(2**order, ipix, nest=True), axis=1)


def _distance_norm(mu: FloatArray, sigma: FloatArray) -> FloatArray:
    """DISTNORM, Mpc⁻², that makes ∫ r² N(r; mu, sigma) dr one (Singer et al. 2016, ApJL 829 L15, eq. 2)."""
    ratio = mu / sigma
    return np.asarray(1 / ((mu**2 + sigma**2) * norm.cdf(ratio) + mu * sigma * norm.pdf(ratio)))
