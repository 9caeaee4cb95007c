"""An embedded store carried over to servers, or to another folder: `Migration` does it, `jangbu migrate-store` runs it."""
