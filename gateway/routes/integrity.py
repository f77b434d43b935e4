"""Rows, vectors and files against one another: walks as JSON lines, and a look at one thing."""

from typing import Annotated, Any

import orjson
from fastapi import FastAPI, Path
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.answers.common import KNOWLEDGE
from gateway.answers.integrity import REPAIR_LINES, VERIFY_LINES, GroundTruthAnswer
from gateway.channels import Answers
from gateway.clients import Clients
from gateway.errors import problem_of
from gateway.live import Live
from gateway.models.integrity import CensusRequest, RepairRequest
from gateway.openapi import Responses, problems
from gateway.rendering import integrity
from gateway.responses import respond
from gateway.routes.lines import MEDIA_TYPE
from gateway.values import Uuid
from kith.knowledge.v1 import integrity_service_pb2 as pb
from svckit.errors import Unavailable

Identifier = Annotated[Uuid, Path(alias="id", examples=[KNOWLEDGE])]

_HEADERS = [(b"content-type", MEDIA_TYPE.encode()), (b"x-accel-buffering", b"no")]


def add(app: FastAPI, clients: Clients, live: Live) -> None:
    """Add the routes."""
    knowledge = clients.knowledge

    @app.post(
        "/v1/integrity/verify", response_class=Response, tags=["integrity"],
        responses=_lines("Findings and progress; the summary comes last.", VERIFY_LINES),
    )  # fmt: skip
    async def verify_integrity(census: CensusRequest) -> Response:
        """Compare the three stores both ways, and change nothing."""
        method = knowledge.integrity.VerifyIntegrity
        return WalkLines(live, knowledge.channel.stream(method, _census(census)))

    @app.post(
        "/v1/integrity/repair", response_class=Response, tags=["integrity"],
        responses=_lines("Repairs and progress; the summary comes last.", REPAIR_LINES),
    )  # fmt: skip
    async def repair_integrity(repair: RepairRequest) -> Response:
        """Compare the three stores, and mend what does not fit, beside live writers."""
        request = pb.RepairIntegrityRequest(
            census=_census(repair),
            kinds=[integrity.KINDS[kind] for kind in repair.kinds],
            dry_run=repair.dry_run,
        )
        method = knowledge.integrity.RepairIntegrity
        return WalkLines(live, knowledge.channel.stream(method, request))

    @app.get(
        "/v1/integrity/ground-truth/{id}", response_model=GroundTruthAnswer, tags=["integrity"],
        responses=problems(404),
    )  # fmt: skip
    async def get_ground_truth(identifier: Identifier) -> Response:
        """Show what each store holds of one item or document, side by side."""
        request = pb.GetGroundTruthRequest(id=identifier)
        answer = await knowledge.ask(knowledge.integrity.GetGroundTruth, request)
        return respond(integrity.ground_truth(answer))


class WalkLines(Response):
    """A walk, a JSON object a line, as it goes. While the client does not read, it waits."""

    media_type = MEDIA_TYPE

    def __init__(self, live: Live, answers: Answers[Any]) -> None:
        super().__init__()
        self._live = live
        self._answers = answers
        self._has_begun = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._live.run("integrity", self._send_all(send), receive)
            if self._live.is_stopping and not self._has_begun:
                raise Unavailable("the gateway is stopping")
        finally:
            self._answers.close()

    async def _send_all(self, send: Send) -> None:
        line: Any = {}
        try:
            while "summary" not in line:
                answer = await self._answers.next()
                assert answer is not None  # it waits for as long as it takes
                line = integrity.walk_line(answer)
                await self._send(send, line)
        except Exception as error:
            if not self._has_begun:
                raise
            await self._send(send, {"error": problem_of(error).body()})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _send(self, send: Send, line: Any) -> None:
        if not self._has_begun:
            self._has_begun = True
            await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
        body = orjson.dumps(line, option=orjson.OPT_APPEND_NEWLINE)
        await send({"type": "http.response.body", "body": body, "more_body": True})


def _census(census: CensusRequest) -> pb.VerifyIntegrityRequest:
    return pb.VerifyIntegrityRequest(
        read_files=census.read_files,
        namespaces=census.namespaces,
        grace_seconds=census.grace_seconds,
    )


def _lines(description: str, example: list[dict[str, Any]]) -> Responses:
    text = "".join(orjson.dumps(line).decode() + "\n" for line in example)
    content = {MEDIA_TYPE: {"schema": {"type": "string"}, "example": text}}
    return {200: {"description": description, "content": content}, **problems(413, 415)}
