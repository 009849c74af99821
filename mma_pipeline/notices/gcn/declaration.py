"""What one must say of a stream that follows GCN's core schema: everything else is the parser's."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from mma_pipeline.notices.gcn.localisation import Systematic, SystematicOf


def no_systematic(_: Mapping[str, Any]) -> Systematic | None:
    """No systematic error is published, or the notices include it."""
    return None


@dataclass(frozen=True, slots=True)
class CoreStream:
    """One stream of notices."""

    name: str
    """Ours: the setting that switches it is `MMA_NOTICES_` and the name."""
    topics: tuple[str, ...]
    observatory: str
    """As its events are named: a key of `trigger_ids.TRIGGERS`."""
    instrument: str
    """For people, such as `Fermi GBM`."""
    messenger: str
    """What arrives: `gamma rays`, `X-rays`, `radio` or `neutrinos`."""
    about: str
    marks: Mapping[str, str]
    """What tells its notices in a file from those of other streams: keys to texts that their values contain."""
    identity: tuple[str, ...] = ("id",)
    """Keys that hold the trigger, the best first."""
    aliases: tuple[str, ...] = ("id",)
    """Keys whose other values name the same trigger."""
    systematic: SystematicOf = no_systematic
    hosts: tuple[str, ...] = ()
    """Servers from which a map that a notice names is fetched; others are not asked."""
    galactic: bool = False
    """Whether its sources are in the Galaxy, so that no host galaxy is sought."""
    decode: Callable[[bytes], dict[str, Any]] | None = None
    """Bytes to a record of the core schema, where they are not JSON."""
