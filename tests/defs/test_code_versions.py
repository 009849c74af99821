"""A picture that says something else has a new code version, so that pictures of before are made again."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from datetime import UTC, datetime
from pathlib import Path

import pytest
from matplotlib.text import Text

from mma_pipeline.adapters.archive.pointings import PointingArchive
from mma_pipeline.defs.all_products import PRODUCTS
from mma_pipeline.notices.footprints import Footprint
from mma_pipeline.notices.pointings import Pointing, Status
from mma_pipeline.products.inputs import ProductInput
from mma_pipeline.products.materialize import materialize
from mma_pipeline.settings import current
from tests.alerts import body
from tests.defs.test_coincidences import fermi
from tests.homes import Home
from tests.neutrinos import notice, track

EVENT = "MS240301a"
#: What the pictures of each product say, with its code version; numbers are `#`.
KEPT = Path(__file__).with_name("words_of_pictures.json")
WHEN = datetime(2024, 3, 1, 18, tzinfo=UTC)


def test_what_pictures_say_belongs_to_their_code_version(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Words, units and form of numbers in every product's pictures are those kept with its code version.

    Where they changed: raise the product's `code_version`, and keep both anew.
    """
    said: dict[str, set[str]] = defaultdict(set)
    making, draw = "", Text.draw

    def noted(text: Text, renderer: object) -> None:
        if re.search("[A-Za-z]{3}|[%°²]", text.get_text()):
            said[making].add(re.sub(r"\d(?:[\d.,]*\d)?", "#", text.get_text()))
        draw(text, renderer)

    monkeypatch.setattr(Text, "draw", noted)
    home.receive(body(far=1e-6))
    home.receive(fermi())
    home.receive(notice(EVENT, track(150.0, 20.0)))
    visits = [
        Pointing("own", str(n), "Wide", status, WHEN, 149.0 + n, 20.0, 0.0, "r", 21.0, "ab_mag", Footprint(radius=1.0))
        for n, status in enumerate((Status.COMPLETED, Status.PLANNED))
    ]
    PointingArchive(home.archive).record(EVENT, visits, WHEN)
    for record in sorted(home.archive.versions(EVENT), key=lambda found: found.version.created):
        for product in PRODUCTS:
            if product.need.met(record) and product.unconfigured(current()) is None:
                making = product.name
                source = ProductInput(home.archive, home.store, record.partition_key, current(), now=WHEN)
                materialize(product, source)
    versions = {product.name: product.code_version for product in PRODUCTS if any(f.plot for f in product.files)}
    found = {name: {"code_version": version, "words": sorted(said[name])} for name, version in sorted(versions.items())}
    assert all(one["words"] for one in found.values()), "every product with a picture is made here"
    assert found == json.loads(KEPT.read_text()), json.dumps(found, indent=1, ensure_ascii=False)
