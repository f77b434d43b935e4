"""What a person allows, and how that came."""

from typing import Annotated

from fastapi import FastAPI, Query
from starlette.responses import Response

from gateway import rendering
from gateway.answers.people import ConsentAnswer, ConsentHistoryAnswer
from gateway.clients import Clients
from gateway.models.people import ConsentHistoryQuery, ConsentPatch
from gateway.openapi import problems
from gateway.rendering.values import purposes
from gateway.responses import respond
from gateway.routes.common import PersonId
from kith.identity.v1 import identity_service_pb2

PATH = "/v1/persons/{person_id}/consent"


def add(app: FastAPI, clients: Clients) -> None:
    """Add the routes."""
    identity = clients.identity

    @app.get(PATH, response_model=ConsentAnswer, tags=["people"], responses=problems(404))
    async def get_consent(person_id: PersonId) -> Response:
        """What a person allows now; of people merged, the strictest."""
        answer = await identity.ask(
            identity.stub.GetConsent, identity_service_pb2.GetConsentRequest(person_id=person_id)
        )
        return respond(rendering.consent(answer.consent))

    @app.patch(
        PATH, response_model=ConsentAnswer, tags=["people"],
        responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def patch_consent(person_id: PersonId, patch: ConsentPatch) -> Response:
        """Record decisions; purposes that are not named stay as they are."""
        answer = await identity.ask(
            identity.stub.SetConsent,
            identity_service_pb2.SetConsentRequest(
                person_id=person_id, purposes=purposes(patch.purposes), source=patch.source
            ),
        )
        return respond(rendering.consent(answer.consent))

    @app.get(
        f"{PATH}/history", response_model=ConsentHistoryAnswer, tags=["people"],
        responses=problems(404),
    )  # fmt: skip
    async def list_consent_history(
        person_id: PersonId, query: Annotated[ConsentHistoryQuery, Query()]
    ) -> Response:
        """Every decision of a person, and of those merged into them, newest first."""
        found = await identity.ask(
            identity.stub.ListConsentHistory,
            identity_service_pb2.ListConsentHistoryRequest(
                person_id=person_id,
                purpose=query.purpose or "",
                page_size=query.page_size,
                page_token=query.page_token,
            ),
        )
        body: ConsentHistoryAnswer = {
            "changes": [rendering.consent_change(change) for change in found.changes],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)
