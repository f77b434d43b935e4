"""Everything that is held about a person, as one file."""

import asyncio
from contextlib import aclosing
from typing import Any

from fastapi import FastAPI
from prometheus_client import Counter
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.channels import FAILURES
from gateway.flows.exporting import Export, Exporting
from gateway.live import Live
from gateway.openapi import problems
from gateway.routes.common import PersonId
from svckit import logs

log = logs.get(__name__)

MEDIA_TYPE = "application/zip"
STALLED_SECONDS = 60.0

EXPORTS = Counter("kith_exports_total", "Exports of people, by what became of them.", ["outcome"])

_RESPONSES: dict[int | str, dict[str, Any]] = {
    200: {
        "description": "A zip, made as it is sent: `identity.json`; `links`, `consent_history`, "
        "`groups`, `events`, `projections`, `knowledge`, `memories` and `documents` as `.jsonl`; "
        "`files/`; and last `manifest.json`, with the size and SHA-256 of each entry. One that "
        "was broken off is refused by every reader of zips.",
        "content": {
            MEDIA_TYPE: {
                "schema": {"type": "string", "format": "binary"},
                "example": "PK\u0003\u0004…",
            }
        },
    },
    **problems(404, 409),
}


def add(app: FastAPI, exporting: Exporting, live: Live) -> None:
    """Add the route."""

    @app.get(
        "/v1/persons/{person_id}/export", response_class=Response, tags=["erasure"],
        responses=_RESPONSES,
    )  # fmt: skip
    async def export_person(person_id: PersonId) -> Response:
        """Everything that is held about a person, merged ones included."""
        return ZipAnswer(live, await exporting.open(person_id))


class ZipAnswer(Response):
    """An export as it is made. What fails on the way breaks the connection off."""

    media_type = MEDIA_TYPE

    def __init__(self, live: Live, export: Export) -> None:
        super().__init__()
        self._live = live
        self._export = export

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        outcome = "abandoned"
        try:
            if await self._live.run("export", self._send_all(send), receive):
                outcome = "whole"
        except FAILURES as error:
            # An answer that does not come to its end: the server closes the connection.
            outcome = "broken off"
            log.error("an export was broken off", why=str(error))
        finally:
            EXPORTS.labels(outcome).inc()
            self._export.close()

    async def _send_all(self, send: Send) -> bool:
        name = f"kith-{self._export.person.person_id}.zip"
        headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-disposition", f'attachment; filename="{name}"'.encode()),
            (b"cache-control", b"no-store"),
            # nginx would keep all of it on its disk first.
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        async with aclosing(self._export.blocks()) as blocks:  # type: ignore[type-var]
            async for block in blocks:
                # One that takes nothing for so long would hold the place of others.
                async with asyncio.timeout(STALLED_SECONDS):
                    await send({"type": "http.response.body", "body": block, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})
        return True
