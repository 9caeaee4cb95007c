"""What Alembic runs around the revisions: on the connection and in the transaction that it is handed; logging is left alone."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    render_as_batch=True,
    transactional_ddl=True,  # SQLite can, if the driver doesn't commit behind our back
)
with context.begin_transaction():
    context.run_migrations()
