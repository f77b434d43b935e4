"""Two people who turn out to be one, and the way back."""

from fastapi import FastAPI
from starlette.responses import Response

from gateway import rendering
from gateway.answers.people import MergedAnswer, UnmergedAnswer
from gateway.clients import Clients
from gateway.errors import renamed
from gateway.flows.unmerging import unmerge
from gateway.models.people import MergeRequest, UnmergeRequest
from gateway.openapi import problems
from gateway.responses import respond
from gateway.routes.common import PersonId
from kith.identity.v1 import identity_service_pb2
from svckit.errors import InvalidRequest


def add(app: FastAPI, clients: Clients) -> None:
    """Add the routes."""
    identity = clients.identity

    @app.post(
        "/v1/persons/{person_id}/merge", response_model=MergedAnswer, tags=["people"],
        responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def post_merge(person_id: PersonId, wanted: MergeRequest) -> Response:
        """Make somebody an alias of this person. Nothing is rewritten, so it can be undone."""
        request = identity_service_pb2.MergePersonsRequest(
            source_person_id=wanted.source_person_id,
            target_person_id=person_id,
            reason=wanted.reason,
        )
        try:
            answer = await identity.ask(identity.stub.MergePersons, request)
        except InvalidRequest as error:
            raise renamed(error, {"target_person_id": "person_id"}) from None
        body: MergedAnswer = {
            "person": rendering.person(answer.person),
            "merged": answer.merged,
            "merge": rendering.merge(answer.merge) if answer.HasField("merge") else None,
        }
        return respond(body)

    @app.post(
        "/v1/persons/{person_id}/unmerge", response_model=UnmergedAnswer, tags=["people"],
        responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def post_unmerge(person_id: PersonId, wanted: UnmergeRequest) -> Response:
        """Undo a merge of this person, for what was written in between too."""
        answer = await unmerge(identity, person_id, wanted)
        body: UnmergedAnswer = {
            "merge": rendering.merge(answer.merge),
            "source": rendering.person(answer.source),
            "target": rendering.person(answer.target),
        }
        return respond(body)
