"""Memories of a person, by key, with their history, and by words and meaning."""

from typing import Annotated

from fastapi import FastAPI, Path, Query
from starlette.responses import Response

from gateway import rendering
from gateway.answers.memories import (
    CountingMemoryAnswer,
    ForgottenAnswer,
    MemoriesAnswer,
    MemoryHitsAnswer,
    MemoryVersionsAnswer,
    SetMemoriesAnswer,
    SetMemoryAnswer,
)
from gateway.errors import renamed
from gateway.flows.memories import Remembering
from gateway.keyroute import KeyRoute
from gateway.models.common import Page
from gateway.models.memories import (
    Forgetting,
    MemoriesQuery,
    MemorySearch,
    MemoryValue,
    NewMemories,
    NewMemory,
)
from gateway.openapi import Responses, problems
from gateway.responses import respond, respond_made
from gateway.routes.common import PersonId
from gateway.values import MemoryKey
from svckit.errors import InvalidRequest

PATH = "/v1/persons/{person_id}/memories"

Key = Annotated[
    MemoryKey,
    Path(
        examples=["favourite_food"],
        description="What it is about; whatever is no letter or digit is percent-encoded.",
    ),
]


def add(app: FastAPI, remembering: Remembering) -> None:
    """Add the routes."""
    _add_lists(app, remembering)
    _add_keys(app, remembering)


def _add_lists(app: FastAPI, remembering: Remembering) -> None:
    @app.get(PATH, response_model=MemoriesAnswer, tags=["memories"], responses=problems(404, 409))
    async def list_memories(
        person_id: PersonId, query: Annotated[MemoriesQuery, Query()]
    ) -> Response:
        """What is remembered of a person, and of those merged into them."""
        found = await remembering.page(person_id, query)
        body: MemoriesAnswer = {
            "memories": [rendering.memory(memory) for memory in found.memories],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)

    @app.post(
        PATH, status_code=201, response_model=SetMemoriesAnswer, tags=["memories"],
        responses={
            200: {"model": SetMemoriesAnswer, "description": "Every key was known before."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_memories(person_id: PersonId, new: NewMemories) -> Response:
        """Remember things of a person, all or none. What is there already changes nothing."""
        done = await remembering.upsert(person_id, new.memories)
        body: SetMemoriesAnswer = {"memories": rendering.upserted(done)}
        return respond_made(body, any(map(_is_new, body["memories"])))

    @app.post(
        f"{PATH}/search", response_model=MemoryHitsAnswer, tags=["memories"],
        responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def search_memories(person_id: PersonId, search: MemorySearch) -> Response:
        """Find what is remembered, by words and by meaning."""
        found = await remembering.search(person_id, search)
        body: MemoryHitsAnswer = {
            "hits": [{**rendering.memory(hit.memory), "score": hit.score} for hit in found.hits],
            "pending": list(found.pending_tokens),
            "degraded": found.degraded,
        }
        return respond(body)


def _add_keys(app: FastAPI, remembering: Remembering) -> None:
    def add_route(
        method: str, path: str, endpoint: object, answer: object, responses: Responses
    ) -> None:
        app.router.add_api_route(
            path, endpoint, methods=[method], response_model=answer, responses=responses,  # type: ignore[arg-type]
            tags=["memories"], route_class_override=KeyRoute,
        )  # fmt: skip

    async def get_memory(person_id: PersonId, key: Key) -> Response:
        """What is remembered under a key: of people who are one, the first who has it counts."""
        found = await remembering.get(person_id, key)
        body: CountingMemoryAnswer = {
            **rendering.memory(found.memory),
            "shadowed": [rendering.memory(memory) for memory in found.shadowed],
        }
        return respond(body)

    async def put_memory(person_id: PersonId, key: Key, value: MemoryValue) -> Response:
        """Remember one thing of a person."""
        new = NewMemory.model_construct(key=key, **vars(value))
        try:
            done = await remembering.upsert(person_id, [new])
        except InvalidRequest as error:
            raise renamed(error, {}) from None
        [body] = rendering.upserted(done)
        return respond_made(body, _is_new(body))

    async def delete_memory(
        person_id: PersonId, key: Key, how: Annotated[Forgetting, Query()]
    ) -> Response:
        """Forget a key, of everybody whom the person is; its history notes that, or goes too."""
        answer = await remembering.delete(person_id, key, purge=how.purge)
        body: ForgottenAnswer = {"deleted": answer.deleted}
        return respond(body)

    async def list_versions(
        person_id: PersonId, key: Key, page: Annotated[Page, Query()]
    ) -> Response:
        """The history of a key, newest first, of the id in the path alone."""
        found = await remembering.versions(person_id, key, page.page_size, page.page_token)
        body: MemoryVersionsAnswer = {
            "versions": [rendering.memory(version) for version in found.versions],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)

    put: Responses = {
        201: {"model": SetMemoryAnswer, "description": "It was not known before."},
        **problems(404, 409, 413, 415),
    }
    one = f"{PATH}/{{key}}"
    add_route("GET", one, get_memory, CountingMemoryAnswer, problems(404, 409))
    add_route("PUT", one, put_memory, SetMemoryAnswer, put)
    add_route("DELETE", one, delete_memory, ForgottenAnswer, problems(404, 409))
    add_route("GET", f"{one}/versions", list_versions, MemoryVersionsAnswer, problems(404, 409))


def _is_new(memory: SetMemoryAnswer) -> bool:
    """Whether a call remembered a key for the first time."""
    return memory["changed"] and memory["version"] == 1
