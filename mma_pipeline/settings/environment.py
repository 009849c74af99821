"""The environment of this process: the only module that reads it."""

from __future__ import annotations

import os
from functools import lru_cache
from pathlib import Path

from mma_pipeline.adapters.redact import hide, secret_values
from mma_pipeline.settings.settings import Settings


def current() -> Settings:
    """The settings of this process, as its environment is now. Their secrets are kept out of every text from here on."""
    return _of(tuple(sorted(os.environ.items())))


@lru_cache(maxsize=4)
def _of(items: tuple[tuple[str, str], ...]) -> Settings:
    environ = dict(items)
    hide(secret_values(environ))
    return Settings(environ)


def set_home(home: Path) -> None:
    """Name the folder for local state, for this process and those that it starts, where nobody named one."""
    os.environ.setdefault("DAGSTER_HOME", str(home))


def environment_of_child(**changes: str) -> dict[str, str]:
    """The environment for a process that this one starts."""
    return {**os.environ, **changes}
