"""Training of the kilonova classifier: simulated skies, real negatives, fitting, calibration. Needs the extra `[train]`.

Scoring imports nothing from here.
"""

from __future__ import annotations

from importlib.util import find_spec

#: Packages of the extra, by import name.
_NEEDED = ("sklearn", "sncosmo", "threadpoolctl")


class MissingExtraError(ImportError):
    """The extra `[train]` is not installed."""


def require_extra() -> None:
    """Raise MissingExtraError, with the command to install it, if a package of the extra is missing."""
    missing = [name for name in _NEEDED if not _is_there(name)]
    if missing:
        raise MissingExtraError(f"training needs {', '.join(missing)}: pip install 'mma_pipeline[train]'")


def _is_there(name: str) -> bool:
    try:
        return find_spec(name) is not None
    except ValueError:  # blocked: sys.modules holds None
        return False
