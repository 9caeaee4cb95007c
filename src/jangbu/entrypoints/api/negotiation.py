"""Which representation and which coding of it a client takes (RFC 9110, 12.5)."""

import gzip
from collections.abc import Mapping, Sequence
from typing import Final

import pyarrow as pa

from jangbu.kernel.errors import NotAcceptable

SMALL: Final = 16_384
"""Bytes up to which a body is sent as it is."""


def media_type(accept: str | None, offered: Sequence[str]) -> str:
    """The offered type that the client likes best; of equals the one offered first.

    Raises:
        NotAcceptable: it takes none of them.
    """
    if not accept or not accept.strip():
        return offered[0]
    wanted = _qualities(accept)
    best = max(offered, key=lambda name: _quality_of_type(name, wanted))
    if _quality_of_type(best, wanted) <= 0:
        raise NotAcceptable("None of the types in Accept can be had.", value=accept, known=offered)
    return best


def encode(body: bytes, accept_encoding: str | None) -> tuple[bytes, str | None]:
    """The body in the coding that the client likes best (zstd before gzip), and the coding's name; None where it is left as it is:
    short, or the client takes no other."""
    if len(body) <= SMALL or not accept_encoding:
        return body, None
    wanted = _qualities(accept_encoding)
    best = max(("zstd", "gzip"), key=lambda name: _quality_of_coding(name, wanted))
    if _quality_of_coding(best, wanted) <= 0 or _quality_of_coding("identity", wanted, 0.0001) > _quality_of_coding(best, wanted):
        return body, None
    if best == "zstd":
        return pa.Codec("zstd", 1).compress(body, asbytes=True), best
    return gzip.compress(body, 1, mtime=0), best


def _qualities(header: str) -> dict[str, float]:
    """Each name of the header with its q-value; one that can't be read counts as 0."""
    found: dict[str, float] = {}
    for part in header.split(","):
        name, *parameters = (piece.strip() for piece in part.split(";"))
        weights = [piece[2:] for piece in parameters if piece[:2].lower() == "q="]
        if name:
            found[name.lower()] = _quality(weights[0]) if weights else 1.0
    return found


def _quality(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        return 0.0
    return value if 0 <= value <= 1 else 0.0


def _quality_of_type(name: str, wanted: Mapping[str, float]) -> float:
    """The most specific range decides."""
    major = name.split("/")[0]
    return next((wanted[key] for key in (name, f"{major}/*", "*/*") if key in wanted), 0.0)


def _quality_of_coding(name: str, wanted: Mapping[str, float], unnamed: float = 0.0) -> float:
    return next((wanted[key] for key in (name, "*") if key in wanted), unnamed)
