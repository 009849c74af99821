"""How alembic reaches the database: through the connection that `migrate` hands over, never by a URL in a file."""

from alembic import context

from mma_pipeline.adapters.archive.migrate import VERSION_TABLE
from mma_pipeline.adapters.archive.schema import metadata

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    compare_type=True,
)
with context.begin_transaction():
    context.run_migrations()
