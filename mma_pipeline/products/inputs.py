"""The input of a product: one version, its message, its map, and the statistics of products made before it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

from mma_pipeline.adapters.archive import Archive, ProductRecord, VersionRecord
from mma_pipeline.adapters.errors import NotFoundError
from mma_pipeline.adapters.kafka.message import StreamMessage
from mma_pipeline.adapters.store import Store
from mma_pipeline.notices import icecube
from mma_pipeline.notices.model import LvkNotice
from mma_pipeline.products.maps import map_in, read_alert

if TYPE_CHECKING:
    from mma_pipeline.science.skymaps.model import SkyMap
    from mma_pipeline.settings import Settings


class ProductInput:
    """One version of one event, read lazily: a product pays only for what it uses."""

    def __init__(
        self, archive: Archive, store: Store, partition_key: str, settings: Settings, *, now: datetime | None = None
    ) -> None:
        """Look the version up; raises NotFoundError if it was never archived.

        `settings` are those by which its products are made. `now` (timezone-aware) is the time for which a product of the day is made; by default that of the clock.
        """
        self.archive = archive
        self.store = store
        self.settings = settings
        self.now = now or datetime.now(UTC)
        self.record: VersionRecord = archive.version(partition_key)

    @property
    def facts(self) -> Mapping[str, Any]:
        """Summary of the notice, without maps."""
        return self.record.facts

    @cached_property
    def origin(self) -> StreamMessage:
        """The message that the version came from, without its body."""
        return self.archive.origin(self.record.message_id)

    @cached_property
    def message(self) -> StreamMessage:
        """The message that the version came from."""
        return _message(self.archive, self.record.message_id)

    @cached_property
    def notice(self) -> LvkNotice:
        """The message of a gravitational-wave alert, parsed."""
        return read_alert(self.message.body)

    @cached_property
    def neutrino_notice(self) -> icecube.IceCubeNotice:
        """The message of a neutrino notice, parsed."""
        return icecube.parse_json(self.message.body)

    @property
    def skymap_sha256(self) -> str | None:
        """Digest of the version's map as sent; None without a usable map."""
        digest = self.facts.get("skymap_sha256")
        return None if digest is None else str(digest)

    @cached_property
    def alert_bytes(self) -> bytes:
        """The notice as received; for a map that was fetched later, that of the notice which names it."""
        named = self.facts.get("fetched_for") if self.record.version.is_fetched_map else None
        return self.message.body if named is None else self.archive.message(self.archive.version(named).message_id).body

    @cached_property
    def skymap_bytes(self) -> bytes | None:
        """The version's map as sent or made from the stated error, from the archived message; None without a usable map."""
        return None if self.skymap_sha256 is None else map_in(self.message.body, self.record)

    @cached_property
    def skymap(self) -> SkyMap:
        """The version's map, decoded from the `skymap` product; raises NotFoundError if that is missing."""
        return _decoded(self.store, self.product("skymap"))

    @cached_property
    def skymap_as_sent(self) -> SkyMap | None:
        """The version's map, decoded from the message, for products that also apply without a map; None if absent."""
        from mma_pipeline.science.skymaps.model import decode_skymap

        data = self.skymap_bytes
        return None if data is None else decode_skymap(data)

    def product(self, name: str) -> ProductRecord:
        """A file of this version made before; raises NotFoundError if it is missing."""
        found = self.archive.product(self.record.partition_key, name)
        if found is None:
            raise NotFoundError(
                f"{self.record.partition_key} has no {name} yet: materialise the asset that makes it first"
            )
        return found

    def statistics(self, name: str) -> Mapping[str, Any]:
        """Statistics of a product made before; raises NotFoundError if it is missing."""
        return self.product(name).statistics


def _decoded(store: Store, product: ProductRecord) -> SkyMap:
    key = (store.url(), product.sha256)
    if key not in _maps:
        from mma_pipeline.science.skymaps.model import decode_skymap

        while len(_maps) >= _KEPT_MAPS:
            _maps.pop(next(iter(_maps)), None)
        _maps[key] = decode_skymap(store.get(product.store_key))
    return _maps[key]


#: A run's assets share its process, so the map is decoded once for all of them.
_KEPT_MAPS = 2
_maps: dict[tuple[str, str], SkyMap] = {}


@lru_cache(maxsize=2)
def _message(archive: Archive, message_id: int) -> StreamMessage:
    return archive.message(message_id)
