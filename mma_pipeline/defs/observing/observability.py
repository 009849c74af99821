"""From where and when the map can be observed in 24 hours: every configured observatory on the ground.

Night and twilight, probability of the map within the site's limits (airmass, darkness, Moon) over time, when most of it is,
Moon, the best order of the likeliest galaxies and of the candidates; a picture of the airmass. The 24 h begin with the notice;
in the days after it `observability_sensor` asks for those of the new day. A replay of an old notice gives its first 24 h.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import Archive
from mma_pipeline.adapters.archive.photometry import PhotometryArchive
from mma_pipeline.adapters.earth_orientation import orientation_at
from mma_pipeline.defs.observing.configuration import limits, sites, usable_ranking, wrong_sites
from mma_pipeline.products.declaration import CheckSpec, Product, ProductFiles, is_share, of_the_map, own_file
from mma_pipeline.products.inputs import ProductInput

if TYPE_CHECKING:
    from mma_pipeline.science.observing.targets import Target
    from mma_pipeline.science.skymaps.model import SkyMap
    from mma_pipeline.settings import Settings

#: Galaxies that are put into an order, the likeliest.
GALAXIES = 20
_DAY = timedelta(days=1)


def begin_of(created: datetime, now: datetime, days: int) -> datetime:
    """Begin of the 24 h that a version's windows describe: the notice's creation, or so many whole days later.

    Days are counted from the notice to `now`, at most `days` of them: before and after those the first 24 h hold, so that
    a replay of an old notice gives what observers were told. To the full hour, UTC: the second preliminary notice, which
    follows with the identical map some minutes later, mostly shares the files of the first.
    """
    first = created.replace(minute=0, second=0, microsecond=0)
    passed = (now - first) // _DAY
    return first + passed * _DAY if 0 <= passed <= days else first


def targets_of(archive: Archive, event_id: str, skymap: SkyMap, settings: Settings) -> list[Target]:
    """The likeliest galaxies of a map, where a catalog can be used, and the event's candidates that are not excluded.

    A candidate is worth more than any galaxy; among candidates the posterior counts, else the light curve.
    """
    from mma_pipeline.science.observing.targets import Target

    found = []
    for score in _candidates(archive, event_id):
        likely = score.get("posterior")
        weight = 1.0 + (float(score["p_phot"]) if likely is None else float(likely))
        found.append(Target(str(score["candidate"]), "candidate", float(score["ra"]), float(score["dec"]), weight))
    ranking = usable_ranking(settings)
    if ranking is not None:
        from mma_pipeline.science.galaxies.ranking import rank_galaxies

        catalog, wanted = ranking
        best = rank_galaxies(skymap, catalog, wanted.choice)
        for i in range(min(GALAXIES, len(best))):
            name = best.name[i].strip() or f"galaxy {int(best.rank[i])}"
            place = float(best.ra[i]), float(best.dec[i])
            found.append(Target(name, "galaxy", *place, float(best.score[i])))
    return [target for target in found if target.weight > 0]


def _candidates(archive: Archive, event_id: str) -> list[Mapping[str, Any]]:
    scores = PhotometryArchive(archive).latest_scores_of([event_id]).get(event_id, ())
    return [score for score in scores if score.get("status") != "excluded"]


def _begin(source: ProductInput) -> datetime:
    return begin_of(source.record.version.created, source.now, source.settings.observing.windows_days)


def _inputs(source: ProductInput) -> Sequence[str]:
    ranking = usable_ranking(source.settings)
    earth = orientation_at(_begin(source))
    names = ("candidate", "ra", "dec", "p_phot", "posterior")
    return [
        *of_the_map(source),
        source.record.version.event_id,
        _begin(source).isoformat(),
        json.dumps([asdict(limits(source.settings)), *(asdict(site) for site in sites(source.settings))]),
        "" if ranking is None else ranking[1].identity(ranking[0]),
        json.dumps([[s.get(n) for n in names] for s in _candidates(source.archive, source.record.version.event_id)]),
        json.dumps([earth.ut1_utc, earth.pole, str(earth.measured_until)]),
    ]


def _make(source: ProductInput) -> ProductFiles:
    from mma_pipeline.science.observing.targets import best_order
    from mma_pipeline.science.observing.windows import windows
    from mma_pipeline.science.observing.windows_table import document, short, site_table, stamp
    from mma_pipeline.science.plots.windows import draw_windows
    from mma_pipeline.science.tables import ecsv, votable

    begins, event_id = _begin(source), source.record.version.event_id
    earth = orientation_at(begins)
    settings = source.settings
    found = windows(
        source.skymap, sites(settings), begins, limits=limits(settings), ut1_utc=earth.ut1_utc, pole=earth.pole
    )
    targets = targets_of(source.archive, event_id, source.skymap, settings)
    orders = {one.site.name: best_order(found, one, targets) for one in found.sites}
    statistics = {
        "begins": stamp(begins),
        "probability_any_site": round(found.probability, 6),
        "sites": short(found, orders),
        "sites_considered": len(found.sites),
        "sites_observing": sum(one.window is not None for one in found.sites),
        "targets": len(targets),
        "earth_orientation_measured_until": str(earth.measured_until),
        "earth_orientation_predicted_until": str(earth.predicted_until),
    }
    whole = document(found, orders) | {
        "earth_orientation": {
            "table": "IERS finals2000A, packaged",
            "measured_until": str(earth.measured_until),
            "predicted_until": str(earth.predicted_until),
        }
    }
    table = site_table(found, event=event_id)
    title = f"{event_id}: {found.probability:.0%} of the map observable in 24 h"
    return ProductFiles(
        {
            "observability": json.dumps(whole, sort_keys=True, separators=(",", ":"), allow_nan=False).encode(),
            "observability_table": ecsv(table),
            "observability_votable": votable(table),
            "airmass": draw_windows(found, title),
        },
        statistics,
    )


observability = Product(
    name="observability",
    about=__doc__ or "",
    code_version="3",
    priority=-10,
    group="observing",
    kinds=frozenset({"astropy", "json"}),
    deps=("skymap",),
    unconfigured=wrong_sites,
    files=(
        own_file("observability", "observability.json", "application/json"),
        own_file("observability_table", "observability.ecsv", "text/plain"),
        own_file("observability_votable", "observability.vot", "application/x-votable+xml"),
        own_file("airmass", "airmass.png", "image/png", plot=True),
    ),
    inputs=_inputs,
    make=_make,
    checks=(
        CheckSpec(
            "windows_are_shares",
            "Every probability that a site can observe is from 0 to 1, and no site has more than all of them together.",
            lambda statistics: all(
                is_share(site["probability"]) and site["probability"] <= statistics["probability_any_site"] + 1e-5
                for site in statistics["sites"]
            ),
            shows=("probability_any_site", "sites_observing"),
        ),
    ),
)
