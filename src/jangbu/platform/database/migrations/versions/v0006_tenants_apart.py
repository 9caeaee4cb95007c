"""On PostgreSQL a connection that serves tenants sees no others' rows, whatever it asks."""

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_COLUMN_OF = {
    "tenants": "id",
    "api_key_tenants": "tenant",
    "erasures": "tenant",
    "load_intents": "tenant",
    "loads": "tenant",
    "data_versions": "tenant",
    "quarantine": "tenant",
    "load_attempts": "tenant",
}
# An object with the tenants' names, or '*'. A subquery, so that it is read once a statement and not once a row; a name is found
# in it by bisection. Where nothing is set, nothing is seen.
_SERVED = "(SELECT nullif(current_setting('jangbu.tenants', true), '')::jsonb)"


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    for table, column in _COLUMN_OF.items():
        held = f"{_SERVED} ? '*' OR {_SERVED} ? {column}"
        op.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
        op.execute(f"CREATE POLICY tenants_apart ON {table} USING ({held} OR {column} = '') WITH CHECK ({held})")
