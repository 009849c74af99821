"""What every group of settings is made of: its fields, and what people write into variables."""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AliasChoices, BeforeValidator, Field, SecretStr
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict


def _parts(value: Any) -> Any:
    """Comma-separated text as a tuple without empty parts."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


Words = Annotated[tuple[str, ...], NoDecode, BeforeValidator(_parts)]
Start = Literal["earliest", "latest"]


def setting(default: Any, *names: str, about: str, empty_counts: bool = False) -> Any:
    """A field: its default, the variables that set it (the first that is set wins), and what it is for.

    Args:
        default: value where no variable is set.
        names: variables, ours first.
        about: one sentence for people.
        empty_counts: whether an empty variable is a value; elsewhere it means that the variable is not set.
    """
    extra: dict[str, Any] = {"empty_counts": empty_counts}
    return Field(default, validation_alias=AliasChoices(*names), description=about, json_schema_extra=extra)


class Group(BaseSettings):
    """Settings that belong together. Values come from the mapping that `Settings` was given, never from elsewhere."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", hide_input_in_errors=True)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is handed in: `Settings` has read the environment already."""
        return (init_settings,)


def plain_web_address(value: str | None, what: str) -> str | None:
    """An http or https address as it is; raises ValueError for one that people cannot be given.

    The address is not repeated in the complaint: somebody may have written a password into it.
    """
    parts = urlsplit(value or "")
    if value is not None and (
        parts.scheme not in {"http", "https"}
        or not parts.hostname
        or parts.query
        or parts.fragment
        or "@" in parts.netloc
    ):
        raise ValueError(f"must be an http or https address without credentials, query or fragment, below which {what}")
    return value


def names_of(info: Any) -> tuple[str, ...]:
    """The variables that set a field, the first that is set wins."""
    alias = info.validation_alias
    return tuple(str(choice) for choice in alias.choices) if isinstance(alias, AliasChoices) else (str(alias),)


def secret(value: SecretStr | None) -> str | None:
    """A secret as it is sent; None where it is not set."""
    return None if value is None else value.get_secret_value()
