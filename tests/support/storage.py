"""A stand-in for Supabase Storage, as the wire that its package speaks was recorded.

Objects are in memory. `faults` are given instead of answers, first come first: a response, or a
number of bytes after which a download is cut off; `delay` is waited before each answer.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from tests.support.http import serving

KEY = "sb_secret_for_tests_only"


@dataclass
class Stored:
    """An object."""

    content: bytes
    media_type: str
    at: str = field(default_factory=lambda: datetime.now(UTC).isoformat())


class Storage:
    """The app, and what is in it: objects by bucket and path."""

    def __init__(self) -> None:
        self.buckets: dict[str, dict[str, Stored]] = {}
        self.public: set[str] = set()
        self.faults: deque[Response | int] = deque()
        self.delay = 0.0
        self.calls: list[str] = []
        self.url = ""
        at = "/storage/v1"
        self._app = Starlette(
            routes=[
                Route(f"{at}/bucket", self._make_bucket, methods=["POST"]),
                Route(f"{at}/bucket/{{bucket}}", self._bucket, methods=["GET"]),
                Route(f"{at}/object/info/{{bucket}}/{{path:path}}", self._info, methods=["GET"]),
                Route(f"{at}/object/list-v2/{{bucket}}", self._list, methods=["POST"]),
                Route(f"{at}/object/sign/{{bucket}}/{{path:path}}", self._sign, methods=["POST"]),
                Route(f"{at}/object/{{bucket}}", self._remove, methods=["DELETE"]),
                Route(f"{at}/object/{{bucket}}/{{path:path}}", self._upload, methods=["POST"]),
                Route(f"{at}/object/{{bucket}}/{{path:path}}", self._download, methods=["GET"]),
            ]
        )

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The URL of a Supabase whose Storage this is."""
        async with serving(self) as self.url:
            yield self.url

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            self.calls.append(f"{scope['method']} {scope['path']}")
            await asyncio.sleep(self.delay)
            headers = dict(scope["headers"])
            if headers.get(b"apikey") != KEY.encode():
                await _error(401, "Unauthorized", "Invalid key")(scope, receive, send)
                return
            if self.faults and isinstance(self.faults[0], Response):
                fault: Any = self.faults.popleft()
                await fault(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _make_bucket(self, request: Request) -> Response:
        body = await request.json()
        if body["id"] in self.buckets:
            return _error(409, "Duplicate", "The resource already exists")
        self.buckets[body["id"]] = {}
        if body.get("public"):
            self.public.add(body["id"])
        return _json({"name": body["name"]})

    async def _bucket(self, request: Request) -> Response:
        name = request.path_params["bucket"]
        if name not in self.buckets:
            return _error(404, "Bucket not found", "Bucket not found")
        now = datetime.now(UTC).isoformat()
        return _json(
            {
                "id": name, "name": name, "owner": "", "public": name in self.public,
                "created_at": now, "updated_at": now, "file_size_limit": None,
                "allowed_mime_types": None,
            }
        )  # fmt: skip

    async def _upload(self, request: Request) -> Response:
        name, path = request.path_params["bucket"], request.path_params["path"]
        if name not in self.buckets:
            return _error(404, "Bucket not found", "Bucket not found")
        async with request.form(max_part_size=64 << 20) as form:
            file: Any = form["file"]
            content, media_type = await file.read(), file.content_type
        if path in self.buckets[name] and request.headers.get("x-upsert") != "true":
            return _error(409, "Duplicate", "The resource already exists")
        self.buckets[name][path] = Stored(content, media_type)
        return _json({"Id": "an id", "Key": f"{name}/{path}"})

    async def _download(self, request: Request) -> Response:
        stored = self._object(request)
        if stored is None:
            return _not_found()
        content, status = stored.content, 200
        asked = request.headers.get("range", "").removeprefix("bytes=")
        if asked:
            first, _, last = asked.partition("-")
            content, status = content[int(first) : int(last) + 1 if last else None], 206
            if int(first) >= len(stored.content):
                return _error(416, "InvalidRange", "The requested range is not satisfiable")
        cut = self.faults.popleft() if self.faults else None
        if isinstance(cut, int):
            headers = {"content-length": str(len(content))}
            return StreamingResponse(_cut(content[:cut]), status, headers)
        return Response(content, status, media_type=stored.media_type)

    async def _info(self, request: Request) -> Response:
        stored = self._object(request)
        if stored is None:
            return _not_found()
        return _json(
            {
                "id": "an id", "name": request.path_params["path"], "version": "1",
                "bucket_id": request.path_params["bucket"], "size": len(stored.content),
                "content_type": stored.media_type, "cache_control": "max-age=3600",
                "etag": '"e"', "metadata": {}, "last_modified": stored.at,
                "created_at": stored.at,
            }
        )  # fmt: skip

    async def _list(self, request: Request) -> Response:
        body = await request.json()
        name = request.path_params["bucket"]
        if name not in self.buckets:
            return _error(404, "Bucket not found", "Bucket not found")
        after = body.get("cursor", "")
        prefix = body.get("prefix", "")
        names = sorted(
            path for path in self.buckets[name] if path > after and path.startswith(prefix)
        )
        limit = body.get("limit", 1000)
        if body.get("with_delimiter"):
            words = {path[len(prefix) :].partition("/") for path in names}
            folders = sorted({f"{prefix}{word}/" for word, slash, _ in words if slash})
            names = [path for path in names if "/" not in path[len(prefix) :]]
        else:
            folders = []
        page = [(path, self.buckets[name][path]) for path in names[:limit]]
        more = len(names) > limit
        return _json(
            {
                "hasNext": more,
                "folders": [{"name": folder, "key": folder} for folder in folders],
                "objects": [
                    {
                        "id": "an id", "name": path, "key": path, "created_at": one.at,
                        "updated_at": one.at, "last_accessed_at": one.at,
                        "metadata": {"size": len(one.content), "mimetype": one.media_type},
                    }
                    for path, one in page
                ],
                "nextCursor": page[-1][0] if more else None,
            }
        )  # fmt: skip

    async def _sign(self, request: Request) -> Response:
        if self._object(request) is None:
            return _not_found()
        seconds = (await request.json())["expiresIn"]
        assert isinstance(seconds, str)
        bucket, path = request.path_params["bucket"], request.path_params["path"]
        return _json({"signedURL": f"/object/sign/{bucket}/{path}?token=for-{seconds}"})

    async def _remove(self, request: Request) -> Response:
        objects = self.buckets.get(request.path_params["bucket"], {})
        names = (await request.json())["prefixes"]
        return _json([{"name": name} for name in names if objects.pop(name, None)])

    def _object(self, request: Request) -> Stored | None:
        return self.buckets.get(request.path_params["bucket"], {}).get(request.path_params["path"])


async def _cut(content: bytes) -> AsyncIterator[bytes]:
    yield content


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), media_type="application/json")


def _not_found() -> Response:
    # As Storage has it: the status inside is the true one.
    return _error(404, "not_found", "Object not found", outside=400)


def _error(status: int, code: str, message: str, *, outside: int | None = None) -> Response:
    body = {"statusCode": str(status), "error": code, "message": message}
    return Response(orjson.dumps(body), outside or status, media_type="application/json")


def busy(status: int = 503) -> Response:
    """What a gateway before Storage says when it is overrun."""
    return Response(b"upstream is away", status)
