"""Voyage AI: an embedder and a reranker behind one client.

The package is tamed: no retries of its own (those of `Patience` are bounded and honour
Retry-After), a timeout that is no ten minutes, one session for all requests, nothing that
it would download, and a loop of its own, because it decodes a batch where it receives it.
"""

import importlib
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from knowledge_svc.adapters.aside import Aside
from knowledge_svc.adapters.patience import Passing, Patience
from knowledge_svc.domain.backends import Misconfigured, Refused
from knowledge_svc.ports.items import Calibration, Purpose
from svckit import logs
from svckit.errors import Unavailable

T = TypeVar("T")

log = logs.get(__name__)

# A model reads 32,000 tokens of a text and cuts off the rest; a token is at least a byte.
MOST_CHARACTERS = 32_000
# Of one request. The smallest limit of the models is 120,000 tokens, prompts included.
_MOST_TEXTS = 1_000
_MOST_TOKENS = 120_000
_PROMPT_TOKENS = 16
# The query counts once for each text; the limit is 600,000 tokens.
_MOST_RERANKED_TOKENS = 600_000
_MOST_RERANKED = 200
_MOST_QUERY_BYTES = 1_000

# Of one attempt, and of all that an answer takes; an indexer upserts afterwards, within its lease.
_ATTEMPT_SECONDS = 8.0
_CALL_SECONDS = 12.0


@dataclass(frozen=True)
class VoyageModel:
    """Which models, and where; `url` is for a proxy, and ends in /v1."""

    name: str = "voyage-4"
    dimension: int = 1024
    reranker: str = "rerank-2.5"
    url: str | None = None


