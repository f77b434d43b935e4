"""Erasing a person everywhere, and the receipts."""

from collections.abc import Sequence
from typing import Annotated

from fastapi import FastAPI, Path, Query
from starlette.responses import Response

from gateway import rendering
from gateway.answers.erasures import ERASURE, CaveatAnswer, ErasureAnswer, ErasuresAnswer
from gateway.clients import Clients
from gateway.flows.erasing import Erasing
from gateway.models.erasures import ErasuresQuery
from gateway.openapi import problems
from gateway.responses import respond
from gateway.routes.common import PersonId
from gateway.values import Uuid
from kith.identity.v1 import erasure_pb2, identity_service_pb2

PATH = "/v1/erasures"

ErasureId = Annotated[Uuid, Path(examples=[ERASURE])]

_STATES = {
    None: erasure_pb2.ERASURE_STATE_UNSPECIFIED,
    "running": erasure_pb2.ERASURE_STATE_RUNNING,
    "succeeded": erasure_pb2.ERASURE_STATE_SUCCEEDED,
}


def add(
    app: FastAPI, clients: Clients, erasing: Erasing, caveats: Sequence[CaveatAnswer],
    seconds: float,
) -> None:  # fmt: skip
    """Add the routes; an erasure is worked at for so many seconds before it is answered."""
    identity = clients.identity

    @app.delete(
        "/v1/persons/{person_id}", response_model=ErasureAnswer, tags=["erasure"],
        responses={
            202: {
                "model": ErasureAnswer,
                "description": "It is recorded and goes on by itself; `Location` shows how far.",
                "headers": {"Location": {"schema": {"type": "string"}}},
            },
            **problems(404, 409),
        },
    )  # fmt: skip
    async def delete_person(person_id: PersonId) -> Response:
        """Erase everything about a person, merged ones included, for good; the receipt."""
        erasure = await erasing.within(await erasing.start(person_id), seconds)
        body = rendering.erasure(erasure, caveats)
        if body["state"] == "succeeded":
            return respond(body)
        return respond(body, 202, {"location": f"{PATH}/{erasure.erasure_id}"})

    @app.get(
        f"{PATH}/{{erasure_id}}", response_model=ErasureAnswer, tags=["erasure"],
        responses=problems(404),
    )  # fmt: skip
    async def get_erasure(erasure_id: ErasureId) -> Response:
        """One erasure: how far it is, or its receipt."""
        return respond(rendering.erasure(await erasing.read(erasure_id), caveats))

    @app.get(PATH, response_model=ErasuresAnswer, tags=["erasure"], responses=problems())
    async def list_erasures(query: Annotated[ErasuresQuery, Query()]) -> Response:
        """Erasures, oldest first."""
        found = await identity.ask(
            identity.stub.ListErasures,
            identity_service_pb2.ListErasuresRequest(
                state=_STATES[query.state], page_size=query.page_size, page_token=query.page_token
            ),
        )
        body: ErasuresAnswer = {
            "erasures": [rendering.erasure(each, caveats) for each in found.erasures],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)
