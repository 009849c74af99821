"""Values of another kind or size than a format's, anywhere in a record: read without them, or refused with a reason."""

from __future__ import annotations

import copy
import json
import math
from functools import lru_cache

from hypothesis import given, settings
from hypothesis import strategies as st

from mma_pipeline.adapters.surveys.packets import alert_of, form_of_json, form_of_schema, head_of
from mma_pipeline.notices.errors import NoticeError
from mma_pipeline.notices.photometry.survey_points import measurements
from tests.adapters.surveys.brokers import babamul_of_rubin, boom_of_ztf, lasair_of, rubin_of_ampel
from tests.adapters.surveys.oracle import SHARED, decoded, needs_packets, packet, schema_of

pytestmark = needs_packets
ODD = [
    None,
    True,
    -1,
    0,
    1e308,
    1e-320,
    math.nan,
    math.inf,
    2**70,
    10**400,
    "",
    "x",
    "-999",
    [],
    {},
    [1],
    {"a": 1},
    [None],
    b"\x00",
]


@lru_cache
def records():
    """A record of each form, with its form and the paths to its values."""
    report, ztf = packet("ampel_report.avro"), packet("ztf/2695378462115010012.avro")
    rubin = rubin_of_ampel(decoded(report))
    found = [
        (decoded(body), form_of_schema(schema_of(body)))
        for body in (
            ztf,
            packet("lsst/fakeAlert_10_0.avro"),
            report,
            packet("babamul_alert.avro"),
            babamul_of_rubin(rubin),
        )
    ]
    notice = (SHARED / "notices" / "gcn-schema" / "notices" / "boom" / "alert.example.json").read_bytes()
    for body in (lasair_of(rubin), boom_of_ztf(decoded(ztf)), notice):
        found.append((json.loads(body), form_of_json(json.loads(body))))
    plain = [({k: v for k, v in record.items() if not k.startswith("cutout")}, form) for record, form in found]
    return [(record, form, list(paths(record))) for record, form in plain]


def paths(value, before=()):
    """Where values are, in lists the first three."""
    steps = value.items() if isinstance(value, dict) else enumerate(value[:3]) if isinstance(value, list) else ()
    for step, inner in steps:
        yield (*before, step)
        yield from paths(inner, (*before, step))


@settings(max_examples=300)
@given(data=st.data())
def test_odd_values_anywhere(data):
    """Only NoticeError is raised, and what is read has finite magnitudes, fluxes, errors and limits."""
    record, form, places = data.draw(st.sampled_from(records()))
    changed = copy.deepcopy(record)
    place = data.draw(st.sampled_from(places))
    inner = changed
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = data.draw(st.sampled_from(ODD))
    try:
        head_of(changed, form)
        alert = alert_of(changed, form)
        found = measurements(alert).measurements
    except NoticeError:
        return
    assert all(math.isfinite(m.magnitude) for m in found)
    values = [v for p in alert.points for v in (p.flux_njy, p.flux_error_njy, p.limit_mag) if v is not None]
    assert all(math.isfinite(v) for v in values)
