"""What is known, item by item, and the namespaces that it stands in."""

from typing import Annotated

from fastapi import FastAPI, Path, Query, Request
from starlette.responses import Response

from gateway.answers.common import KNOWLEDGE
from gateway.answers.items import (
    ChangedAnswer,
    DeletedAnswer,
    ItemsAnswer,
    KnownAnswer,
    NamespacesAnswer,
    StoredAnswer,
)
from gateway.clients import Clients
from gateway.flows.keeping import Keeping
from gateway.flows.subjects import subjects_of
from gateway.models.knowledge import (
    KnowledgePatch,
    KnowledgeQuery,
    NamespacesQuery,
    NewKnowledge,
)
from gateway.openapi import problems
from gateway.rendering import items as rendering
from gateway.responses import respond, respond_made, respond_tagged
from gateway.routes.common import IfMatch, Key, chosen_id, condition
from gateway.values import Uuid
from kith.knowledge.v1 import knowledge_service_pb2
from svckit import structs
from svckit.errors import InvalidRequest

PATH = "/v1/knowledge"

KnowledgeId = Annotated[Uuid, Path(examples=[KNOWLEDGE])]


def add(app: FastAPI, clients: Clients, keeping: Keeping) -> None:
    """Add the routes."""
    _add_lists(app, clients, keeping)
    _add_item(app, clients)
    _add_changes(app, clients)


def _add_lists(app: FastAPI, clients: Clients, keeping: Keeping) -> None:
    knowledge = clients.knowledge

    @app.post(
        PATH, status_code=201, response_model=StoredAnswer, tags=["knowledge"],
        responses={
            200: {"model": StoredAnswer, "description": "It is there already, or was deleted."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_knowledge(new: NewKnowledge, request: Request, key: Key = None) -> Response:
        """Keep something that is known, about somebody or about nobody in particular."""
        found = await keeping.store(new, chosen_id(new.knowledge_id, request, PATH, key))
        body = rendering.stored(found)
        return respond_made(body, body["outcome"] == "created")

    @app.get(PATH, response_model=ItemsAnswer, tags=["knowledge"], responses=problems(404, 409))
    async def list_knowledge(query: Annotated[KnowledgeQuery, Query()]) -> Response:
        """What is known, newest first; a page may be short and not be the last."""
        page = await keeping.page(query)
        body: ItemsAnswer = {
            "items": [rendering.item(item) for item in page.items],
            "next_page_token": page.next_page_token or None,
        }
        return respond(body)

    @app.get(
        "/v1/namespaces", response_model=NamespacesAnswer, tags=["knowledge"],
        responses=problems(404, 409),
    )  # fmt: skip
    async def list_namespaces(query: Annotated[NamespacesQuery, Query()]) -> Response:
        """The namespaces that something stands in, with counts."""
        page = await knowledge.ask(
            knowledge.stub.ListNamespaces,
            knowledge_service_pb2.ListNamespacesRequest(
                subject_ids=await subjects_of(clients.identity, query.person_id),
                page_size=query.page_size,
                page_token=query.page_token,
                page_scope=query.person_id or "",
            ),
        )
        body: NamespacesAnswer = {
            "namespaces": [rendering.namespace(one) for one in page.namespaces],
            "next_page_token": page.next_page_token or None,
        }
        return respond(body)


def _add_item(app: FastAPI, clients: Clients) -> None:
    knowledge = clients.knowledge
    path = f"{PATH}/{{knowledge_id}}"

    @app.get(path, response_model=KnownAnswer, tags=["knowledge"], responses=problems(404))
    async def get_knowledge(knowledge_id: KnowledgeId) -> Response:
        """One item."""
        answer = await knowledge.ask(
            knowledge.stub.GetKnowledge,
            knowledge_service_pb2.GetKnowledgeRequest(knowledge_id=knowledge_id),
        )
        body = rendering.item(answer.item)
        return respond_tagged(body, body["etag"])

    @app.delete(path, response_model=DeletedAnswer, tags=["knowledge"], responses=problems(409))
    async def delete_knowledge(knowledge_id: KnowledgeId) -> Response:
        """Delete an item for good; deleting what is not there is fine."""
        answer = await knowledge.ask(
            knowledge.stub.DeleteKnowledge,
            knowledge_service_pb2.DeleteKnowledgeRequest(knowledge_id=knowledge_id),
        )
        body: DeletedAnswer = {"deleted": answer.deleted}
        return respond(body)


def _add_changes(app: FastAPI, clients: Clients) -> None:
    knowledge = clients.knowledge

    @app.patch(
        f"{PATH}/{{knowledge_id}}", response_model=ChangedAnswer, tags=["knowledge"],
        responses=problems(404, 409, 412, 413, 415),
    )  # fmt: skip
    async def patch_knowledge(
        knowledge_id: KnowledgeId, patch: KnowledgePatch, if_match: IfMatch = None
    ) -> Response:
        """Change an item's content, and its metadata by JSON merge patch; it keeps its id."""
        with condition(if_match, patch.etag) as etag:
            request = knowledge_service_pb2.UpdateKnowledgeRequest(
                knowledge_id=knowledge_id, content=patch.content, etag=etag
            )
            if patch.metadata is not None:
                request.metadata_patch.SetInParent()
                request.metadata_patch.MergeFrom(structs.from_dict(patch.metadata))
            try:
                answer = await knowledge.ask(knowledge.stub.UpdateKnowledge, request)
            except InvalidRequest as error:
                raise _renamed(error) from None
        item = rendering.item(answer.item)
        body: ChangedAnswer = {**item, "index_token": answer.index_token}
        return respond_tagged(body, body["etag"])


def _renamed(error: InvalidRequest) -> InvalidRequest:
    """The service's name for the patch is not the client's."""
    first, *more = [
        (field.replace("metadata_patch", "metadata", 1), problem)
        for field, problem in error.violations
    ]
    return InvalidRequest(*first, *more)
