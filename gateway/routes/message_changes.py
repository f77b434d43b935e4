"""One message: edit it, delete it."""

from typing import Annotated

from fastapi import FastAPI, Path, Query, Request
from starlette.responses import Response

from gateway.answers.common import EVENT
from gateway.answers.messages import MessageAnswer
from gateway.flows import versions
from gateway.flows.change_messages import ChangeMessages
from gateway.models.messages import MessageDeletion, MessageEdit
from gateway.openapi import problems
from gateway.responses import respond, respond_made
from gateway.routes.common import Key, chosen_id
from gateway.values import Uuid

PATH = "/v1/messages/{event_id}"

MessageId = Annotated[
    Uuid, Path(examples=[EVENT], description="The `event_id` that the message was answered with.")
]


def add(app: FastAPI, change: ChangeMessages) -> None:
    """Add the routes."""

    def named(
        request: Request, event_id: str, kind: str, edit_id: str | None, key: str | None
    ) -> str:
        """The id of the event of a change: its edit id's, or its key's, or a new one."""
        given = versions.change_id(event_id, kind, edit_id) if edit_id is not None else None
        return chosen_id(given, request, f"/v1/messages/{event_id} {kind}", key)

    @app.put(
        PATH, status_code=201, response_model=MessageAnswer, tags=["messages"],
        responses={
            200: {"model": MessageAnswer, "description": "A repeat: it was logged before."},
            **problems(404, 409, 410, 413, 415),
        },
    )  # fmt: skip
    async def edit_message(
        event_id: MessageId, edit: MessageEdit, request: Request, key: Key = None
    ) -> Response:
        """Log that a message was edited, and have the knowledge made from it follow."""
        change_id = named(request, event_id, "edit", edit.edit_id, key)
        answer = await change.edit(event_id, change_id, edit)
        return respond_made(answer, not answer["duplicate"])

    @app.delete(
        PATH, response_model=MessageAnswer, tags=["messages"], responses=problems(404, 409, 410)
    )
    async def delete_message(
        event_id: MessageId, how: Annotated[MessageDeletion, Query()], request: Request,
        key: Key = None,
    ) -> Response:  # fmt: skip
        """Take away what a message and its edits said, and the knowledge made from it, for good."""
        change_id = named(request, event_id, "delete", how.edit_id, key)
        return respond(await change.delete(event_id, change_id, how))
