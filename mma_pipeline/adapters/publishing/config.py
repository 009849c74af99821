"""Destinations and their rules, from a TOML file or from the environment alone.

`MMA_PUBLICATION_CONFIG` names the file. Without it there is a destination for each of `API_BASE` (GWTM), `MMA_HOP_URL`
(Hopskotch) and `MMA_WEBHOOK_URL` that is set, with the rules below. Secrets come from the environment only.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mma_pipeline.adapters.errors import ConfigurationError
from mma_pipeline.adapters.publishing.formats import FORMATS
from mma_pipeline.adapters.publishing.model import Destination
from mma_pipeline.adapters.publishing.rules import Rule

GWTM, HOPSKOTCH, WEBHOOK = "gwtm", "hopskotch", "webhook"
_SETTINGS: dict[str, dict[str, type | tuple[type, ...]]] = {
    GWTM: {
        "groupname": str, "timeout_s": (int, float), "settle_s": (int, float), "repeat_s": (int, float),
        "per_minute": int, "bare_rows": bool, "candidates": bool,
    },
    HOPSKOTCH: {"url": str, "formats": list, "anonymous": bool, "verify": bool, "settle_s": (int, float), "per_minute": int},
    WEBHOOK: {
        "url_env": str, "template": str, "template_file": str, "content_type": str, "failures": bool,
        "per_minute": int, "settle_s": (int, float), "timeout_s": (int, float),
    },
}  # fmt: skip
#: Default rule of each kind of destination. The Treasure Map (GWTM) shows mock events apart from real ones, so it gets them
#: too; people get real, significant events.
_DEFAULT_RULES = {
    GWTM: Rule(roles=("observation", "test")),
    HOPSKOTCH: Rule(roles=("observation", "test")),
    WEBHOOK: Rule(significant=True),
}


@dataclass(frozen=True, slots=True)
class DestinationConfig:
    """One destination as configured; holds no secret."""

    name: str
    kind: str
    rule: Rule
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def wants_failures(self) -> bool:
        """Whether it gets messages about publications that failed for good."""
        return bool(self.settings.get("failures", self.kind == WEBHOOK))

    @property
    def formats(self) -> tuple[str, ...]:
        """Forms of its messages; none where it is no Hopskotch topic."""
        return tuple(self.settings.get("formats", ["v2"])) if self.kind == HOPSKOTCH else ()

    @property
    def takes_candidates(self) -> bool:
        """Whether scored candidates go there: to Hopskotch topics, to the Treasure Map if `candidates` is set."""
        return bool(self.settings.get("candidates", False)) if self.kind == GWTM else self.kind == HOPSKOTCH

    @property
    def takes_bare(self) -> bool:
        """Whether a version may go there without its map's values if its products failed for good.

        The Treasure Map keeps a row as first posted, so it gets none unless `bare_rows` is set.
        """
        return bool(self.settings.get("bare_rows", self.kind != GWTM))


@dataclass(frozen=True, slots=True)
class Access:
    """Addresses to publish to, and credentials. No repr shows secrets."""

    api_base: str | None = None
    """The Treasure Map's API."""
    api_token: str | None = field(default=None, repr=False)
    observing_run: str = "O4"
    """Observing run in its rows."""
    bare_rows: bool = False
    """Whether it gets rows without their map's values if products failed for good."""
    hop_url: str | None = None
    """Topic for derived alerts."""
    hop_username: str | None = None
    hop_password: str | None = field(default=None, repr=False)
    webhook_url: str | None = field(default=None, repr=False)
    file: Path | None = None
    """TOML file that replaces the addresses above."""
    dry_run: bool = False
    """If set, nothing is published and no server called."""
    named: Mapping[str, str] = field(default_factory=dict, repr=False)
    """Values by variable name, for addresses that the file refers to (`url_env`)."""


def load(access: Access) -> tuple[DestinationConfig, ...]:
    """The destinations; raises ConfigurationError with advice."""
    bare_rows = {"bare_rows": True} if access.bare_rows else {}
    if access.file is not None:
        read = _from_file(access.file)
        return tuple(replace(c, settings={**bare_rows, **c.settings}) if c.kind == GWTM else c for c in read)
    found = []
    if access.api_base:
        found.append(DestinationConfig(GWTM, GWTM, _DEFAULT_RULES[GWTM], bare_rows))
    if access.hop_url:
        found.append(DestinationConfig(HOPSKOTCH, HOPSKOTCH, _DEFAULT_RULES[HOPSKOTCH], {"url": access.hop_url}))
    if access.webhook_url:
        found.append(DestinationConfig(WEBHOOK, WEBHOOK, _DEFAULT_RULES[WEBHOOK], {"url_env": "MMA_WEBHOOK_URL"}))
    return tuple(found)


