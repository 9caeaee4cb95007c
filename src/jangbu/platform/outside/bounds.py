"""Bounds of files in time, which others may have left out."""

from collections.abc import Sequence
from dataclasses import replace

from jangbu.platform.lakehouse.ports import DataFile


def with_bounds(files: Sequence[DataFile]) -> tuple[DataFile, ...]:
    """The files, without any bounds where one has none: whoever takes the first and last of all would leave its rows out."""
    if all(file.time_min is not None and file.time_max is not None for file in files):
        return tuple(files)
    return tuple(replace(file, time_min=None, time_max=None) for file in files)
