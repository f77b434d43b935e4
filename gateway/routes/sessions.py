"""Onboarding sessions: what is known before there is a person."""

import uuid
from typing import Annotated

from fastapi import FastAPI, Header, Path, Request
from google.protobuf import duration_pb2
from starlette.responses import Response

from gateway import rendering
from gateway.answers.common import SESSION
from gateway.answers.sessions import ClaimAnswer, SessionAnswer
from gateway.clients import Clients
from gateway.models.sessions import Claim, NewSession, SessionPatch
from gateway.openapi import problems
from gateway.responses import respond, respond_made, respond_tagged
from gateway.routes.common import IfMatch, chosen_id, condition
from gateway.values import Uuid
from kith.identity.v1 import identity_service_pb2
from svckit import structs

PATH = "/v1/sessions"

SessionId = Annotated[Uuid, Path(examples=[SESSION])]
SecretKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key", min_length=32, max_length=255,
        description="Names the session where the body has no id for it, so that a retry is the "
        "same request. The session's id is made from it, so it must be hard to guess.",
    ),
]  # fmt: skip


def add(app: FastAPI, clients: Clients) -> None:
    """Add the routes."""
    identity = clients.identity
    _add_session(app, clients)

    @app.post(
        PATH, status_code=201, response_model=SessionAnswer, tags=["sessions"],
        responses={
            200: {"model": SessionAnswer, "description": "A repeat: it was created before."},
            **problems(409, 413, 415),
        },
    )  # fmt: skip
    async def post_session(new: NewSession, request: Request, key: SecretKey = None) -> Response:
        """Begin a session; whoever knows its id may go on with it."""
        # Ids in order of time would be easier to guess.
        given = new.session_id or (None if key else str(uuid.uuid4()))
        answer = await identity.ask(
            identity.stub.CreateSession,
            identity_service_pb2.CreateSessionRequest(
                session_id=chosen_id(given, request, PATH, key),
                data=structs.from_dict(new.data),
                ttl=_duration(new.ttl_seconds),
            ),
        )
        body = rendering.session(answer.session)
        return respond_made(body, answer.created, body["etag"])

    @app.post(
        f"{PATH}/{{session_id}}/claim", response_model=ClaimAnswer, tags=["sessions"],
        responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def post_claim(session_id: SessionId, claim: Claim) -> Response:
        """Give a session's data to a person, by JSON merge patch of their metadata, once."""
        answer = await identity.ask(
            identity.stub.ClaimSession,
            identity_service_pb2.ClaimSessionRequest(
                session_id=session_id, person_id=claim.person_id
            ),
        )
        body: ClaimAnswer = {
            "session": rendering.session(answer.session),
            "person": rendering.person(answer.person),
        }
        return respond(body)


def _add_session(app: FastAPI, clients: Clients) -> None:
    identity = clients.identity
    path = f"{PATH}/{{session_id}}"

    @app.get(path, response_model=SessionAnswer, tags=["sessions"], responses=problems(404))
    async def get_session(session_id: SessionId) -> Response:
        """One session; an expired one for a day after."""
        answer = await identity.ask(
            identity.stub.GetSession,
            identity_service_pb2.GetSessionRequest(session_id=session_id),
        )
        body = rendering.session(answer.session)
        return respond_tagged(body, body["etag"])

    @app.patch(
        path, response_model=SessionAnswer, tags=["sessions"],
        responses=problems(404, 409, 412, 413, 415),
    )  # fmt: skip
    async def patch_session(
        session_id: SessionId, patch: SessionPatch, if_match: IfMatch = None
    ) -> Response:
        """Change an open session's data by JSON merge patch, or how long it lasts."""
        with condition(if_match, patch.etag) as etag:
            answer = await identity.ask(
                identity.stub.UpdateSession,
                identity_service_pb2.UpdateSessionRequest(
                    session_id=session_id,
                    data=structs.from_dict(patch.data),
                    ttl=_duration(patch.ttl_seconds),
                    etag=etag,
                ),
            )
        body = rendering.session(answer.session)
        return respond_tagged(body, body["etag"])


def _duration(seconds: int | None) -> duration_pb2.Duration | None:
    return None if seconds is None else duration_pb2.Duration(seconds=seconds)
