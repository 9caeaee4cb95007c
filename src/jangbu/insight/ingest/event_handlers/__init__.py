"""Handlers of events that the ingest context follows: one file each, found by `jangbu.kernel.discovery`."""
