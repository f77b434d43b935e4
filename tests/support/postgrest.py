"""A stand-in for PostgREST over a real database: `POST /rest/v1/rpc/<function>`, no more.
Beside it, where Supabase has it, stands `Postgrest.realtime`.

It does what PostgREST does with a call, as SDK-recorded wire has it: the schema from
`Content-Profile`, arguments by name out of the JSON body with the types of the function,
STABLE functions in a read-only transaction, the role of a service key, errors as
`{code, message, details, hint}`. It can be told to fail.
"""

from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from tests.support.http import serving
from tests.support.realtime import Realtime

KEY = "sb_secret_for_tests_only"

# PostgREST's own table; all else is 400.
_STATUS = {"23503": 409, "23505": 409, "42883": 404, "42501": 403, "25006": 405}


class Postgrest:
    """The app; `faults` holds responses to give instead of answering, first come first."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._pool: Any = None
        self._signatures: dict[tuple[str, str], tuple[list[tuple[str, str]], bool] | None] = {}
        self.faults: deque[Response] = deque()
        self.calls: list[str] = []
        self.url = ""
        self.realtime = Realtime(KEY)
        rest = Route("/rest/v1/rpc/{function}", self._rpc, methods=["POST"])
        self.app = Starlette(routes=[rest, *self.realtime.routes])

    @asynccontextmanager
    async def running(self) -> AsyncIterator[str]:
        """The URL of a Supabase whose REST this is."""
        async with (
            asyncpg.create_pool(self._url, min_size=0, max_size=8) as self._pool,
            serving(self.app, websockets=True) as url,
        ):
            yield url

    async def _rpc(self, request: Request) -> Response:
        if request.headers.get("apikey") != KEY:
            return _error(401, "PGRST301", "No suitable key or wrong key type")
        if self.faults:
            return self.faults.popleft()
        schema = request.headers.get("content-profile", "public")
        function = request.path_params["function"]
        self.calls.append(function)
        try:
            async with self._pool.acquire() as connection:
                return await self._answer(connection, schema, function, await request.body())
        except asyncpg.PostgresError as error:
            code = error.sqlstate or ""
            status = _STATUS.get(code, 503 if code.startswith(("08", "53", "57")) else 400)
            return _error(status, code, str(error.args[0]), error.detail, error.hint)
        except (asyncpg.InterfaceError, OSError) as error:
            return _error(503, "PGRST001", f"Database client error: {error}")

    async def _answer(self, connection: Any, schema: str, function: str, body: bytes) -> Response:
        signature = await self._signature(connection, schema, function)
        given = orjson.loads(body)
        if signature is None or not set(given) <= {name for name, _ in signature[0]}:
            return _error(404, "PGRST202", f"Could not find the function {schema}.{function}")
        parameters, is_stable = signature
        used = [(name, kind) for name, kind in parameters if name in given]
        named = ", ".join(f'"{name}" => _."{name}"' for name, _ in used)
        call = f"SELECT {schema}.{function}({named})::text"
        if used:
            columns = ", ".join(f'"{name}" {kind}' for name, kind in used)
            call += f" FROM json_to_record($1::json) AS _({columns})"
        async with connection.transaction(readonly=is_stable):
            await connection.execute("SET LOCAL ROLE service_role")
            answer = await connection.fetchval(call, *([body.decode()] if used else []))
        return Response(answer or "null", media_type="application/json")

    async def _signature(self, connection: Any, schema: str, function: str) -> Any:
        key = (schema, function)
        if key not in self._signatures:
            row = await connection.fetchrow(
                """SELECT p.proargnames AS names, p.provolatile <> 'v' AS stable,
                          ARRAY(SELECT format_type(t, NULL) FROM unnest(p.proargtypes) t) AS kinds
                   FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
                   WHERE n.nspname = $1 AND p.proname = $2""",
                schema,
                function,
            )
            self._signatures[key] = row and (
                list(zip(row["names"] or [], row["kinds"], strict=True)),
                row["stable"],
            )
        return self._signatures[key]


def _error(status: int, code: str, message: str, details: Any = None, hint: Any = None) -> Response:
    body = {"code": code, "message": message, "details": details, "hint": hint}
    return Response(orjson.dumps(body), status, media_type="application/json")
