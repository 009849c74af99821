"""Where state and products are kept, and how runs are queued."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from pydantic import AliasChoices, Field, SecretStr

from mma_pipeline.settings.base import Group, names_of, setting


class ArchiveSettings(Group):
    """The archive database."""

    url: SecretStr | None = setting(
        None,
        "MMA_ARCHIVE_URL",
        about="SQLAlchemy address, `sqlite:///…` or `postgresql+psycopg2://…`; by default SQLite in `DAGSTER_HOME`.",
    )
    mock_days: int = Field(
        30,
        ge=1,
        validation_alias=AliasChoices("MMA_MOCK_DAYS"),
        description="Days after which mock and test events are removed.",
    )
    gracedb_api: str | None = setting(None, "MMA_GRACEDB_API", about="Another GraceDB, by the address of its API.")
    gracedb_check: bool = setting(
        True, "MMA_GRACEDB_CHECK", about="Compare the archive with GraceDB's public list every six hours."
    )


class StoreSettings(Group):
    """The product store and its credentials, under the names of the clouds' own tools and of the GWTM listeners."""

    url: str | None = setting(
        None,
        "MMA_STORE_URL",
        about="Where products go: a folder, `s3://…`, `abfs://…`, `swift://…`; by default `products` in `DAGSTER_HOME`.",
    )
    source: str | None = setting(
        None, "STORAGE_BUCKET_SOURCE", about="The GWTM listeners' name for it: `s3`, `abfs` or `swift`."
    )
    write: bool = setting(
        True, "WRITE_TO_STORAGE", about="`false`: nothing goes to that place, everything into the local folder."
    )
    aws_bucket: str = setting("gwtreasuremap", "AWS_BUCKET", about="Bucket where `STORAGE_BUCKET_SOURCE` is `s3`.")
    aws_access_key_id: str | None = setting(None, "AWS_ACCESS_KEY_ID", about="S3 credential: the key's id.")
    aws_secret_access_key: SecretStr | None = setting(None, "AWS_SECRET_ACCESS_KEY", about="S3 credential: the secret.")
    aws_session_token: SecretStr | None = setting(
        None, "AWS_SESSION_TOKEN", about="S3 credential: token of a temporary one."
    )
    aws_default_region: str | None = setting(None, "AWS_DEFAULT_REGION", "AWS_REGION", about="S3 region.")
    aws_endpoint_url: str | None = setting(None, "AWS_ENDPOINT_URL", about="An S3 server other than Amazon's.")
    azure_storage_connection_string: SecretStr | None = setting(
        None, "AZURE_STORAGE_CONNECTION_STRING", about="Azure credential: the connection string, in place of the next."
    )
    azure_account_name: str | None = setting(
        None, "AZURE_ACCOUNT_NAME", "AZURE_STORAGE_ACCOUNT_NAME", about="Azure credential: the account."
    )
    azure_account_key: SecretStr | None = setting(
        None, "AZURE_ACCOUNT_KEY", "AZURE_STORAGE_ACCOUNT_KEY", about="Azure credential: its key."
    )
    azure_storage_sas_token: SecretStr | None = setting(
        None, "AZURE_STORAGE_SAS_TOKEN", about="Azure credential: a SAS token in place of the key."
    )
    azure_blob_endpoint: str | None = setting(
        None, "AZURE_BLOB_ENDPOINT", about="A Blob service other than Azure's own."
    )
    os_auth_url: str | None = setting(None, "OS_AUTH_URL", about="Keystone's address.")
    os_storage_url: str | None = setting(None, "OS_STORAGE_URL", about="Swift's address, if Keystone's is not used.")
    os_username: str | None = setting(
        None, "OS_USERNAME", about="User; 32 hexadecimal digits are the id of an application credential."
    )
    os_password: SecretStr | None = setting(None, "OS_PASSWORD", about="Its password or secret.")
    os_application_credential_id: str | None = setting(
        None, "OS_APPLICATION_CREDENTIAL_ID", about="Application credential: the id."
    )
    os_application_credential_secret: SecretStr | None = setting(
        None, "OS_APPLICATION_CREDENTIAL_SECRET", about="Application credential: the secret."
    )
    os_project_name: str | None = setting(None, "OS_PROJECT_NAME", about="Project.")
    os_user_domain_name: str | None = setting(None, "OS_USER_DOMAIN_NAME", about="Domain of the user (`Default`).")
    os_project_domain_name: str | None = setting(
        None, "OS_PROJECT_DOMAIN_NAME", about="Domain of the project (`Default`)."
    )
    os_region_name: str | None = setting(None, "OS_REGION_NAME", about="Region, where the catalog has several.")
    os_cacert: str | None = setting(
        None, "OS_CACERT", about="File of the authority that signed Keystone's certificate."
    )
    os_container_name: str = setting(
        "gwtreasuremap", "OS_CONTAINER_NAME", about="Container where `STORAGE_BUCKET_SOURCE` is `swift`."
    )

    @property
    def credentials(self) -> Mapping[str, str]:
        """What the backends log in with, by variable name; what is not set is absent."""
        found = {}
        for name, info in type(self).model_fields.items():
            value = getattr(self, name)
            if name.startswith(("aws_", "azure_", "os_")) and value is not None:
                found[names_of(info)[0]] = _plain(value)
        return MappingProxyType(found)


class LaneSettings(Group):
    """Runs: the warm lane's queue, and how long a version may take."""

    celery_broker: SecretStr | None = setting(
        None,
        "MMA_CELERY_BROKER",
        about="Queue of the resident workers: `redis://…` (Redis, Valkey), `amqp://…` (RabbitMQ), or `filesystem://` on one "
        "machine without a server, which Celery calls experimental.",
    )
    celery_backend: SecretStr | None = setting(
        None,
        "MMA_CELERY_BACKEND",
        about="Where workers note that a run began and how it ended: `db+postgresql+psycopg2://…`.",
    )
    dagster_postgres: SecretStr | None = setting(
        None, "DAGSTER_PG_URL", about="PostgreSQL for Dagster's own storage, named in `dagster.yaml`."
    )
    unfinished_after_s: float = Field(
        600.0,
        gt=0,
        lt=3 * 86_400,
        validation_alias=AliasChoices("MMA_UNFINISHED_AFTER_S"),
        description="Seconds after which a version that lacks products gets another run.",
    )


def _plain(value: Any) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else str(value)
