"""The secret of an API key: made here, shown once, kept nowhere."""

import re
import secrets
from hashlib import sha256
from typing import Final

_FORM: Final = re.compile(r"jb_[A-Za-z0-9_-]{43,256}")
_RANDOM_BYTES: Final = 32
_PREFIX: Final = 10


class Secret:
    """A key's secret, which no log, repr or error shows; `reveal` is for the one who is given the key."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    @classmethod
    def new(cls) -> "Secret":
        return cls("jb_" + secrets.token_urlsafe(_RANDOM_BYTES))

    def reveal(self) -> str:
        return self._text

    @property
    def is_well_formed(self) -> bool:
        return _FORM.fullmatch(self._text) is not None

    @property
    def prefix(self) -> str:
        """The characters that tell keys apart in lists; 36 more stay unknown."""
        return self._text[:_PREFIX]

    def hash(self) -> str:
        """SHA-256 in hex. A slow hash protects what people make up; 256 random bits can't be searched, and every request pays."""
        return sha256(self._text.encode()).hexdigest()

    def __repr__(self) -> str:
        return "Secret('jb_…')"

    __str__ = __repr__

    def __reduce__(self) -> str:
        raise TypeError("A secret isn't pickled.")
