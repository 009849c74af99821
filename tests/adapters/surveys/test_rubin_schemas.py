"""Rubin's published schemas (PyPI lsst-alert-packet, a test oracle): packets 10.0 to 11.1, by their numbers."""

from __future__ import annotations

import importlib.util
import io
from pathlib import Path

import fastavro
import pytest
from fastavro.utils import generate_one

from mma_pipeline.adapters.surveys.packets import Formats
from mma_pipeline.adapters.surveys.schemas import Schemas
from mma_pipeline.notices.errors import NoticeError
from tests.adapters.surveys.oracle import found, lsst_points


def schema_folder() -> Path | None:
    """The package's tree of schemas, without importing it: it asks for more than its files."""
    try:
        spec = importlib.util.find_spec("lsst.alert")
    except ModuleNotFoundError:
        return None
    places = [] if spec is None else list(spec.submodule_search_locations or [])
    return next((p for p in (Path(place) / "packet" / "schema" for place in places) if p.is_dir()), None)


FOLDER = schema_folder()
needs_schemas = pytest.mark.skipif(
    FOLDER is None, reason="Rubin's schemas are not here: pip install --no-deps lsst-alert-packet"
)


def source(row, mjd, band, flux):
    """A generated source with the values that matter set; what is optional may be anything that the schema allows."""
    values = {"midpointMjdTai": mjd, "band": band, "psfFlux": flux, "psfFluxErr": 25.5, "ra": 55.5, "dec": -32.25}
    return {**row, **values, "timeWithdrawnMjdTai": None}


@needs_schemas
@pytest.mark.parametrize(("number", "version"), [(1000, "10.0"), (1100, "11.0"), (1101, "11.1")])
def test_every_version(number, version):
    """A framed packet of each version is read by the schema of its number from Rubin's own tree: points, forced ones too."""
    schemas = Schemas(None, FOLDER)
    schema = fastavro.parse_schema(schemas.by_id(number))
    record = generate_one(schema)
    record["diaSource"] = source(record["diaSource"], 61100.125, "z", -512.25) | {
        "diaSourceId": 4242, "diaObjectId": 77, "ssObjectId": None, "isNegative": None, "reliability": 0.5,
    }  # fmt: skip
    one = generate_one(next(schema_of_list(schema, "prvDiaSources")))
    two = generate_one(next(schema_of_list(schema, "prvDiaForcedSources")))
    record["prvDiaSources"] = [source(one, 61090.5, "u", 800.5)]
    record["prvDiaForcedSources"] = [source(two, 61091.5, "y", -3.5), source(two, 61092.5, "g", 10.5)]
    stream = io.BytesIO()
    fastavro.schemaless_writer(stream, schema, record)
    body = b"\x00" + number.to_bytes(4, "big") + stream.getvalue()
    known = Formats(schemas).format_of(body)
    alert = known.alert(body)
    assert known.head(body) == alert.head
    assert alert.head[:5] == ("lsst", "77", "4242", 55.5, -32.25)
    assert found(alert) == lsst_points(record)
    assert len(alert.points) == 4
    assert alert.facts.is_negative
    assert alert.schema == f"lsst {version}"


def schema_of_list(schema, name):
    """The record that a list of the packet holds."""
    field = next(f for f in schema["fields"] if f["name"] == name)
    branches = field["type"] if isinstance(field["type"], list) else [field["type"]]
    for branch in branches:
        if isinstance(branch, dict) and branch.get("type") == "array":
            items = branch["items"]
            yield items if isinstance(items, dict) else named(schema, items)


def named(schema, name):
    """The definition of a named record anywhere in a schema."""
    if isinstance(schema, dict):
        if schema.get("name") == name and "fields" in schema:
            return schema
        return next((hit for part in schema.values() if (hit := named(part, name))), None)
    return next((hit for part in schema if (hit := named(part, name))), None) if isinstance(schema, list) else None


@needs_schemas
def test_number_without_a_version():
    """A number that no version of the tree has is refused by name."""
    with pytest.raises(NoticeError, match="4200"):
        Schemas(None, FOLDER).by_id(4200)
