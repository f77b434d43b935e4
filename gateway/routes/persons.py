"""People: reading and changing one, their links, their timeline."""

from typing import Annotated

from fastapi import FastAPI, Header, Path, Query
from starlette.responses import Response

from gateway import rendering
from gateway.answers import LinksAnswer, NewLinkAnswer, PersonAnswer, TimelineAnswer
from gateway.clients import Clients
from gateway.errors import Refused
from gateway.flows.registrations import Registrations
from gateway.flows.searching import Searching
from gateway.models import ADA, NewLink, Page, PersonPatch, TimelineQuery
from gateway.openapi import problems
from gateway.rendering import respond
from gateway.values import Uuid
from kith.identity.v1 import identity_service_pb2
from svckit import structs
from svckit.errors import Conflict

PersonId = Annotated[Uuid, Path(examples=[ADA])]
IfMatch = Annotated[str | None, Header(alias="If-Match", max_length=2048)]


def add(app: FastAPI, clients: Clients, registrations: Registrations, searching: Searching) -> None:
    """Add the routes."""
    _add_person(app, clients)
    _add_links(app, clients, registrations)

    @app.get(
        "/v1/persons/{person_id}/timeline", response_model=TimelineAnswer, tags=["events"],
        responses=problems(404, 409),
    )  # fmt: skip
    async def timeline(person_id: PersonId, query: Annotated[TimelineQuery, Query()]) -> Response:
        """What happened with a person, on all of their platforms, newest first."""
        page = await searching.timeline(person_id, query)
        body: TimelineAnswer = {
            "events": [rendering.event(event) for event in page.events],
            "next_page_token": page.next_page_token or None,
        }
        return respond(body)


def _add_person(app: FastAPI, clients: Clients) -> None:
    @app.get(
        "/v1/persons/{person_id}", response_model=PersonAnswer, tags=["people"],
        responses=problems(404),
    )  # fmt: skip
    async def get_person(person_id: PersonId) -> Response:
        """One person."""
        return _respond_person(rendering.person(await clients.identity.person(person_id)))

    @app.patch(
        "/v1/persons/{person_id}", response_model=PersonAnswer, tags=["people"],
        responses=problems(404, 409, 412, 413, 415),
    )  # fmt: skip
    async def patch_person(
        person_id: PersonId, patch: PersonPatch, if_match: IfMatch = None
    ) -> Response:
        """Change a person's metadata by JSON merge patch."""
        precondition = _etag_of(if_match)
        request = identity_service_pb2.UpdatePersonRequest(
            person_id=person_id,
            metadata=structs.from_dict(patch.metadata),
            etag=precondition or patch.etag or "",
        )
        try:
            person = await clients.identity.update(request)
        except Conflict as error:
            if precondition:
                # What HTTP says of a precondition in a header (RFC 9110, 13.1.1).
                raise Refused(412, error.reason, error.message) from None
            raise
        return _respond_person(rendering.person(person))


def _add_links(app: FastAPI, clients: Clients, registrations: Registrations) -> None:
    path = "/v1/persons/{person_id}/links"

    @app.get(path, response_model=LinksAnswer, tags=["people"], responses=problems(404))
    async def list_links(person_id: PersonId, page: Annotated[Page, Query()]) -> Response:
        """The platform ids of a person, oldest first, ended ones included."""
        found = await clients.identity.links(
            identity_service_pb2.ListLinksRequest(
                person_id=person_id, page_size=page.page_size, page_token=page.page_token
            )
        )
        body: LinksAnswer = {
            "links": [rendering.link(link) for link in found.links],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)

    @app.post(
        path, status_code=201, response_model=NewLinkAnswer, tags=["people"],
        responses={
            200: {"model": NewLinkAnswer, "description": "They had the id already."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_link(person_id: PersonId, new: NewLink) -> Response:
        """Give a person one more platform id."""
        answer = await clients.identity.link(
            identity_service_pb2.LinkIdentityRequest(
                person_id=person_id,
                platform=new.platform,
                platform_id=new.platform_id,
                verified=new.verified,
            )
        )
        if answer.link.registration_pending:
            await registrations.log(answer.link)
        body: NewLinkAnswer = {**rendering.link(answer.link), "created": answer.created}
        return respond(body, 201 if answer.created else 200)


def _etag_of(if_match: str | None) -> str | None:
    """The etag of an If-Match header; none for `*`, which any person matches."""
    if if_match is None or if_match.strip() == "*":
        return None
    return if_match.strip().removeprefix("W/").strip('"')


def _respond_person(body: PersonAnswer) -> Response:
    return respond(body, headers={"etag": f'"{body["etag"]}"'})
