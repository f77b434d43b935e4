"""Projections: running aggregates of a number in events, and their values for a person."""

from typing import Annotated

from fastapi import FastAPI, Query
from starlette.responses import Response

from gateway import rendering
from gateway.answers.projections import (
    DeletedAnswer,
    ProjectionAnswer,
    ProjectionsAnswer,
    ProjectionValuesAnswer,
)
from gateway.clients import Clients
from gateway.errors import inside
from gateway.flows.subjects import subjects_of
from gateway.models.events import NewProjection, ProjectionValuesQuery
from gateway.openapi import problems
from gateway.responses import respond, respond_made
from gateway.routes.common import Name, PersonId
from kith.event.v1 import event_service_pb2, projection_pb2
from svckit.errors import InvalidRequest

PATH = "/v1/projections"


def add(app: FastAPI, clients: Clients) -> None:
    """Add the routes."""
    events = clients.events
    _add_lists(app, clients)

    @app.get(
        f"{PATH}/{{name}}", response_model=ProjectionAnswer, tags=["events"],
        responses=problems(404),
    )  # fmt: skip
    async def get_projection(name: Name) -> Response:
        """One projection, and how far it is."""
        request = event_service_pb2.GetProjectionRequest(name=name)
        answer = await events.ask(events.stub.GetProjection, request)
        return respond(rendering.projection(answer.projection))

    @app.delete(
        f"{PATH}/{{name}}", response_model=DeletedAnswer, tags=["events"], responses=problems()
    )
    async def delete_projection(name: Name) -> Response:
        """Forget a projection and its values."""
        request = event_service_pb2.DeleteProjectionRequest(name=name)
        answer = await events.ask(events.stub.DeleteProjection, request)
        body: DeletedAnswer = {"deleted": answer.deleted}
        return respond(body)

    @app.get(
        "/v1/persons/{person_id}/projections/{name}", response_model=ProjectionValuesAnswer,
        tags=["events"], responses=problems(404, 409),
    )  # fmt: skip
    async def list_values(
        person_id: PersonId, name: Name, query: Annotated[ProjectionValuesQuery, Query()]
    ) -> Response:
        """A person's aggregates, by key, over everything that is known of them."""
        found = await events.ask(
            events.stub.ListProjectionValues,
            event_service_pb2.ListProjectionValuesRequest(
                name=name,
                subject_ids=await subjects_of(clients.identity, person_id),
                key=query.key,
                combine_subjects=True,
                page_size=query.page_size,
                page_token=query.page_token,
                page_scope=person_id,
            ),
        )
        body: ProjectionValuesAnswer = {
            "values": [rendering.projection_value(value) for value in found.values],
            "next_page_token": found.next_page_token or None,
        }
        return respond(body)


def _add_lists(app: FastAPI, clients: Clients) -> None:
    events = clients.events

    @app.post(
        PATH, status_code=201, response_model=ProjectionAnswer, tags=["events"],
        responses={
            200: {"model": ProjectionAnswer, "description": "A repeat: it was there already."},
            **problems(409, 413, 415),
        },
    )  # fmt: skip
    async def post_projection(new: NewProjection) -> Response:
        """Begin to aggregate: new events at once, older ones in the background."""
        projection = projection_pb2.Projection(
            name=new.name,
            event_types=new.event_types,
            value_path=new.value_path,
            key_path=new.key_path,
        )
        request = event_service_pb2.DefineProjectionRequest(projection=projection)
        try:
            answer = await events.ask(events.stub.DefineProjection, request)
        except InvalidRequest as error:
            raise inside(error, "projection") from None
        return respond_made(rendering.projection(answer.projection), answer.created)

    @app.get(PATH, response_model=ProjectionsAnswer, tags=["events"], responses=problems())
    async def list_projections() -> Response:
        """All projections, by name."""
        request = event_service_pb2.ListProjectionsRequest()
        answer = await events.ask(events.stub.ListProjections, request)
        body: ProjectionsAnswer = {
            "projections": [rendering.projection(each) for each in answer.projections]
        }
        return respond(body)
