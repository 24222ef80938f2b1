"""Run by Alembic: uses the connection `storage.schema` hands over, or prints SQL without one."""

from alembic import context

from gateway.storage.tables import metadata

_connection = context.config.attributes.get("connection")
if _connection is None:
    context.configure(dialect_name="sqlite", target_metadata=metadata, literal_binds=True, render_as_batch=True)
else:
    context.configure(connection=_connection, target_metadata=metadata, render_as_batch=True)
with context.begin_transaction():
    context.run_migrations()
