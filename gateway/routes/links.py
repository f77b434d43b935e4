"""A person's links: their platform ids, and proof that these are theirs."""

from typing import Annotated

from fastapi import FastAPI, Path, Query
from starlette.responses import Response

from gateway import rendering
from gateway.answers.common import LINK
from gateway.answers.people import (
    VERIFICATION,
    LinkAnswer,
    LinksAnswer,
    NewLinkAnswer,
    VerificationAnswer,
)
from gateway.clients import Clients
from gateway.flows.registrations import Registrations
from gateway.models.common import Page
from gateway.models.people import Confirmation, NewLink, NewVerification
from gateway.openapi import problems
from gateway.responses import respond, respond_made
from gateway.routes.common import PersonId
from gateway.values import Uuid
from kith.identity.v1 import identity_service_pb2

PATH = "/v1/persons/{person_id}/links"

LinkId = Annotated[Uuid, Path(examples=[LINK])]
VerificationId = Annotated[Uuid, Path(examples=[VERIFICATION])]


def add(app: FastAPI, clients: Clients, registrations: Registrations) -> None:
    """Add the routes."""
    identity = clients.identity
    _add_verifications(app, clients, registrations)

    @app.get(PATH, response_model=LinksAnswer, tags=["people"], responses=problems(404))
    async def list_links(person_id: PersonId, page: Annotated[Page, Query()]) -> Response:
        """The platform ids of a person, oldest first, ended ones included."""
        found = await identity.ask(
            identity.stub.ListLinks,
            identity_service_pb2.ListLinksRequest(
                person_id=person_id, page_size=page.page_size, page_token=page.page_token
            ),
        )
        body: LinksAnswer = {
            "links": [rendering.link(link) for link in found.links],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)

    @app.post(
        PATH, status_code=201, response_model=NewLinkAnswer, tags=["people"],
        responses={
            200: {"model": NewLinkAnswer, "description": "They had the id already."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_link(person_id: PersonId, new: NewLink) -> Response:
        """Give a person one more platform id; with proof, the past that it has comes with it."""
        answer = await identity.ask(
            identity.stub.LinkIdentity,
            identity_service_pb2.LinkIdentityRequest(
                person_id=person_id,
                platform=new.platform,
                platform_id=new.platform_id,
                verified=new.verified,
                verification_method=new.verification_method or "",
            ),
        )
        if answer.link.registration_pending:
            await registrations.log(answer.link)
        return respond_made(rendering.new_link(answer), answer.created)

    @app.delete(
        f"{PATH}/{{link_id}}", response_model=LinkAnswer, tags=["people"], responses=problems(404)
    )
    async def delete_link(person_id: PersonId, link_id: LinkId) -> Response:
        """End a tenure; what was said through it stays with the person."""
        answer = await identity.ask(
            identity.stub.UnlinkIdentity,
            identity_service_pb2.UnlinkIdentityRequest(person_id=person_id, link_id=link_id),
        )
        return respond(rendering.link(answer.link))


def _add_verifications(app: FastAPI, clients: Clients, registrations: Registrations) -> None:
    identity = clients.identity

    @app.post(
        f"{PATH}/verifications", status_code=201, response_model=VerificationAnswer,
        tags=["people"], responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def post_verification(person_id: PersonId, new: NewVerification) -> Response:
        """Make a code that proves, once it has gone over the platform and back, whose an id is."""
        answer = await identity.ask(
            identity.stub.StartLinkVerification,
            identity_service_pb2.StartLinkVerificationRequest(
                person_id=person_id, platform=new.platform, platform_id=new.platform_id
            ),
        )
        return respond(rendering.verification(answer), 201)

    @app.post(
        "/v1/links/verifications/{verification_id}/confirm", status_code=201,
        response_model=NewLinkAnswer, tags=["people"],
        responses={
            200: {"model": NewLinkAnswer, "description": "They had the id already."},
            **problems(404, 409, 413, 415),
        },
    )  # fmt: skip
    async def post_confirmation(
        verification_id: VerificationId, confirmation: Confirmation
    ) -> Response:
        """Link the id, verified, if the code is right; the past that it has comes with it."""
        answer = await identity.ask(
            identity.stub.ConfirmLinkVerification,
            identity_service_pb2.ConfirmLinkVerificationRequest(
                verification_id=verification_id, code=confirmation.code
            ),
        )
        if answer.link.registration_pending:
            await registrations.log(answer.link)
        return respond_made(rendering.new_link(answer), answer.created)
