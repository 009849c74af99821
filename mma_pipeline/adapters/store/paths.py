"""Where each file of a version lies in the store: the only place where (version, product) becomes a key.

Files that the GWTM site reads are `fit/{graceid}-{Type}{n}{suffix}` for real events and `test/…` for mock and test
ones, names unchanged from the listeners that wrote them before. All further files lie under `mma/`, which the site
never looks at: `mma/{event}/{partition key}/{name}` for a version, `mma/{event}/{name}` for an event and
`mma/{event}/candidates/{slug}/{night}/{name}` for a night of a candidate, `mma/{event}/nights/{night}/{name}` for a night
of all candidates that surveys brought.
"""

from __future__ import annotations

from mma_pipeline.notices.key import EventVersion, FileStem
from mma_pipeline.notices.model import Role, role_of
from mma_pipeline.notices.photometry.candidate_key import CandidateNight
from mma_pipeline.notices.photometry.event_night import EventNight

_FOLDERS = {Role.OBSERVATION: "fit", Role.TEST: "test"}
SCORE = "score.json"
VETTING = "vetting.json"
LIGHT_CURVE = "light_curve.png"
RANKING = "candidates.json"
#: Tables of one night of an event's candidates, and how many of them are drawn.
NIGHT_TABLES = ("candidates.parquet", "candidates.ecsv", "candidates.vot")
BEST_PLOTS = 5


def treasure_map_key(stem: FileStem, suffix: str) -> str:
    """Key of a file that the GWTM site reads, such as `fit/S230518h-Preliminary1_moc.fits.gz`."""
    return f"{_FOLDERS[role_of(stem.event_id)]}/{stem}{suffix}"


def event_treasure_map_key(event_id: str, suffix: str) -> str:
    """Key of a file about the whole event that the GWTM site reads, such as `fit/S230518h-Fermi.json`."""
    return f"{_FOLDERS[role_of(event_id)]}/{event_id}{suffix}"


def version_key(version: EventVersion, name: str) -> str:
    """Key of a further file of a version."""
    return f"mma/{version.event_id}/{version.partition_key}/{name}"


def event_key(event_id: str, name: str) -> str:
    """Key of a file about the whole event."""
    return f"mma/{event_id}/{name}"


def night_key(night: CandidateNight, name: str) -> str:
    """Key of a file of one night of a candidate."""
    return event_key(night.event_id, f"candidates/{night.slug}/{night.night}/{name}")


def latest_light_curve_key(night: CandidateNight) -> str:
    """Key of a candidate's light curve as the night drawn last shows it."""
    return event_key(night.event_id, f"candidates/{night.slug}/{LIGHT_CURVE}")


def ranking_key(event_id: str) -> str:
    """Key of the table of an event's candidates."""
    return event_key(event_id, RANKING)


def night_keys(night: CandidateNight) -> set[str]:
    """Keys of all files that the assets of a night write, those that the event's nights share included."""
    own = {night_key(night, name) for name in (SCORE, LIGHT_CURVE, VETTING)}
    return own | {latest_light_curve_key(night), ranking_key(night.event_id)}


def event_night_keys(night: EventNight) -> set[str]:
    """Keys of all files of one night of an event's candidates."""
    return {event_night_key(night, name) for name in (*NIGHT_TABLES, *map(best_plot, range(1, BEST_PLOTS + 1)))}


def best_plot(place: int) -> str:
    """Name of the picture of a night's candidate by its place: the best of a night change, and no old picture stays behind."""
    return f"best_{place}.png"


def event_night_key(night: EventNight, name: str) -> str:
    """Key of a file of one night of an event's candidates."""
    return event_key(night.event_id, f"nights/{night.night}/{name}")
