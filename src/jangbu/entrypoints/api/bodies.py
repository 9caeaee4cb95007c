"""The bytes of a request's body, never more than allowed, whatever its headers say."""

from fastapi import Request

from jangbu.kernel.errors import BodyTooLarge


async def read_body(request: Request, limit: int) -> bytes:
    """The whole body.

    Raises:
        BodyTooLarge: it is, or says that it is, longer than `limit` bytes. What comes after is not read.
        ClientDisconnect: the client went away before its end.
    """
    announced = request.headers.get("content-length", "")
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > limit):
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > limit:
            raise _too_large(limit)
        chunks.append(chunk)
    return b"".join(chunks)


def _too_large(limit: int) -> BodyTooLarge:
    return BodyTooLarge(f"A body may have {limit:,} bytes.", hint="JANGBU_MAX_BODY_BYTES sets the limit.")
