"""All settings of the pipeline. Only `environment` reads the environment; other modules get values.

Add a setting to the group that it belongs to: a field with its variable's name, a description and a default.
`docs/settings.md` and `mma settings` follow by themselves. Names of the GWTM listeners and of the SCiMMA demonstration work
beside ours (`MMA_…`). Not here: what the values are used for.
"""

from mma_pipeline.settings.base import Group
from mma_pipeline.settings.candidates import KilonovaSettings, SurveySettings, VettingSettings
from mma_pipeline.settings.coincidences import CoincidenceSettings
from mma_pipeline.settings.environment import current, environment_of_child, set_home
from mma_pipeline.settings.observing import CoverageSettings, GalaxySettings, ObservingSettings
from mma_pipeline.settings.publication import PortalSettings, PublicationSettings
from mma_pipeline.settings.settings import FOREIGN_PREFIXES, GROUPS, InForce, Settings
from mma_pipeline.settings.storage import ArchiveSettings, LaneSettings, StoreSettings
from mma_pipeline.settings.streams import HopskotchSettings, KafkaSettings, NoticeSettings, SurveyStreamSettings

__all__ = [
    "FOREIGN_PREFIXES",
    "GROUPS",
    "ArchiveSettings",
    "CoincidenceSettings",
    "CoverageSettings",
    "GalaxySettings",
    "Group",
    "HopskotchSettings",
    "InForce",
    "KafkaSettings",
    "KilonovaSettings",
    "LaneSettings",
    "NoticeSettings",
    "ObservingSettings",
    "PortalSettings",
    "PublicationSettings",
    "Settings",
    "StoreSettings",
    "SurveySettings",
    "SurveyStreamSettings",
    "VettingSettings",
    "current",
    "environment_of_child",
    "set_home",
]
