"""Registering people, and asking who holds a platform id."""

from typing import Annotated

from fastapi import FastAPI, Query
from starlette.responses import Response

from gateway import rendering
from gateway.answers.people import IdentityAnswer, RegistrationAnswer
from gateway.clients import Clients
from gateway.flows.entries import registration_id
from gateway.flows.registrations import Registrations
from gateway.models.people import Account, Registration
from gateway.openapi import problems
from gateway.responses import respond


def add(app: FastAPI, clients: Clients, registrations: Registrations) -> None:
    """Add the routes."""

    @app.post(
        "/v1/register", status_code=201, response_model=RegistrationAnswer, tags=["people"],
        responses={
            200: {"model": RegistrationAnswer, "description": "They were known already."},
            **problems(413, 415),
        },
    )  # fmt: skip
    async def register(registration: Registration) -> Response:
        """Make a person known by a platform id; whoever is known already comes back."""
        answer = await registrations.register(registration)
        body: RegistrationAnswer = {
            "person_id": answer.identity.person_id,
            "link_id": answer.identity.link_id,
            "created": answer.created,
            "event_id": registration_id(answer.identity.link_id),
        }
        return respond(body, 201 if answer.created else 200)

    @app.get("/v1/resolve", response_model=IdentityAnswer, tags=["people"], responses=problems(404))
    async def resolve(account: Annotated[Account, Query()]) -> Response:
        """Who holds a platform id now."""
        [outcome] = await clients.identity.resolve([(account.platform, account.platform_id)])
        if isinstance(outcome, BaseException):
            raise outcome
        return respond(rendering.identity(outcome))
