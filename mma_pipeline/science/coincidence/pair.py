"""One pair of events of different messengers: difference in time, overlap, joint rates, probability of chance."""

from __future__ import annotations

from dataclasses import dataclass

from mma_pipeline.science.coincidence.chance import background_overlaps, p_pair
from mma_pipeline.science.coincidence.joint_far import JointFar, Method, confident, in_space, joint_far
from mma_pipeline.science.coincidence.overlap import overlap_integral
from mma_pipeline.science.coincidence.searches import FAR_GW_MAX, RATE_GW_CONFIDENT, Search
from mma_pipeline.science.skymaps.model import SkyMap


@dataclass(frozen=True, slots=True)
class Compared:
    """What a pair within its search window says; None where an input is missing."""

    difference_s: float
    """t_gw - t_other, s."""
    overlap: float | None
    """4π ∫ p_gw p_other dΩ; None without two maps."""
    joint: JointFar
    """Rates by the published method of the search."""
    confident_time: float | None
    """Joint rate in time, Hz, if the gravitational wave is taken for sure: only for significant ones."""
    confident_space_time: float | None
    """The same in time and space, Hz."""
    p_chance: float | None
    """Probability that one unrelated pair within the window ranks as high, 0 to 1."""

    @property
    def far(self) -> float | None:
        """The rate that a claim rests on, Hz: in time and space where there are two maps; of two methods the larger.

        None without a rate, and where the maps exclude each other.
        """
        if self.overlap is not None:
            found = [rate for rate in (self.joint.space_time, self.confident_space_time) if rate is not None]
        else:
            found = [rate for rate in (self.joint.time, self.confident_time) if rate is not None]
        return max(found) if found else None


def compare(
    search: Search,
    difference_s: float,
    *,
    far_gw: float | None,
    far_other: float | None,
    significant: bool,
    gw_map: SkyMap | None,
    other_map: SkyMap | None,
    far_gw_max: float = FAR_GW_MAX,
    rate_gw: float = RATE_GW_CONFIDENT,
) -> Compared:
    """Compare a pair within its window.

    Args:
        search: the search, with window and rates.
        difference_s: t_gw - t_other, s.
        far_gw: false-alarm rate of the gravitational wave, Hz.
        far_other: false-alarm rate of the other event, Hz.
        significant: the collaboration's own flag for the gravitational wave.
        gw_map: its map.
        other_map: the map of the other event.
        far_gw_max: depth of the alerts, Hz.
        rate_gw: rate of sure gravitational waves, Hz.
    """
    overlap = background = None
    if gw_map is not None and other_map is not None:
        overlap = overlap_integral(gw_map, other_map)
        background = background_overlaps(gw_map, other_map)
    joint = joint_far(
        method=search.method,
        window_s=search.seconds,
        far_gw=far_gw,
        far_gw_max=far_gw_max,
        rate_ext=search.rate,
        far_ext=far_other,
        far_ext_max=search.far_other_max,
        overlap=overlap,
    )
    sure = None
    if significant and joint.time is not None:
        sure = confident(search.method, rate_gw, search.seconds, rate_ext=search.rate, far_ext=far_other)
    quantile = joint.quantile
    if quantile is not None and sure is not None:
        # Sure events are among the unrelated pairs too: noise alone would make any pair of a loud one improbable.
        quantile = min(1.0, max(quantile, sure / whole_rate(search, far_gw_max)))
    chance = None if quantile is None else p_pair(quantile, overlap, background)
    return Compared(difference_s, overlap, joint, sure, in_space(sure, overlap), chance)


def whole_rate(search: Search, far_gw_max: float = FAR_GW_MAX) -> float:
    """Rate of all unrelated pairs within a search's window, Hz; raises ValueError for a search without rates."""
    other = search.rate if search.method is Method.UNTARGETED else search.far_other_max
    if other is None:
        raise ValueError(f"no rate is published for {search.name}")
    return far_gw_max * other * search.seconds
