"""A stand-in for Pinecone's document indexes, on the wire that its package speaks.

Control and data plane are one app. It checks what the service checks (key, version, sizes,
dimensions, nulls, filters it has no word for) and shows writes late: each gets a position in
a log, and reads see the log up to the position that they report. It can be told to fail.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.http import serving

KEY = "pcsk_for_tests_only"
VERSION = "2026-07"

_MOST_BYTES = 2 << 20
_MOST_METADATA_BYTES = 40 << 10
_MOST_IN_A_LIST = 10_000

Documents = dict[str, dict[str, Any]]


@dataclass
class Index:
    """A document index: its schema, and per namespace what is visible by now."""

    fields: dict[str, dict[str, Any]]
    is_ready: bool = True
    shown: dict[str, Documents] = field(default_factory=dict)
    # Writes that nobody sees yet: position, when they are seen, namespace, what becomes of it.
    log: deque[tuple[int, float, str, Any]] = field(default_factory=deque)
    committed: int = 0
    indexed: int = 0

    @property
    def vector(self) -> tuple[str, int]:
        """Name and dimension of the dense vector."""
        return next((name, f["dimension"]) for name, f in self.fields.items() if "dimension" in f)


class Pinecone:
    """The app. `faults` holds responses to give first; `lag` is how long a write is not seen."""

    def __init__(self) -> None:
        self.indexes: dict[str, Index] = {}
        self.faults: deque[Response] = deque()
        # While set, every request gets this status.
        self.down: int | None = None
        self.delay = 0.0
        self.lag = 0.02
        self.tells_positions = True
        self.requests: list[tuple[str, int]] = []
        self.url = ""
        routes = [
            ("/indexes", self._create, ["POST"]),
            ("/indexes/{index}", self._describe, ["GET"]),
            ("/data/{index}/describe_index_stats", self._stats, ["POST"]),
            ("/data/{index}/namespaces/{namespace}/documents/{verb}", self._documents, ["POST"]),
        ]
        self.app = Starlette(
            routes=[Route(path, self._guarded(do), methods=how) for path, do, how in routes]
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The URL of the control plane."""
        async with serving(self.app) as self.url:
            yield self.url

    def add(self, name: str, dimension: int, *, vector: str = "embedding",
            metric: str = "cosine") -> Index:  # fmt: skip
        """An index that is there already."""
        kind = {"type": "dense_vector", "dimension": dimension, "metric": metric}
        self.indexes[name] = Index({vector: kind})
        return self.indexes[name]

    def count(self, verb: str) -> int:
        """How many requests there were of a kind."""
        return sum(name == verb for name, _ in self.requests)

    def _guarded(self, do: Any) -> Any:
        async def endpoint(request: Request) -> Response:
            body = await request.body()
            verb = request.path_params.get("verb") or request.url.path.rsplit("/")[-1]
            self.requests.append((verb, len(body)))
            if self.delay:
                await asyncio.sleep(self.delay)
            if self.down:
                return error(self.down, "UNAVAILABLE", "down for tests")
            if self.faults:
                return self.faults.popleft()
            if request.headers.get("api-key") != KEY:
                return error(401, "UNAUTHENTICATED", "Invalid API key")
            if request.headers.get("x-pinecone-api-version") != VERSION:
                return error(400, "INVALID_ARGUMENT", "unknown API version")
            if len(body) > _MOST_BYTES:
                return error(413, "PAYLOAD_TOO_LARGE", "request is larger than 2 MB")
            given = orjson.loads(body) if body else {}
            name = request.path_params.get("index")
            index = self.indexes.get(name) if name else None
            if name and index is None:
                return error(404, "NOT_FOUND", f"Resource {name} not found")
            try:
                return do(request.path_params, index, given)
            except ValueError as problem:
                return error(400, "INVALID_ARGUMENT", str(problem))

        return endpoint

    def _create(self, _: Any, __: Any, given: dict[str, Any]) -> Response:
        if given["name"] in self.indexes:
            return error(409, "ALREADY_EXISTS", "Resource already exists")
        if set(given) != {"name", "schema", "deployment"}:
            raise ValueError(f"unexpected fields {set(given)}")
        if given["deployment"]["region"] == "nowhere":
            raise ValueError("Bad request: region nowhere is not supported")
        # The real service takes seconds to make one.
        self.indexes[given["name"]] = Index(given["schema"]["fields"], is_ready=False)
        return answer(self._described(given["name"]), 201)

    def _describe(self, path: Any, index: Index, _: Any) -> Response:
        described = answer(self._described(path["index"]))
        index.is_ready = True
        return described

    def _described(self, name: str) -> dict[str, Any]:
        index = self.indexes[name]
        state = "Ready" if index.is_ready else "Initializing"
        return {
            "name": name, "host": f"{self.url}/data/{name}", "deletion_protection": "disabled",
            "status": {"ready": index.is_ready, "state": state},
            "schema": {"fields": index.fields},
            "deployment": {
                "deployment_type": "managed", "cloud": "aws", "region": "us-east-1",
            },
        }  # fmt: skip

    def _stats(self, _: Any, index: Index, __: Any) -> Response:
        _show(index)
        name, dimension = index.vector
        counts = {name: {"vectorCount": len(held)} for name, held in index.shown.items()}
        total = sum(map(len, index.shown.values()))
        return answer(
            {
                "namespaces": counts, "dimension": dimension, "indexFullness": 0,
                "totalVectorCount": total, "metric": index.fields[name]["metric"],
                "vectorType": "dense",
            }
        )  # fmt: skip

    def _documents(self, path: Any, index: Index, given: dict[str, Any]) -> Response:
        _show(index)
        verb, namespace = path["verb"], path["namespace"]
        if verb in {"upsert", "delete"}:
            return getattr(self, f"_{verb}")(index, namespace, given)
        held = index.shown.get(namespace)
        if held is None:
            return error(404, "NOT_FOUND", f"Namespace {namespace} not found")
        found = {"search": _search, "fetch": _fetch, "list": _list}[verb](index, held, given)
        told = {"x-pinecone-max-indexed-lsn": str(index.indexed)}
        tells = self.tells_positions and verb == "search"
        usage = {"namespace": namespace, "usage": {"read_units": 1}}
        return answer({**found, **usage}, headers=told if tells else {})

    def _upsert(self, index: Index, namespace: str, given: dict[str, Any]) -> Response:
        documents = given["documents"]
        if not 0 < len(documents) <= 1000:
            raise ValueError("between 1 and 1000 documents")
        for document in documents:
            _ensure_whole(document, *index.vector)
        self._write(index, namespace, {document["_id"]: document for document in documents})
        return self._written(index, {"upserted_count": len(documents)}, 201)

    def _delete(self, index: Index, namespace: str, given: dict[str, Any]) -> Response:
        held = index.shown.get(namespace, {})
        if "filter" in given:
            gone = [one for one, document in held.items() if _fits(document, given["filter"])]
            said: dict[str, Any] = {"matched_records": len(gone)}
        elif given.get("delete_all"):
            unseen = [one for _, _, where, what in index.log if where == namespace for one in what]
            gone, said = [*held, *unseen], {}
        else:
            gone, said = given["ids"], {}
        if len(gone) > 1000 and "ids" in given:
            raise ValueError("at most 1000 ids")
        self._write(index, namespace, dict.fromkeys(gone))
        return self._written(index, said, 200)

    def _write(self, index: Index, namespace: str, changes: Mapping[str, Any]) -> None:
        index.committed += 1
        seen_at = asyncio.get_running_loop().time() + self.lag
        index.log.append((index.committed, seen_at, namespace, changes))

    def _written(self, index: Index, said: dict[str, Any], status: int) -> Response:
        told = {"x-pinecone-request-lsn": str(index.committed)}
        return answer(said, status, headers=told if self.tells_positions else {})


