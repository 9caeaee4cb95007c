"""Jangbu: the open back end of a commerce growth service."""

__version__ = "0.1.0"
