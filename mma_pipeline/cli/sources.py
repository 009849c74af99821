"""Input of `mma replay`: alert files, or the notices of a public superevent from GraceDB."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.markup import escape

from mma_pipeline.cli.app import Exit, clear_errors, errors, fail
from mma_pipeline.notices.key import EVENT_ID
from mma_pipeline.notices.text import one_line

#: Longest reason, characters.
_LONGEST = 200


@dataclass(frozen=True)
class Item:
    """One alert to replay."""

    name: str
    body: bytes
    created: datetime | None
    """Creation time of the notice; None if it cannot be read."""
    event: str | None = None
    """Id of its event, used as message key: messages with the same key keep their order on a broker."""


def gather(targets: Sequence[str], gracedb: str | None) -> list[Item]:
    """Read every target: a file, a folder of files, or the id of a public superevent; in the order given."""
    items: list[Item] = []
    for target in targets:
        path = Path(target)
        if not target.strip():
            # A variable of a script that is not set would mean the folder in which one happens to be.
            raise fail("a path is empty: name a file, a folder or a superevent id", Exit.USAGE)
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if file.is_file()]
            shown = [file for file in files if not file.name.startswith(".")]
            if len(shown) < len(files):
                errors.print(
                    f"[yellow]mma:[/yellow] {len(files) - len(shown)} hidden in {escape(target)} left out",
                    highlight=False,
                )
            items += [_item(file.name, file.read_bytes()) for file in shown]
        elif path.is_file():
            items.append(_item(path.name, path.read_bytes()))
        elif EVENT_ID.fullmatch(target):
            items += _from_gracedb(target, gracedb)
        else:
            raise fail(f"{target} is not a file, a folder or a superevent id such as S230518h", Exit.USAGE)
    if not items:
        raise fail("there is nothing to replay: the folder is empty", Exit.NOTHING)
    return items


def in_order_of_creation(items: Sequence[Item]) -> list[Item]:
    """Items in order of creation; those without a readable time come last, in the given order."""
    dated = sorted(
        (item for item in items if item.created is not None),
        key=lambda item: item.created or datetime.max.replace(tzinfo=UTC),
    )
    return dated + [item for item in items if item.created is None]


def _from_gracedb(superevent_id: str, api: str | None) -> list[Item]:
    from mma_pipeline.adapters.gracedb import PUBLIC_API, GraceDB

    with clear_errors():
        service = GraceDB(api or PUBLIC_API)
        found = [_item(file.name, service.download(file)) for file in service.alert_files(superevent_id)]
    return in_order_of_creation(found)


def _item(name: str, body: bytes) -> Item:
    from mma_pipeline.defs.alerts.streams import subject_of

    told = subject_of(body)
    return Item(name, body, *((None, None) if told is None else (told.created, told.event_id)))


def no_notice(item: Item) -> str | None:
    """What is wrong with an item that is in no form of alerts and notices; None for all others."""
    from mma_pipeline.defs.alerts.streams import check_form
    from mma_pipeline.notices.errors import NoticeError

    try:
        check_form(item.body)
    except NoticeError as error:
        return one_line(str(error), _LONGEST)
    return None
