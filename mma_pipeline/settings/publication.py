"""What is sent to others, and what the portal shows them."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from pydantic import AliasChoices, Field, SecretStr, field_validator

from mma_pipeline.settings.base import Group, plain_web_address, setting


class PublicationSettings(Group):
    """What is sent to others, and where."""

    api_base: str | None = setting(
        None, "API_BASE", about="The Treasure Map's API, an address that ends in `/api/v1/`."
    )
    api_token: SecretStr | None = setting(None, "API_TOKEN", about="Its token.")
    observing_run: str = setting("O4", "OBSERVING_RUN", about="Observing run named in its rows.")
    hop_url: str | None = setting(
        None, "MMA_HOP_URL", about="Hopskotch topic for derived alerts, `kafka://host/topic`."
    )
    webhook_url: SecretStr | None = setting(None, "MMA_WEBHOOK_URL", about="Chat or other webhook for people.")
    public_url: str | None = setting(
        None,
        "MMA_PUBLIC_URL",
        about="Address below which people can fetch the store's files; links of messages lead there.",
    )
    gwtm_bare_rows: bool = setting(
        False,
        "MMA_GWTM_BARE_ROWS",
        about="Post Treasure Map rows without their map's values where products failed for good.",
    )
    gwtm_remove_mocks: bool = setting(True, "MMA_GWTM_REMOVE_MOCKS", about="Remove mocks from the Treasure Map.")
    gwtm_mock_hours: float = Field(
        48.0,
        ge=0,
        le=87_600,
        validation_alias=AliasChoices("MMA_GWTM_MOCK_HOURS"),
        description="Hours after its last row at which a mock event is removed there.",
    )
    config: Path | None = setting(
        None, "MMA_PUBLICATION_CONFIG", about="TOML file with destinations and rules in place of the above."
    )
    dry_run: bool = setting(False, "DRY_RUN", about="Decide, but publish nothing and write to the local folder only.")

    @field_validator("public_url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        return plain_web_address(value, "the keys of the store are served")

    def public_address(self, key: str) -> str | None:
        """Where people outside fetch a storage key; None if nothing is served to them.

        The store's own address (a folder, `s3://…`) leads nobody from outside to a file, so it never stands in.
        """
        return None if self.public_url is None else f"{self.public_url.rstrip('/')}/{quote(key)}"


class PortalSettings(Group):
    """The portal: pages and API over all events (`mma serve`)."""

    url: str | None = setting(
        None,
        "MMA_PORTAL_URL",
        about="Address of the portal for people; links of the Dagster UI to files lead there.",
    )

    @field_validator("url")
    @classmethod
    def _plain_address(cls, value: str | None) -> str | None:
        return plain_web_address(value, "the portal answers")

    def file_address(self, key: str) -> str | None:
        """Where the portal serves a storage key; None without a portal."""
        return None if self.url is None else f"{self.url.rstrip('/')}/files/{quote(key)}"
