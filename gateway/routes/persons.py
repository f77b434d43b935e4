"""People: creating, listing, reading and changing them."""

from typing import Annotated

from fastapi import FastAPI, Query, Request
from starlette.responses import Response

from gateway import rendering
from gateway.answers.people import PersonAnswer, PersonsAnswer
from gateway.clients import Clients
from gateway.models.people import NewPerson, PersonPatch, PersonsQuery
from gateway.openapi import problems
from gateway.rendering.values import purposes
from gateway.responses import respond, respond_made, respond_tagged
from gateway.routes.common import IfMatch, Key, PersonId, chosen_id, condition
from kith.identity.v1 import identity_service_pb2, person_pb2
from svckit import fields, structs

PATH = "/v1/persons"


def add(app: FastAPI, clients: Clients) -> None:
    """Add the routes."""
    identity = clients.identity
    _add_lists(app, clients)

    @app.get(
        f"{PATH}/{{person_id}}", response_model=PersonAnswer, tags=["people"],
        responses=problems(404),
    )  # fmt: skip
    async def get_person(person_id: PersonId) -> Response:
        """One person; of somebody who was merged into another, who they are now."""
        body = rendering.person(await identity.person(person_id))
        return respond_tagged(body, body["etag"])

    @app.patch(
        f"{PATH}/{{person_id}}", response_model=PersonAnswer, tags=["people"],
        responses=problems(404, 409, 412, 413, 415),
    )  # fmt: skip
    async def patch_person(
        person_id: PersonId, patch: PersonPatch, if_match: IfMatch = None
    ) -> Response:
        """Change a person's metadata by JSON merge patch."""
        with condition(if_match, patch.etag) as etag:
            request = identity_service_pb2.UpdatePersonRequest(
                person_id=person_id, metadata=structs.from_dict(patch.metadata), etag=etag
            )
            answer = await identity.ask(identity.stub.UpdatePerson, request)
        body = rendering.person(answer.person)
        return respond_tagged(body, body["etag"])


def _add_lists(app: FastAPI, clients: Clients) -> None:
    identity = clients.identity

    @app.post(
        PATH, status_code=201, response_model=PersonAnswer, tags=["people"],
        responses={
            200: {"model": PersonAnswer, "description": "A repeat: they were created before."},
            **problems(409, 413, 415),
        },
    )  # fmt: skip
    async def post_person(new: NewPerson, request: Request, key: Key = None) -> Response:
        """Create somebody without a platform id."""
        answer = await identity.ask(
            identity.stub.CreatePerson,
            identity_service_pb2.CreatePersonRequest(
                person_id=chosen_id(new.person_id, request, PATH, key),
                metadata=structs.from_dict(new.metadata),
                consent=person_pb2.Consent(purposes=purposes(new.consent)),
            ),
        )
        body = rendering.person(answer.person)
        return respond_made(body, answer.created, body["etag"])

    @app.get(PATH, response_model=PersonsAnswer, tags=["people"], responses=problems())
    async def list_persons(query: Annotated[PersonsQuery, Query()]) -> Response:
        """People, in order of creation; those merged into others are not listed."""
        found = await identity.ask(
            identity.stub.ListPersons,
            identity_service_pb2.ListPersonsRequest(
                platform=query.platform or "",
                metadata=structs.from_dict(query.metadata),
                seen_from=fields.to_timestamp(query.seen_from),
                seen_to=fields.to_timestamp(query.seen_to),
                page_size=query.page_size,
                page_token=query.page_token,
            ),
        )
        body: PersonsAnswer = {
            "persons": [rendering.person(person) for person in found.persons],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)
