"""All Dagster definitions on one page: assets, jobs, sensors, resources.

Loading it uses no network, and no files but those that settings name. `dg` and `dagster` load `defs`; tests and other deployments
call `build_defs` with their own resources.
"""

from collections.abc import Mapping
from typing import Any

import dagster as dg

from mma_pipeline.defs.alerts.large_messages import large_messages_sensor
from mma_pipeline.defs.alerts.notice_maps import notice_maps_sensor
from mma_pipeline.defs.alerts.sensors import stream_sensor
from mma_pipeline.defs.alerts.stream_assets import (
    gwalert_stream,
    icecube_stream,
    notice_streams,
    observatory_streams,
    quarantine,
)
from mma_pipeline.defs.alerts.streams import STREAMS
from mma_pipeline.defs.alerts.unfinished import unfinished_versions_sensor
from mma_pipeline.defs.all_products import PRODUCTS
from mma_pipeline.defs.candidates.assets import (
    candidate_vetting,
    kilonova_alert,
    kilonova_probability,
    light_curve_plot,
    photometry_stream_asset,
    ranked_candidates,
)
from mma_pipeline.defs.candidates.sensors import candidate_products, photometry_sensor
from mma_pipeline.defs.coincidences.assets import coincidence_alert
from mma_pipeline.defs.coincidences.sensors import coincidence_products, coincidence_sensor
from mma_pipeline.defs.events.assets import event_page
from mma_pipeline.defs.events.sensors import event_page_sensor, event_pages
from mma_pipeline.defs.jobs import alert_products
from mma_pipeline.defs.neutrinos.sensors import neutrino_coincidence_sensor, neutrino_products
from mma_pipeline.defs.observing.new_days import observability_products, observability_sensor
from mma_pipeline.defs.observing.pointings_sensor import coverage_products, pointings_sensor
from mma_pipeline.defs.observing.sensors import visibility_products, visibility_sensor
from mma_pipeline.defs.operations.batches import failed_batches_sensor
from mma_pipeline.defs.operations.completeness import completeness_job, completeness_schedule, gracedb_completeness
from mma_pipeline.defs.operations.failed_runs import failed_runs_sensor
from mma_pipeline.defs.operations.health import nothing_wrong, pipeline_health_asset, pipeline_health_sensor
from mma_pipeline.defs.operations.lost_runs import lost_runs_sensor
from mma_pipeline.defs.operations.retention import retention, retention_schedule
from mma_pipeline.defs.product_asset import product_asset
from mma_pipeline.defs.publication.assets import (
    gwtm_publication,
    hopskotch_publication,
    publishable,
    webhook_publication,
)
from mma_pipeline.defs.publication.mock_removal import gwtm_mock_removal, gwtm_mock_schedule
from mma_pipeline.defs.publication.prompt import prompt_publication
from mma_pipeline.defs.publication.sensors import publication_job, publication_sensor, publish_outbox
from mma_pipeline.defs.resources import (
    ArchiveResource,
    GraceDBResource,
    KafkaResource,
    ObservingResource,
    PhotometryResource,
    PublicationResource,
    SettingsResource,
    StoreResource,
)
from mma_pipeline.defs.skymaps.newest_skymap import newest_skymap
from mma_pipeline.defs.surveys.assets import survey_candidates, survey_stream
from mma_pipeline.defs.surveys.sensors import survey_nights, survey_nights_schedule, survey_scoring, survey_sensor

#: Resources by the name under which assets and sensors request them.
RESOURCES: Mapping[str, Any] = {
    "settings": SettingsResource(),
    "archive": ArchiveResource(),
    "store": StoreResource(),
    "kafka": KafkaResource(),
    "gracedb": GraceDBResource(),
    "publication": PublicationResource(),
    "photometry": PhotometryResource(),
    "observing": ObservingResource(),
}


def build_defs(overrides: Mapping[str, Any] | None = None) -> dg.Definitions:
    """The definitions, with other resources in place of the usual ones.

    Args:
        overrides: resource name to resource, such as `{"archive": ArchiveResource(url="sqlite:////tmp/a.db")}`.
    """
    resources = {**RESOURCES, **(overrides or {})}
    plain = dg.with_source_code_references(
        [
            gwalert_stream,
            icecube_stream,
            *observatory_streams,
            notice_streams,
            quarantine,
            newest_skymap,
            coincidence_alert,
            event_page,
            publishable,
            gwtm_publication,
            hopskotch_publication,
            webhook_publication,
            prompt_publication,
            photometry_stream_asset,
            candidate_vetting,
            kilonova_probability,
            light_curve_plot,
            ranked_candidates,
            kilonova_alert,
            survey_stream,
            survey_candidates,
            gracedb_completeness,
            pipeline_health_asset(resources["settings"].portal_url()),
        ]
    )
    return dg.Definitions(
        assets=[*(product_asset(product) for product in PRODUCTS), *plain],
        asset_checks=[nothing_wrong],
        jobs=[
            alert_products,
            publication_job,
            publish_outbox,
            candidate_products,
            retention,
            gwtm_mock_removal,
            completeness_job,
            visibility_products,
            observability_products,
            coverage_products,
            neutrino_products,
            coincidence_products,
            event_pages,
            survey_scoring,
            survey_nights,
        ],
        sensors=[
            *(stream_sensor(stream) for stream in STREAMS),
            publication_sensor,
            failed_runs_sensor,
            failed_batches_sensor,
            photometry_sensor,
            large_messages_sensor,
            notice_maps_sensor,
            lost_runs_sensor,
            unfinished_versions_sensor,
            pipeline_health_sensor,
            visibility_sensor,
            observability_sensor,
            pointings_sensor,
            neutrino_coincidence_sensor,
            coincidence_sensor,
            event_page_sensor,
            survey_sensor,
        ],
        schedules=[retention_schedule, gwtm_mock_schedule, completeness_schedule, survey_nights_schedule],
        resources=resources,
    )


defs = build_defs()