def open_destination(config: DestinationConfig, access: Access) -> Destination:
    """Build a destination with its secrets; sends no request yet."""
    settings = dict(config.settings)
    if config.kind == GWTM:
        from mma_pipeline.adapters.publishing.gwtm import GwtmDestination
        from mma_pipeline.adapters.publishing.gwtm_client import GwtmClient

        base, token = _needed("API_BASE", access.api_base), _needed("API_TOKEN", access.api_token)
        timeout = float(settings.pop("timeout_s", 30))
        for decided in ("bare_rows", "candidates"):
            settings.pop(decided, None)
        return GwtmDestination(
            GwtmClient(base, token, timeout_s=timeout), config.name, observing_run=access.observing_run, **settings
        )
    if config.kind == HOPSKOTCH:
        from mma_pipeline.adapters.publishing.hopskotch import HopskotchDestination

        settings.pop("formats", None)
        # A broker without credentials must not receive those of Hopskotch.
        auth = None if settings.get("anonymous") else _hop_auth(access)
        return HopskotchDestination(name=config.name, auth=auth, **settings)
    from mma_pipeline.adapters.publishing.webhook import WebhookDestination

    name = settings.pop("url_env", "MMA_WEBHOOK_URL")
    url = _needed(name, access.webhook_url if name == "MMA_WEBHOOK_URL" else access.named.get(name))
    settings.pop("failures", None)
    return WebhookDestination(name=config.name, url=url, **settings)


def _from_file(path: Path) -> tuple[DestinationConfig, ...]:
    try:
        tables = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"MMA_PUBLICATION_CONFIG {path} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    unknown = sorted(set(tables) - {"destinations"})
    if unknown or not isinstance(tables.get("destinations", {}), dict):
        raise ConfigurationError(f"{path}: only tables [destinations.NAME] belong here, found {', '.join(unknown)}")
    return tuple(_destination(name, table, path) for name, table in tables.get("destinations", {}).items())


def _destination(name: str, table: Any, path: Path) -> DestinationConfig:
    where = f"{path}: destinations.{name}"
    if not isinstance(table, dict) or table.get("kind") not in _SETTINGS:
        raise ConfigurationError(f"{where} needs kind = {' or '.join(map(repr, _SETTINGS))}")
    if not name.replace("-", "").replace("_", "").isalnum() or len(name) > 64:
        raise ConfigurationError(f"{where}: a name has letters, digits, - and _, at most 64")
    kind, known = table["kind"], _SETTINGS[table["kind"]]
    settings = {k: v for k, v in table.items() if k not in {"kind", "rule"}}
    for key, value in settings.items():
        if key not in known or not isinstance(value, known[key]):
            raise ConfigurationError(f"{where}.{key} is unknown or of the wrong type; a {kind} has {', '.join(known)}")
    if kind == HOPSKOTCH:
        _check_hopskotch(settings, where)
    rule = _DEFAULT_RULES[kind]
    if "rule" in table:
        if not isinstance(table["rule"], dict):
            raise ConfigurationError(f"{where}.rule must be a table")
        rule = Rule.from_mapping(table["rule"], f"{where}.rule")
    return DestinationConfig(name, kind, rule, settings)


def _check_hopskotch(settings: Mapping[str, Any], where: str) -> None:
    if "url" not in settings:
        raise ConfigurationError(f"{where} needs url = 'kafka://host/topic'")
    if not set(settings.get("formats", ["v2"])) <= set(FORMATS):
        raise ConfigurationError(f"{where}.formats may hold {', '.join(map(repr, FORMATS))}")


def _hop_auth(access: Access) -> Any:
    """The SCRAM credential; None means that hop-client's auth.toml is used."""
    user, password = access.hop_username, access.hop_password
    if not user and not password:
        return None
    if not user or not password:
        raise ConfigurationError("set both HOP_USERNAME and HOP_PASSWORD, the Hopskotch credential")
    from hop.auth import Auth

    return Auth(user, password)


def _needed(name: str, value: str | None) -> str:
    if not value:
        raise ConfigurationError(f"{name} is not set: it is needed to publish")
    return value
