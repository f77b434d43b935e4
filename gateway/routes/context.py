"""What a prompt needs, in one call."""

from fastapi import FastAPI
from starlette.responses import Response

from gateway.answers.context import ContextAnswer
from gateway.flows.context import Contexts
from gateway.models.context import ContextRequest
from gateway.openapi import problems
from gateway.responses import respond


def add(app: FastAPI, contexts: Contexts) -> None:
    """Add the route."""

    @app.post(
        "/v1/context", response_model=ContextAnswer, tags=["knowledge"],
        responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def post_context(request: ContextRequest) -> Response:
        """What a language model should know of a person now: who they are, what is remembered and
        known of them, and what was said last, within a budget of tokens, each with its source.
        """
        return respond(await contexts.of(request))
