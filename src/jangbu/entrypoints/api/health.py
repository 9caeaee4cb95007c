"""Whether the process lives, whether it can answer, and what it counts."""

import asyncio

from fastapi import APIRouter, Response

from jangbu.entrypoints.api.context import ApiOf
from jangbu.kernel.errors import Unavailable
from jangbu.platform.telemetry.metrics import CONTENT_TYPE

router = APIRouter(tags=["health"])

_READY_WITHIN = 2.0
"""Seconds that the database has to answer."""


@router.get("/health/live", summary="The process lives")
async def live() -> dict[str, str]:
    return {"status": "live"}


@router.get(
    "/health/ready", summary="The server can answer questions", responses={503: {"description": "Not yet, or not any more."}}
)
async def ready(api: ApiOf) -> dict[str, str]:
    # Not in a request's worker: a server whose workers are all busy is ready all the same.
    if not await asyncio.to_thread(api.readiness.take, _READY_WITHIN):
        raise Unavailable("The server is starting or stopping.", retry_after=1)
    return {"status": "ready"}


@router.get("/metrics", summary="Counts and times for Prometheus", response_class=Response)
async def metrics(api: ApiOf) -> Response:
    content = await asyncio.to_thread(api.application.metrics.exposition)  # it looks at the queues
    return Response(content, headers={"content-type": CONTENT_TYPE})
