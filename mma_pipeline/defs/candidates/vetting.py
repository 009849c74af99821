"""The tables that candidates are compared with, as configured, and the vetting of an event's candidates with them."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from mma_pipeline.adapters.errors import AdapterError, NotFoundError
from mma_pipeline.defs.observing.configuration import galaxy_catalog
from mma_pipeline.settings import Settings, current

if TYPE_CHECKING:
    from mma_pipeline.adapters.catalogs.positions import Kind, PositionTable
    from mma_pipeline.science.vetting.verdicts import Limits
    from mma_pipeline.science.vetting.vet import Tables

_T = TypeVar("_T")


def table_folder(settings: Settings, kind: Kind) -> Path:
    """Folder of a table: `MMA_STAR_CATALOG` or `MMA_AGN_CATALOG`, else `stars` or `agn` in the home folder."""
    wanted = settings.vetting.star_catalog if kind == "stars" else settings.vetting.agn_catalog
    return wanted or settings.home / kind


def star_table() -> PositionTable | None:
    """The table of stars; None if none was imported and no setting names one.

    Raises NotFoundError if the named one does not exist, PermanentError if it is damaged.
    """
    return _table("stars")


def agn_table() -> PositionTable | None:
    """The same of active nuclei."""
    return _table("agn")


def _table(kind: Kind) -> PositionTable | None:
    from mma_pipeline.adapters.catalogs.index import MANIFEST
    from mma_pipeline.adapters.catalogs.positions import PositionTable

    settings = current()
    folder = table_folder(settings, kind)
    manifest = folder / MANIFEST
    if not manifest.is_file():
        if folder != settings.home / kind:
            raise NotFoundError(
                f"{'MMA_STAR_CATALOG' if kind == 'stars' else 'MMA_AGN_CATALOG'} names {folder}, but there is no table: "
                f"make it with `mma catalog import --kind {kind} FILE`"
            )
        return None
    stat = manifest.stat()
    return _opened(folder, kind, stat.st_mtime_ns, stat.st_ino, PositionTable)


@lru_cache(maxsize=4)
def _opened(
    folder: Path,
    kind: Kind,
    changed: int,  # noqa: ARG001
    inode: int,  # noqa: ARG001
    table: type[PositionTable],
) -> PositionTable:
    return table.open(folder, kind)


def tables() -> Tables:
    """All of them. One that is configured and cannot be used is absent, and the verdicts that need it say why."""
    from mma_pipeline.science.vetting.checks import Check
    from mma_pipeline.science.vetting.vet import Tables

    problems: dict[str, str] = {}

    def opened(check: Check, find: Callable[[], _T | None]) -> _T | None:
        try:
            return find()
        except AdapterError as error:
            problems[check] = str(error)
            return None

    return Tables(
        opened(Check.HOST, galaxy_catalog),
        opened(Check.STAR, star_table),
        opened(Check.AGN, agn_table),
        problems,
    )


def limits() -> Limits:
    """When a match counts, as configured; raises ConfigurationError."""
    from mma_pipeline.science.vetting.verdicts import Limits

    settings = current()
    wanted, surveys = settings.vetting, settings.surveys
    return Limits(
        match_arcsec=wanted.match_arcsec,
        host_chance=wanted.host_chance,
        solar_system_arcsec=surveys.solar_system_arcsec,
        star_score=surveys.star_score,
        look_back_days=settings.kilonova.look_back_days,
        off=wanted.off,
    )
