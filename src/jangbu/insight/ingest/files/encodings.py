"""Which encoding a text file has, told by its bytes, and its text as UTF-8."""

import codecs
from pathlib import Path
from typing import BinaryIO, Final

from jangbu.insight.ingest.files.packed import unpacked
from jangbu.kernel.errors import LoadError

_MARKS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_CHUNK: Final = 1 << 20
_BROKEN: Final = "jangbu_broken_byte"

SIGN: Final = "\uffff"
"""What a broken byte becomes: no letter of any text (Unicode calls it a noncharacter), but one that UTF-8 can write."""

codecs.register_error(_BROKEN, lambda error: (SIGN, error.end if isinstance(error, UnicodeError) else 0))  # type: ignore[attr-defined]  # every error of a codec has an end


def encoding_of(path: Path) -> str:
    """`utf-8-sig` and `utf-16` by their marks, else `utf-8` where all of the file is, else the likelier of it and `cp949`."""
    with unpacked(path) as opened:
        chunk = opened.read(_CHUNK)
        for mark, name in _MARKS:
            if chunk.startswith(mark):
                return name
        decoder = codecs.getincrementaldecoder("utf-8")()
        while chunk:
            try:
                decoder.decode(chunk)
            except UnicodeDecodeError:
                return min(("utf-8", "cp949"), key=lambda name: _broken(chunk, name))
            chunk = opened.read(_CHUNK)
    return "utf-8"


def as_utf8(stream: BinaryIO, encoding: str) -> "Recoded":
    """The stream's text in UTF-8 without a mark. A byte that isn't of the encoding becomes `SIGN`.

    Raises:
        LoadError: there is no such encoding.
    """
    try:
        "".encode(encoding)  # refuses codecs that aren't of texts
        return Recoded(stream, codecs.getincrementaldecoder(encoding)(errors=_BROKEN))
    except LookupError:
        known = ["utf-8", "cp949", "utf-16"]
        raise LoadError(f"There is no encoding {encoding!r}.", value=encoding, known=known) from None


def _broken(chunk: bytes, encoding: str) -> int:
    return chunk.decode(encoding, errors="replace").count("�")


class Recoded:
    """A stream of UTF-8. Of what was read so far: `broken`, whether a byte isn't of the encoding, and the number of `quotes`."""

    def __init__(self, stream: BinaryIO, decoder: codecs.IncrementalDecoder) -> None:
        self._stream, self._decoder, self._kept = stream, decoder, b""
        self.broken, self.quotes, self.closed = False, 0, False

    def read(self, size: int = -1) -> bytes:
        """As many bytes; fewer only at the end, as whoever parses blocks takes each of them for a whole one."""
        while size < 0 or len(self._kept) < size:
            chunk = self._stream.read(max(_CHUNK, size - len(self._kept)))
            # A zero is no letter either, and makes Arrow's reader lose a row.
            text = self._decoder.decode(chunk, final=not chunk).replace("\0", SIGN)
            self.broken = self.broken or SIGN in text
            self.quotes += text.count('"')
            self._kept += text.encode("utf-8", "surrogatepass")
            if not chunk:
                break
        size = len(self._kept) if size < 0 else size
        found, self._kept = self._kept[:size], self._kept[size:]
        return found

    def readable(self) -> bool:
        return True

    def close(self) -> None:
        self.closed = True
