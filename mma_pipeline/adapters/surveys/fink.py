"""Fink's streams: the survey's packet with what Fink found (astrolabsoftware/fink-broker).

On Kafka a record is bare Avro whose schema is the message's key. ZTF's additions are columns of the record, Rubin's are
the records `xm` (cross-matches), `clf` (scores), `pred` (decisions) and `misc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from mma_pipeline.adapters.surveys import lsst, ztf
from mma_pipeline.adapters.surveys.values import details_of, frozen, name_of, section
from mma_pipeline.notices.surveys import CatalogMatch, SolarSystemMatch, SurveyAlert

#: Fink's classes of solar-system objects: 3 is a known one (fink-science, `roid`).
_KNOWN_ASTEROID = 3
_ZTF_SCORES = (
    "rf_snia_vs_nonia", "snn_snia_vs_nonia", "snn_sn_vs_all", "rf_kn_vs_nonkn", "mulens", "anomaly_score", "slsn_score",
    "roid", "nalerthist", "tracklet", "Plx", "e_Plx", "spicy_class", "lc_features_g", "cdsxmatch", "tns",
)  # fmt: skip
#: Column -> catalog.
_ZTF_CATALOGS = {
    "cdsxmatch": "SIMBAD type", "tns": "TNS type", "DR3Name": "Gaia DR3", "vsx": "VSX type", "gcvs": "GCVS type",
    "x3hsp": "3HSP", "x4lac": "4LAC", "spicy_class": "SPICY class",
}  # fmt: skip
_LSST_CATALOGS = {
    "simbad_otype": "SIMBAD type", "tns_type": "TNS type", "gaiadr3_DR3Name": "Gaia DR3", "vsx_Type": "VSX type",
    "gcvs_type": "GCVS type", "x3hsp_type": "3HSP", "x4lac_type": "4LAC", "spicy_class": "SPICY class",
    "mangrove_HyperLEDA_name": "HyperLEDA", "mangrove_2MASS_name": "2MASS",
}  # fmt: skip


def ztf_alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """A ZTF alert with Fink's columns; raises NoticeError as ZTF's own does."""
    found = ztf.alert(record, schema, broker)
    solar_system = found.facts.solar_system
    if solar_system is None and record.get("roid") == _KNOWN_ASTEROID:
        solar_system = SolarSystemMatch(None, None)
    details = {**found.facts.details, **details_of(record, _ZTF_SCORES)}
    matches = _matches(record, _ZTF_CATALOGS)
    return replace(
        found, facts=replace(found.facts, solar_system=solar_system, matches=matches, details=frozen(details))
    )


def lsst_alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """A Rubin alert with Fink's records; raises NoticeError as Rubin's own does."""
    found = lsst.alert(record, schema, broker)
    crossed, decided = section(record, "xm"), section(record, "pred")
    solar_system = found.facts.solar_system
    if solar_system is None and decided.get("is_sso") is True:
        solar_system = SolarSystemMatch(None, None)
    details = dict(found.facts.details)
    for part in (section(record, "clf"), decided, crossed):
        details |= details_of(part, part)
    matches = _matches(crossed, _LSST_CATALOGS)
    return replace(
        found, facts=replace(found.facts, solar_system=solar_system, matches=matches, details=frozen(details))
    )


def _matches(record: Mapping[str, Any], catalogs: Mapping[str, str]) -> tuple[CatalogMatch, ...]:
    """What Fink found at the position, by catalog; it gives no separations."""
    names = ((catalog, name_of(record.get(column))) for column, catalog in catalogs.items())
    return tuple(CatalogMatch(catalog, name, None) for catalog, name in names if name is not None)
