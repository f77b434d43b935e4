"""A stand-in for Voyage AI, on the wire that its package speaks.

Its vectors are those of the local model, spread over as many dimensions as are asked for, so
that what means the same is near. It checks what the service checks and can be told to fail.
"""

import asyncio
import base64
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from knowledge_svc.ports.items import Purpose
from tests.support.http import serving
from tests.support.knowledge import wordllama

KEY = "pa-for-tests-only"
# What models have and how many tokens one request may hold, a token being four bytes here.
MODELS = {"voyage-4": 320_000, "voyage-4-lite": 1_000_000, "voyage-4-large": 120_000}
DIMENSIONS = (256, 512, 1024, 2048)


class Voyage:
    """The app. `faults` holds responses to give first, first come first."""

    def __init__(self) -> None:
        self.faults: deque[Response] = deque()
        # While set, every request gets this status.
        self.down: int | None = None
        self.delay = 0.0
        # Answers this many dimensions, whatever is asked for.
        self.dimension: int | None = None
        self.asked: list[dict[str, Any]] = []
        self.connections: set[Any] = set()
        self.app = Starlette(
            routes=[
                Route("/v1/embeddings", self._guarded("_embed"), methods=["POST"]),
                Route("/v1/rerank", self._guarded("_rerank"), methods=["POST"]),
            ]
        )
        self.url = ""

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The base URL, which ends in /v1."""
        async with serving(self.app) as address:
            self.url = f"{address}/v1"
            yield self.url

    @property
    def texts(self) -> list[str]:
        """Every text that was embedded, in order."""
        return [text for given in self.asked for text in given.get("input", [])]

    def _guarded(self, do: str) -> Any:
        async def endpoint(request: Request) -> Response:
            given = orjson.loads(await request.body())
            self.asked.append(given)
            self.connections.add(request.client)
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.down:
                return error(self.down, "down for tests")
            if self.faults:
                return self.faults.popleft()
            if request.headers.get("authorization") != f"Bearer {KEY}":
                return error(401, "Provided API key is invalid.")
            try:
                return await getattr(self, do)(given)
            except ValueError as problem:
                return error(400, str(problem))

        return endpoint

    async def _embed(self, given: dict[str, Any]) -> Response:
        texts = given["input"]
        if given["model"] not in MODELS:
            raise ValueError(f"Model {given['model']} is not supported.")
        if given["output_dimension"] not in DIMENSIONS:
            raise ValueError(f"output_dimension {given['output_dimension']} is not supported.")
        if given["encoding_format"] != "base64" or given["input_type"] not in {"query", "document"}:
            raise ValueError("unknown encoding_format or input_type")
        _ensure_fitting(texts, MODELS[given["model"]])
        vectors = await _vectors(texts, self.dimension or given["output_dimension"])
        data = [
            {"object": "embedding", "embedding": base64.b64encode(v.tobytes()).decode(), "index": n}
            for n, v in enumerate(vectors)
        ]
        usage = {"total_tokens": sum(map(len, texts)) // 4}
        return answer({"object": "list", "data": data, "model": given["model"], "usage": usage})

    async def _rerank(self, given: dict[str, Any]) -> Response:
        if not given["model"].startswith("rerank-"):
            raise ValueError(f"Model {given['model']} is not supported.")
        texts = given["documents"]
        _ensure_fitting([given["query"], *texts], 600_000)
        query, *others = await _vectors([given["query"], *texts], 256)
        scores = [float(max(query @ other, 0.0)) for other in others]
        best = sorted(range(len(texts)), key=lambda n: -scores[n])[: given.get("top_k")]
        data = [{"relevance_score": scores[n], "index": n} for n in best]
        return answer({"object": "list", "data": data, "usage": {"total_tokens": 1}})


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON body."""
    return Response(
        orjson.dumps(body), status, media_type="application/json", headers=dict(headers or {})
    )


def error(status: int, detail: str, retry_after: str | None = None) -> Response:
    """An error as the service words it."""
    return answer({"detail": detail}, status, {"Retry-After": retry_after} if retry_after else None)


def _ensure_fitting(texts: Sequence[str], most_tokens: int) -> None:
    if not 0 < len(texts) <= 1000:
        raise ValueError("The batch size limit is 1000.")
    if not all(texts):
        raise ValueError("Input cannot contain empty strings or empty lists.")
    # A text beyond the context is truncated first.
    if sum(min(len(text.encode()) // 4, 32_000) for text in texts) > most_tokens:
        raise ValueError(f"The max allowed tokens per submitted batch is {most_tokens}.")


async def _vectors(texts: Sequence[str], dimension: int) -> Any:
    local = numpy.asarray(await wordllama().embed(texts, Purpose.DOCUMENT), dtype="<f4")
    # What the local model has no token for lies somewhere too.
    local[~local.any(axis=1), 0] = 1.0
    wide = numpy.zeros((len(texts), dimension), dtype="<f4")
    shared = min(dimension, local.shape[1])
    wide[:, :shared] = local[:, :shared]
    return wide / numpy.linalg.norm(wide, axis=1, keepdims=True)
