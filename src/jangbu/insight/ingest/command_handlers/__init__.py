"""Handlers of the ingest context's commands: one file each, found by `jangbu.kernel.discovery`."""
