"""What the asset graph shows of the maps that candidates and neutrinos were compared with."""

import dagster as dg
import pytest

from mma_pipeline.definitions import defs
from mma_pipeline.defs.partitions import alert_versions
from tests.defs.malformed import tiny_map
from tests.homes import Home
from tests.neutrinos import notice, track


@pytest.mark.parametrize("name", ["kilonova_probability", "kilonova_alert", "neutrino_coincidence"])
def test_the_sky_map_is_upstream(name: str) -> None:
    """Assets that are computed with an event's map descend from `skymap`, whatever their own partitions are."""
    graph = defs.resolve_asset_graph()
    assert dg.AssetKey("skymap") in graph.get_ancestor_asset_keys(dg.AssetKey(name))
    edge = graph.get_partition_mapping(dg.AssetKey("newest_skymap"), dg.AssetKey("skymap"))
    assert isinstance(edge, dg.AllPartitionMapping)


def test_a_notice_is_compared_though_it_has_no_map(home: Home) -> None:
    """In one run with the map's own asset, which is skipped for a notice, the comparison is made all the same."""
    from tests.alerts import body

    (version,) = home.receive(body(skymap=tiny_map()))
    assert home.make(version).success
    (record,) = home.receive(notice("MS240301a", track(1.0, 2.0)))
    home.instance.add_dynamic_partitions(alert_versions.name or "", [record.partition_key])
    result = home.make(record)
    assert result.success
    made = {event.asset_key.to_user_string() for event in result.get_asset_materialization_events() if event.asset_key}
    assert "neutrino_coincidence" in made
    assert "skymap" not in made
    (metadata,) = [
        event.step_materialization_data.materialization.metadata
        for event in result.get_asset_materialization_events()
        if event.asset_key == dg.AssetKey("neutrino_coincidence")
    ]
    assert metadata["map_version"].value == version.partition_key
