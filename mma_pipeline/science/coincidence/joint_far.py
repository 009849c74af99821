"""Joint false-alarm rates of two events of different messengers, as RAVEN publishes them.

Sources: LIGO-T1900297 (Piotrzkowski et al., joint false-alarm rates), B. Piotrzkowski 2022 (PhD thesis, University of
Wisconsin-Milwaukee, chapter 3), the documentation of ligo-raven ("Joint FAR calculation"), and for the confident case
GCN Circular 38356 (S241125n). R is a rate of triggers, Δt the length of the search window, I the overlap integral
(`overlap`), rates in Hz.

    untargeted  F = FAR_gw R_ext Δt                 the other messenger's triggers are sure, their rate is what counts
    targeted    F = Z (1 + ln(Z_max / Z))           both were dug out near each other: Z = FAR_gw FAR_ext Δt, and Z_max the
                                                    same of the thresholds, beyond which neither is looked at
    confident   F = R_gw R_ext Δt, R_gw FAR_ext Δt  a gravitational wave that is sure, with a sure or a targeted trigger: its
                                                    false-alarm rate says nothing, the rate of such events counts

In time and space each is divided by I. F is the rate at which unrelated events make a pair that ranks as high: with
FAR_gw uniform below the depth of the search, and a mean of I of one for unrelated places, their number below F in a
time T is F T.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

from mma_pipeline.notices.times import DAY_S

#: Seconds of the year in which RAVEN's rates are counted.
RAVEN_YEAR_S = 365.0 * DAY_S


class Method(StrEnum):
    """How a search relates the two rates."""

    UNTARGETED = "untargeted"
    TARGETED = "targeted"


@dataclass(frozen=True, slots=True)
class JointFar:
    """Joint rates of one pair, Hz; None where an input is missing, and why in `reason`."""

    time: float | None = None
    """In time alone."""
    space_time: float | None = None
    """In time and space; None without two maps, and where the maps exclude each other."""
    quantile: float | None = None
    """Share of unrelated pairs within the window that rank as high in time alone, 0 to 1."""
    reason: str | None = None
    """Why there is no rate, one sentence."""

    @property
    def best(self) -> float | None:
        """The rate that uses most: in time and space, else in time."""
        return self.time if self.space_time is None else self.space_time


def untargeted(far: float, rate: float, window_s: float) -> float:
    """Joint rate in time, Hz: of false alarms at `far` (Hz) within a window (s) of sure triggers at `rate` (Hz)."""
    return far * rate * window_s


def targeted(far_1: float, far_2: float, window_s: float, far_1_max: float, far_2_max: float) -> float | None:
    """Joint rate in time, Hz, of two rates that were both searched down to a threshold; None beyond the thresholds."""
    if far_1 > far_1_max or far_2 > far_2_max:
        return None
    z, z_max = far_1 * far_2 * window_s, far_1_max * far_2_max * window_s
    return z * (1.0 + math.log(z_max / z)) if z > 0 else 0.0


def confident(
    method: Method, rate_gw: float, window_s: float, *, rate_ext: float | None, far_ext: float | None
) -> float | None:
    """Joint rate in time, Hz, of a sure gravitational wave with a sure or a targeted trigger; None if its rate is missing."""
    other = rate_ext if method is Method.UNTARGETED else far_ext
    return None if other is None else rate_gw * other * window_s


def in_space(joint: float | None, overlap: float | None) -> float | None:
    """The rate in time and space, Hz, from that in time and an overlap integral; None without either or at no overlap."""
    if joint is None or overlap is None or overlap <= 0:
        return None
    return joint / overlap


def joint_far(
    *,
    method: Method,
    window_s: float,
    far_gw: float | None,
    far_gw_max: float,
    rate_ext: float | None = None,
    far_ext: float | None = None,
    far_ext_max: float | None = None,
    overlap: float | None = None,
) -> JointFar:
    """Joint rates of one pair by a search's published method.

    Args:
        method: how the search relates the two rates.
        window_s: length of the search window, s.
        far_gw: false-alarm rate of the gravitational wave, Hz.
        far_gw_max: depth to which gravitational waves are looked at, Hz.
        rate_ext: rate of the other messenger's triggers, Hz (untargeted).
        far_ext: false-alarm rate of the other event, Hz (targeted).
        far_ext_max: its threshold, Hz (targeted).
        overlap: overlap integral; None without two maps.
    """
    if far_gw is None:
        return JointFar(reason="the gravitational wave has no false-alarm rate")
    if method is Method.UNTARGETED:
        if rate_ext is None:
            return JointFar(reason="no rate of such triggers is published")
        time = untargeted(far_gw, rate_ext, window_s)
        quantile = min(1.0, far_gw / far_gw_max)
    else:
        if far_ext is None or far_ext_max is None:
            return JointFar(reason="a targeted search needs the false-alarm rate of the other event")
        found = targeted(far_gw, far_ext, window_s, far_gw_max, far_ext_max)
        if found is None:
            return JointFar(reason="a false-alarm rate lies above the threshold of the targeted search")
        time, quantile = found, min(1.0, found / (far_gw_max * far_ext_max * window_s))
    return JointFar(time, in_space(time, overlap), quantile)
