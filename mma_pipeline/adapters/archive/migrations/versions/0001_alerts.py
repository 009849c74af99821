"""Messages, versions and products."""

import sqlalchemy as sa
from alembic import op

from mma_pipeline.adapters.archive.schema import RowId, UTCDateTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the tables."""
    op.create_table(
        "body",
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("data", sa.LargeBinary, nullable=False),
        sa.PrimaryKeyConstraint("sha256", name="pk_body"),
    )
    op.create_table(
        "message",
        sa.Column("id", RowId, autoincrement=True, nullable=False),
        sa.Column("stream", sa.String(100), nullable=False),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("partition", sa.Integer, nullable=False),
        sa.Column("offset", sa.BigInteger, nullable=False),
        sa.Column("key", sa.LargeBinary),
        sa.Column("headers", sa.JSON, nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("broker_time", UTCDateTime),
        sa.Column("received", UTCDateTime, nullable=False),
        sa.Column("event_id", sa.String(32)),
        sa.Column("quarantine_reason", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_message"),
        sa.ForeignKeyConstraint(["sha256"], ["body.sha256"], name="fk_message_sha256"),
        sa.UniqueConstraint(
            "stream", "topic", "partition", "offset", "sha256", name="uq_message_stream_topic_partition_offset_sha256"
        ),
    )
    op.create_index("ix_message_received", "message", ["received"])
    op.create_index("ix_message_event_id", "message", ["event_id"])
    op.create_table(
        "version",
        sa.Column("partition_key", sa.String(120), nullable=False),
        sa.Column("event_id", sa.String(32), nullable=False),
        sa.Column("label", sa.String(32), nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("created", UTCDateTime, nullable=False),
        sa.Column("role", sa.String(16), nullable=False),
        sa.Column("message_id", RowId, nullable=False),
        sa.Column("facts", sa.JSON, nullable=False),
        sa.PrimaryKeyConstraint("partition_key", name="pk_version"),
        sa.ForeignKeyConstraint(["message_id"], ["message.id"], name="fk_version_message_id"),
        sa.UniqueConstraint("event_id", "label", "number", name="uq_version_event_id_label_number"),
    )
    for column in ("event_id", "created", "message_id"):
        op.create_index(f"ix_version_{column}", "version", [column])
    op.create_table(
        "product",
        sa.Column("partition_key", sa.String(120), nullable=False),
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("asset", sa.String(64), nullable=False),
        sa.Column("store_key", sa.String(400), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("size", sa.BigInteger, nullable=False),
        sa.Column("content_type", sa.String(100), nullable=False),
        sa.Column("code_version", sa.String(64), nullable=False),
        sa.Column("address", sa.String(64), nullable=False),
        sa.Column("figures", sa.JSON, nullable=False),
        sa.Column("written", UTCDateTime, nullable=False),
        sa.PrimaryKeyConstraint("partition_key", "name", name="pk_product"),
        sa.ForeignKeyConstraint(["partition_key"], ["version.partition_key"], name="fk_product_partition_key"),
    )
    op.create_index("ix_product_address", "product", ["address"])


def downgrade() -> None:
    """Drop the tables; what they hold is lost."""
    for table in ("product", "version", "message", "body"):
        op.drop_table(table)
