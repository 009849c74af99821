"""The sky that instruments in orbit saw at the time of the event: Fermi GBM and LAT, or those configured.

For each instrument the region as MOC JSON (`{event}-Fermi.json`, `{event}-LAT.json`, as the GWTM site reads them) and
the probability of the map inside it, from the orbital elements nearest in time and the spacecraft's pointing file. An
unknown field of view is reported as unknown and has no region file; `visibility_sensor` fills it in later.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import VersionRecord
from mma_pipeline.adapters.errors import PermanentError
from mma_pipeline.adapters.store.paths import event_treasure_map_key
from mma_pipeline.defs.observing.configuration import instruments, pointing_source, tle_archive, wrong_instruments
from mma_pipeline.products.declaration import CheckSpec, FileSpec, Need, Product, ProductFiles, is_share, own_file
from mma_pipeline.products.inputs import ProductInput

if TYPE_CHECKING:
    from mma_pipeline.science.observing.visibility import FieldOfView
    from mma_pipeline.settings import Settings


def _time(source: ProductInput) -> datetime:
    return datetime.fromisoformat(str(source.facts["time"]))


def fields_of_view(source: ProductInput) -> list[FieldOfView]:
    """The field of view of every instrument at the event's time, from stored data; queries no server."""
    from mma_pipeline.science.observing.orbit import ElementSet
    from mma_pipeline.science.observing.visibility import Pointing, field_of_view, unknown

    time = _time(source)
    found = []
    for instrument in instruments(source.settings):
        try:
            kept = tle_archive(source.store, source.settings).nearest(instrument.norad_id, time)
            pointing = pointing_source(source.store, instrument.pointing, source.settings, fetch=False)
            table = None if pointing is None else pointing.at(time)
        except PermanentError as error:
            found.append(unknown(instrument, str(error)))
            continue
        if table is None and instrument.pointing is not None and not source.settings.observing.ft2_source:
            # What nobody asked for may well be published.
            found.append(unknown(instrument, "no source of pointings is read: MMA_FT2_SOURCE names one"))
            continue
        found.append(
            field_of_view(
                instrument,
                time,
                elements=None if kept is None else ElementSet(kept.line1, kept.line2),
                pointing=None
                if table is None
                else Pointing(table.start, table.stop, table.ra, table.dec, table.in_saa, table.source),
            )
        )
    return found


def _inputs(source: ProductInput) -> Sequence[str]:
    seen = [[f.instrument.file, f.state.value, f.reason, f.ra, f.dec, f.radius] for f in fields_of_view(source)]
    return [str(source.skymap_sha256), source.record.version.event_id, json.dumps(seen)]


def _make(source: ProductInput) -> ProductFiles:
    files: dict[str, bytes] = {}
    summary: dict[str, Any] = {}
    statistics: dict[str, Any] = {}
    skymap = source.skymap_as_sent
    for fov in fields_of_view(source):
        inside = None if skymap is None else fov.probability(skymap)
        name = fov.instrument.file
        summary[fov.instrument.name] = {
            "state": fov.state.value,
            "reason": fov.reason,
            "view": fov.instrument.view,
            "ra_deg": fov.ra,
            "dec_deg": fov.dec,
            "radius_deg": fov.radius,
            "probability": inside,
        }
        statistics |= {f"{name}_state": fov.state.value, f"{name}_probability": inside, f"{name}_reason": fov.reason}
        region = fov.moc_json()
        if region is not None:
            files[name] = region
    document = json.dumps(summary, sort_keys=True, indent=1, allow_nan=False).encode()
    return ProductFiles({"visibility": document, **files}, statistics)


def _probabilities(statistics: Mapping[str, Any]) -> bool:
    return all(is_share(value) for name, value in statistics.items() if name.endswith("_probability"))


def _region_files(settings: Settings) -> tuple[FileSpec, ...]:
    """One for each configured instrument; none where these cannot be used."""
    return () if wrong_instruments(settings) else tuple(_region_file(one.file) for one in instruments(settings))


def _region_file(name: str) -> FileSpec:
    return FileSpec(
        name,
        lambda record: event_treasure_map_key(record.version.event_id, f"-{name}.json"),
        "application/json",
        optional=True,
    )


def _has_time(record: VersionRecord) -> bool:
    return record.facts.get("time") is not None


visibility = Product(
    name="visibility",
    about=__doc__ or "",
    code_version="1",
    group="observing",
    kinds=frozenset({"astropy", "json"}),
    # Does not depend on the map: an alert without one has fields of view too.
    deps=("raw_alert",),
    need=Need("the time of the event", _has_time),
    files=(own_file("visibility", "visibility.json", "application/json"),),
    configured_files=_region_files,
    unconfigured=wrong_instruments,
    inputs=_inputs,
    make=_make,
    checks=(
        CheckSpec(
            "probabilities_are_shares", "Every probability inside a field of view lies between 0 and 1.", _probabilities
        ),
    ),
)
