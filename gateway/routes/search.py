"""Search over what is known."""

from fastapi import FastAPI
from starlette.responses import Response

from gateway import rendering
from gateway.answers.knowledge import SearchAnswer
from gateway.flows.searching import Searching
from gateway.models.search import Search
from gateway.openapi import problems
from gateway.responses import respond


def add(app: FastAPI, searching: Searching) -> None:
    """Add the route."""

    @app.post(
        "/v1/search", response_model=SearchAnswer, tags=["knowledge"],
        responses=problems(404, 409, 413, 415),
    )  # fmt: skip
    async def search(search: Search) -> Response:
        """Find what is known, by words, by meaning, or by both."""
        found = await searching.search(search)
        body: SearchAnswer = {
            "hits": [rendering.hit(hit) for hit in found.hits],
            "pending": list(found.pending_tokens),
            "degraded": found.degraded,
            "reranked": found.reranked,
        }
        return respond(body)
