"""Alembic's entry: runs the revisions on the connection that `infra.database.migrate` opened."""

from alembic import context

from infra.database.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite can't alter a table in place; Alembic copies it.
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
