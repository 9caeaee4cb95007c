"""The database: units of work with an outbox, and migrations."""
