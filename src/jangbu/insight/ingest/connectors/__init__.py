"""Connectors: one file each, found by `jangbu.kernel.discovery`."""
