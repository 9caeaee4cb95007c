"""Migrations of the one database, the newest last; `jangbu.platform.database.upgrade` runs them."""
