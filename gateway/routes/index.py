"""The index: what waits, what was given up, and how one model gives way to another."""

from typing import Annotated

from fastapi import FastAPI, Path, Query
from starlette.responses import Response

from gateway.answers.index import (
    DeadLettersAnswer,
    DroppedAnswer,
    IndexAnswer,
    ReindexAnswer,
    ReplayedAnswer,
    SpaceAnswer,
)
from gateway.clients import Clients
from gateway.models.index import CutOver, DeadLettersQuery, Reindex, Replay
from gateway.openapi import problems
from gateway.rendering import index as rendering
from gateway.responses import respond
from gateway.values import Word
from kith.knowledge.v1 import index_service_pb2 as pb

SpaceName = Annotated[
    Word, Path(description="The name of a space.", examples=["voyage_4_1024_whole_1"])
]


def add(app: FastAPI, clients: Clients) -> None:
    """Add the routes."""
    _add_status(app, clients)
    _add_changes(app, clients)


def _add_status(app: FastAPI, clients: Clients) -> None:
    ask, index = clients.knowledge.ask, clients.knowledge.index

    @app.get("/v1/index", response_model=IndexAnswer, tags=["index"], responses=problems())
    async def get_index() -> Response:
        """What waits to be indexed, and which spaces there are."""
        answer = await ask(index.GetIndexStatus, pb.GetIndexStatusRequest())
        body: IndexAnswer = {
            "backlog": answer.backlog,
            "oldest_pending_seconds": answer.oldest_pending_seconds,
            "dead_letters": answer.dead_letters,
            "spaces": [rendering.space(space) for space in answer.spaces],
        }
        return respond(body)

    @app.get(
        "/v1/index/dead-letters", response_model=DeadLettersAnswer, tags=["index"],
        responses=problems(),
    )  # fmt: skip
    async def list_dead_letters(query: Annotated[DeadLettersQuery, Query()]) -> Response:
        """What the indexer gave up and why, the last first."""
        request = pb.ListDeadLettersRequest(
            namespaces=query.namespace, page_size=query.page_size, page_token=query.page_token
        )
        page = await ask(index.ListDeadLetters, request)
        body: DeadLettersAnswer = {
            "dead_letters": [rendering.dead_letter(letter) for letter in page.dead_letters],
            "total": page.total,
            "next_page_token": page.next_page_token or None,
        }
        return respond(body)

    @app.post(
        "/v1/index/dead-letters/replay", response_model=ReplayedAnswer, tags=["index"],
        responses=problems(413, 415),
    )  # fmt: skip
    async def post_replay(wanted: Replay) -> Response:
        """Have the indexer try again what it gave up."""
        request = pb.ReplayDeadLettersRequest(knowledge_ids=wanted.knowledge_ids, all=wanted.all)
        answer = await ask(index.ReplayDeadLetters, request)
        body: ReplayedAnswer = {"replayed": answer.replayed}
        return respond(body)


def _add_changes(app: FastAPI, clients: Clients) -> None:
    ask, index = clients.knowledge.ask, clients.knowledge.index

    @app.post(
        "/v1/index/reindex", response_model=ReindexAnswer, tags=["index"],
        responses=problems(409, 413, 415),
    )  # fmt: skip
    async def post_reindex(wanted: Reindex) -> Response:
        """Begin to build a space for the next embedder, beside the serving one."""
        request = pb.StartReindexRequest(documents=wanted.documents)
        answer = await ask(index.StartReindex, request)
        body: ReindexAnswer = {
            "space": rendering.space(answer.space) if answer.HasField("space") else None,
            "started": answer.started,
            "documents": answer.documents,
        }
        return respond(body)

    @app.post(
        "/v1/index/cut-over", response_model=SpaceAnswer, tags=["index"],
        responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def post_cut_over(wanted: CutOver) -> Response:
        """Let a space serve that has caught up; the one before stands by."""
        answer = await ask(index.CutOver, pb.CutOverRequest(space=wanted.space))
        return respond(rendering.space(answer.space))

    @app.post(
        "/v1/index/roll-back", response_model=SpaceAnswer, tags=["index"],
        responses=problems(409),
    )  # fmt: skip
    async def post_roll_back() -> Response:
        """Let the space serve that stands by."""
        answer = await ask(index.RollBack, pb.RollBackRequest())
        return respond(rendering.space(answer.space))

    @app.delete(
        "/v1/index/spaces/{space}", response_model=DroppedAnswer, tags=["index"],
        responses=problems(404, 409),
    )  # fmt: skip
    async def delete_space(space: SpaceName) -> Response:
        """Remove a space that does not serve, and its vectors."""
        answer = await ask(index.DropSpace, pb.DropSpaceRequest(space=space))
        body: DroppedAnswer = {"dropped": answer.dropped}
        return respond(body)