def answer(body: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON body."""
    return Response(
        orjson.dumps(body), status, media_type="application/json", headers=dict(headers or {})
    )


def error(status: int, code: str, message: str, retry_after: str | None = None) -> Response:
    """An error as the service words it."""
    body = {"error": {"code": code, "message": message}, "status": status}
    return answer(body, status, {"retry-after": retry_after} if retry_after else None)


def _show(index: Index) -> None:
    now = asyncio.get_running_loop().time()
    while index.log and index.log[0][1] <= now:
        index.indexed, _, namespace, changes = index.log.popleft()
        held = index.shown.setdefault(namespace, {})
        for one, document in changes.items():
            held.pop(one, None)
            if document is not None:
                held[one] = document


def _ensure_whole(document: dict[str, Any], name: str, dimension: int) -> None:
    vector = document.get(name)
    if not isinstance(vector, list) or len(vector) != dimension:
        raise ValueError(f"document {document['_id']}: vector dimension does not match {dimension}")
    if not all(isinstance(value, int | float) for value in vector):
        raise ValueError("a vector holds numbers")
    others = {key: value for key, value in document.items() if key not in {"_id", name}}
    if None in others.values():
        raise ValueError("a field must not be null")
    if len(orjson.dumps(others)) > _MOST_METADATA_BYTES:
        raise ValueError("metadata is larger than 40 KB")


def _search(index: Index, held: Documents, given: dict[str, Any]) -> dict[str, Any]:
    [clause] = given["score_by"]
    name, dimension = index.vector
    if clause["type"] != "dense_vector" or clause["field"] != name:
        raise ValueError("no such vector field")
    if len(clause["values"]) != dimension:
        raise ValueError(f"query dimension does not match {dimension}")
    if not 1 <= given["top_k"] <= 10_000:
        raise ValueError("top_k is between 1 and 10000")
    fields = given.get("include_fields") or []
    fitting = [one for one in held.values() if _fits(one, given.get("filter") or {})]
    # Equal ones in an order of nobody's choosing.
    scored = sorted(
        ((_cosine(one[name], clause["values"]), one) for one in reversed(fitting)),
        key=lambda pair: -pair[0],
    )
    return {
        "matches": [
            {"_id": one["_id"], "_score": score, **{key: one[key] for key in fields if key in one}}
            for score, one in scored[: given["top_k"]]
        ]
    }


def _fetch(_: Index, held: Documents, given: dict[str, Any]) -> dict[str, Any]:
    if len(given["ids"]) > 1000:
        raise ValueError("at most 1000 ids")
    fields = {*(given.get("include_fields") or ["*"]), "_id"}
    return {
        "documents": {
            one: {key: value for key, value in held[one].items() if {key, "*"} & fields}
            for one in given["ids"]
            if one in held
        }
    }


def _list(_: Index, held: Documents, given: dict[str, Any]) -> dict[str, Any]:
    limit = given.get("limit", 100)
    if not 1 <= limit <= 100:
        raise ValueError("limit is between 1 and 100")
    after = given.get("pagination_token", "t:")[2:]
    left = sorted(one for one in held if one > after)
    listed: dict[str, Any] = {"documents": [{"_id": one} for one in left[:limit]]}
    if len(left) > limit:
        listed["pagination"] = {"next": f"t:{left[limit - 1]}"}
    return listed


def _cosine(one: Sequence[float], other: Sequence[float]) -> float:
    dot = sum(a * b for a, b in zip(one, other, strict=True))
    return dot / (math.hypot(*one) * math.hypot(*other))


def _fits(document: Mapping[str, Any], condition: Mapping[str, Any]) -> bool:
    for key, wanted in condition.items():
        if key == "$and":
            fits = all(_fits(document, one) for one in wanted)
        elif key == "$or":
            fits = any(_fits(document, one) for one in wanted)
        else:
            operators = wanted if isinstance(wanted, dict) else {"$eq": wanted}
            fits = all(_holds(document.get(key), *pair) for pair in operators.items())
        if not fits:
            return False
    return True


def _holds(value: Any, operator: str, wanted: Any) -> bool:
    if operator in {"$in", "$nin"}:
        if not 0 < len(wanted) <= _MOST_IN_A_LIST:
            raise ValueError(f"{operator} takes 1 to {_MOST_IN_A_LIST} values")
        return bool((value in wanted) == (operator == "$in"))
    if operator in {"$eq", "$ne"}:
        return bool((value == wanted) == (operator == "$eq"))
    if operator == "$exists":
        return bool((value is not None) == wanted)
    if operator not in {"$gt", "$gte", "$lt", "$lte"} or not isinstance(wanted, int | float):
        raise ValueError(f"{operator} compares numbers")
    if not isinstance(value, int | float):
        return False
    return bool(
        {
            "$gt": value > wanted, "$gte": value >= wanted,
            "$lt": value < wanted, "$lte": value <= wanted,
        }[operator]
    )  # fmt: skip