class VoyageClient:
    """One connection to Voyage, for what follows; see `open_voyage`."""

    def __init__(self, key: str, url: str | None) -> None:
        self._key = key
        self._url = url
        self._aside = Aside("voyage")
        self._patience = Patience("voyage", seconds=_CALL_SECONDS)
        self._client: Any = None
        self._session: Any = None

    async def open(self) -> None:
        """Import the package, which takes seconds, and open the session."""
        await self._aside.run(self._open())

    async def close(self) -> None:
        """Give the connections back."""
        if self._session is not None:
            await self._aside.run(self._session.close())
        await self._aside.close()

    def within(self) -> AbstractAsyncContextManager[None]:
        """The bound of all requests for one answer together."""
        return self._patience.within(_CALL_SECONDS)

    async def call(self, name: str, request: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        """What the request, made with the package's client, answers."""

        async def attempt() -> T:
            return await self._aside.run(self._requested(request))

        return await self._patience.call(name, attempt)

    async def _open(self) -> None:
        voyageai = importlib.import_module("voyageai")
        # It tells of every request, and at the lowest level the texts too.
        logging.getLogger("voyage").setLevel(logging.WARNING)
        aiohttp = importlib.import_module("aiohttp")
        self._client = voyageai.AsyncClient(
            api_key=self._key, max_retries=0, timeout=_ATTEMPT_SECONDS, base_url=self._url
        )
        self._session = aiohttp.ClientSession()

    async def _requested(self, request: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
        import aiohttp
        import voyageai

        # A variable of this task's context; without it each request would connect anew.
        voyageai.aiosession.set(self._session)
        try:
            return await request(self._client)
        except voyageai.error.VoyageError as error:
            raise _translated(error) from error
        except (TimeoutError, aiohttp.ClientError) as error:
            raise Passing("voyage cannot be reached") from error
        except (AttributeError, KeyError, TypeError) as error:
            # The package takes what it reads for what it should be.
            raise Passing("voyage answers with something else") from error


class WrongShape(Unavailable):
    """What was answered is not what was asked for; no text is to blame."""


class VoyageEmbedder:
    """Embeds by one model; queries and documents differently, as the model wants it."""

    # An estimate, for all its models, until it is measured as WordLlama's is: their cosines start
    # higher, and tell meaning better.
    calibration = Calibration(unrelated=0.3, weight=0.5)

    def __init__(self, client: VoyageClient, chosen: VoyageModel) -> None:
        self._client = client
        self.model = chosen.name
        self.dimension = chosen.dimension

    async def load(self) -> None:
        """Everything is there; what the model answers was looked at when it was opened."""

    async def check(self) -> None:
        """Raise Misconfigured where Voyage has no such model, dimension or key."""
        try:
            await self.embed(["kith"], Purpose.QUERY)
        except (Refused, WrongShape) as error:
            raise Misconfigured(
                f"KITH_VOYAGE_MODEL, KITH_VOYAGE_DIMENSION: Voyage refuses {self.model} with "
                f"{self.dimension} dimensions: {error}"
            ) from error
        except Unavailable as error:
            if _status(error.__cause__) in {401, 403}:
                raise Misconfigured("VOYAGE_API_KEY: Voyage does not accept it") from error
            log.warning("voyage is asked again when it is needed", why=error.message)

    async def embed(self, texts: Sequence[str], purpose: Purpose) -> list[list[float]]:
        vectors = [[0.0] * self.dimension for _ in texts]
        async with self._client.within():
            for places in _batches(texts):
                some = [texts[place][:MOST_CHARACTERS] for place in places]
                found = await self._client.call("embed", self._request(some, purpose))
                for place, vector in zip(places, found, strict=True):
                    vectors[place] = vector
        return vectors

    def _request(
        self, texts: list[str], purpose: Purpose
    ) -> Callable[[Any], Coroutine[Any, Any, list[list[float]]]]:
        async def request(client: Any) -> list[list[float]]:
            answer = await client.embed(
                texts=texts, model=self.model, input_type=purpose.value, truncation=True,
                output_dimension=self.dimension,
            )  # fmt: skip
            return _of_length_one(answer.embeddings, len(texts), self.dimension)

        return request


class VoyageReranker:
    """Reranks by one model, whose scores, 0 to 1, are each of a query and one text."""

    def __init__(self, client: VoyageClient, chosen: VoyageModel) -> None:
        self._client = client
        self.model = chosen.reranker

    async def rerank(self, query: str, texts: Sequence[str]) -> list[float]:
        """As the port says; a text without anything to read answers nothing, which is 0."""
        scores = [0.0] * len(texts)
        readable = [place for place, text in enumerate(texts) if text.strip()]
        if not query.strip():
            return scores
        async with self._client.within():
            for start in range(0, len(readable), _MOST_RERANKED):
                places = readable[start : start + _MOST_RERANKED]
                request = self._request(query, [texts[place] for place in places])
                found = await self._client.call("rerank", request)
                for place, score in zip(places, found, strict=True):
                    scores[place] = score
        return scores

    def _request(
        self, query: str, texts: list[str]
    ) -> Callable[[Any], Coroutine[Any, Any, list[float]]]:
        asked = _beginning(query, _MOST_QUERY_BYTES)
        share = _MOST_RERANKED_TOKENS // len(texts) - len(asked.encode()) - _PROMPT_TOKENS
        some = [_beginning(text, min(share, MOST_CHARACTERS)) for text in texts]

        async def request(client: Any) -> list[float]:
            answer = await client.rerank(
                query=asked, documents=some, model=self.model, truncation=True
            )
            scores = {one.index: float(one.relevance_score) for one in answer.results}
            if scores.keys() != set(range(len(some))):
                raise WrongShape(f"voyage does not answer {len(some)} scores")
            return [scores[place] for place in range(len(some))]

        return request


@asynccontextmanager
async def open_voyage(
    key: str, chosen: VoyageModel
) -> AsyncIterator[tuple[VoyageEmbedder, VoyageReranker]]:
    """The two, over one client; raises Misconfigured for what Voyage does not have."""
    client = VoyageClient(key, chosen.url)
    try:
        await client.open()
        _refuse_local(chosen.name)
        embedder = VoyageEmbedder(client, chosen)
        await embedder.check()
        yield embedder, VoyageReranker(client, chosen)
    finally:
        await client.close()


def _refuse_local(model: str) -> None:
    from voyageai.local.helpers import is_local_model

    if is_local_model(model):
        raise Misconfigured(
            f"KITH_VOYAGE_MODEL: {model} is not Voyage's to run, it would be downloaded; "
            "choose a hosted model"
        )


def _batches(texts: Sequence[str]) -> Iterator[list[int]]:
    """The places of the texts that have something to embed, in groups that one request takes."""
    group: list[int] = []
    size = 0
    for place, text in enumerate(texts):
        if not text.strip():
            continue
        tokens = len(text[:MOST_CHARACTERS].encode()) + _PROMPT_TOKENS
        if group and (size + tokens > _MOST_TOKENS or len(group) == _MOST_TEXTS):
            yield group
            group, size = [], 0
        group.append(place)
        size += tokens
    if group:
        yield group


def _beginning(text: str, most_bytes: int) -> str:
    return text.encode()[:most_bytes].decode(errors="ignore")


def _of_length_one(rows: Any, count: int, dimension: int) -> list[list[float]]:
    import numpy

    if len(rows) != count or {len(row) for row in rows} != {dimension}:
        raise WrongShape(f"voyage does not answer {count} vectors of {dimension} dimensions")
    vectors = numpy.asarray(rows, dtype=numpy.float64)
    lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
    if not numpy.isfinite(lengths).all():
        raise WrongShape("voyage answers a vector with a value that is no number")
    scaled: list[list[float]] = (vectors / numpy.where(lengths == 0, 1, lengths)).round(7).tolist()
    return scaled


def _status(error: BaseException | None) -> int | None:
    return getattr(error, "http_status", None)


def _translated(error: Exception) -> Exception:
    status = _status(error)
    if status is None:
        return Passing("voyage cannot be reached")
    if status == 429:
        return Passing("voyage throttles", _retry_after(error))
    # Below 400 it is the body that cannot be read.
    if status == 408 or status < 400 or status >= 500:
        return Passing(f"voyage answers {status}")
    # A wrong key or an unpaid bill: nobody's texts are to blame.
    if status in {401, 402, 403, 404}:
        return Unavailable(f"voyage answers {status}")
    return Refused(str(error))


def _retry_after(error: Exception) -> float | None:
    try:
        seconds = float(getattr(error, "headers", {}).get("Retry-After", ""))
    except ValueError:
        return None
    return seconds if seconds > 0 else None
