"""Fink's streams: the survey's packet with what Fink found (astrolabsoftware/fink-broker).

On Kafka a record is bare Avro whose schema is the message's key. ZTF's additions are columns of the record, Rubin's are
the records `xm` (cross-matches), `clf` (scores), `pred` (decisions) and `misc`.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from mma_pipeline.adapters.surveys import lsst, ztf
from mma_pipeline.adapters.surveys.values import (
    details_of,
    frozen,
    head_of,
    identifier,
    known,
    mjd_of_jd,
    name_of,
    number,
    section,
)
from mma_pipeline.notices.surveys import AlertHead, CatalogMatch, PacketFacts, SolarSystemMatch, SurveyAlert

#: Fink's classes of solar-system objects: 3 is a known one (fink-science, `roid`).
_KNOWN_ASTEROID = 3
_ZTF_SCORES = (
    "rf_snia_vs_nonia", "snn_snia_vs_nonia", "snn_sn_vs_all", "rf_kn_vs_nonkn", "mulens", "anomaly_score", "slsn_score",
    "roid", "nalerthist", "tracklet", "Plx", "e_Plx", "spicy_class", "lc_features_g", "cdsxmatch", "tns",
)  # fmt: skip
_PAIR = (
    "fid", "fink_class", "instrument", "grb_ra", "grb_dec", "grb_loc_error", "triggerTimeUTC", "grb_proba", "delta_mag",
    "rate", "from_upper",
)  # fmt: skip
#: Column -> catalog.
_ZTF_CATALOGS = {
    "cdsxmatch": "SIMBAD type", "tns": "TNS type", "DR3Name": "Gaia DR3", "vsx": "VSX type", "gcvs": "GCVS type",
    "x3hsp": "3HSP", "x4lac": "4LAC", "spicy_class": "SPICY class",
}  # fmt: skip
_MANGROVE = {"HyperLEDA_name": "HyperLEDA", "2MASS_name": "2MASS"}
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
    matches = _matches(record, _ZTF_CATALOGS) + _matches(section(record, "mangrove"), _MANGROVE)
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


def is_pair(fields: Collection[str]) -> bool:
    """Whether a record is one of Fink's pairs of a ZTF alert and a burst (topics `fink_grb_*`, `fink_gw_*`)."""
    return {"objectId", "ztf_ra", "ztf_dec", "jd", "triggerId"} <= set(fields)


def pair_head(record: Mapping[str, Any]) -> AlertHead:
    """Object, position and time of a pair; raises NoticeError."""
    alert_id = identifier(record.get("candid"))
    return head_of(
        "ztf",
        record.get("objectId"),
        alert_id,
        record.get("ztf_ra"),
        record.get("ztf_dec"),
        mjd_of_jd(record.get("jd")),
    )


def pair_alert(record: Mapping[str, Any], schema: str, broker: str) -> SurveyAlert:
    """A pair: where and when, the burst, and Fink's figures; it carries no light curve. Raises NoticeError."""
    score, started = number(record.get("rb")), known(record.get("jdstarthist"))
    burst = f"{name_of(record.get('observatory'))} {name_of(record.get('event')) or ''}".strip()
    facts = PacketFacts(
        real_bogus=score,
        real_bogus_kind=None if score is None else "rb",
        first_mjd=None if started is None else mjd_of_jd(started),
        matches=(CatalogMatch(burst, name_of(record.get("triggerId")), None),),
        details=frozen(details_of(record, _PAIR)),
    )
    return SurveyAlert(pair_head(record), (), facts, schema, broker)


def _matches(record: Mapping[str, Any], catalogs: Mapping[str, str]) -> tuple[CatalogMatch, ...]:
    """What Fink found at the position, by catalog; it gives no separations."""
    names = ((catalog, name_of(record.get(column))) for column, catalog in catalogs.items())
    return tuple(CatalogMatch(catalog, name, None) for catalog, name in names if name is not None)
