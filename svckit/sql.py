"""The one seam to the database: SQL functions, called by name with JSON-like arguments.

Two transports, the same functions: a direct connection (asyncpg), and PostgREST as
Supabase exposes it. Arguments and results have only types whose JSON form is the same on
both roads; the result is always JSON.
"""

import asyncio
import contextlib
import functools
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from svckit import logs, metrics
from svckit.errors import SqlError, Unavailable

if TYPE_CHECKING:
    import asyncpg
    from supabase import AsyncClient

log = logs.get(__name__)

CONNECT_SECONDS = 3.0
CALL_SECONDS = 10.0
POOL_SIZE = 8

# Classes 08 (connection), 53 (resources), 57 (operator intervention, starting up) and
# 55P03 (a lock was not to be had in time); PGRST000-003 is PostgREST without its database.
# 3F000, 42883 and PGRST202: the schema or function is not there yet, so not migrated.
_UNAVAILABLE = (
    *("08", "53", "57", "55P03", "PGRST00"),
    *("3F000", "42883", "PGRST202"),
)
# A status of HTTP in place of a code: what stands before PostgREST is at its limit (429), or
# does not get an answer out of it (502 to 504, Cloudflare's 52x and 530, Supabase's 54x).
_HTTP_LIMIT, _HTTP_OUTAGES = "429", "502"
# What took its whole time already: a lock, a statement. Once more would be twice as long.
_TOOK_TOO_LONG = ("55P03", "57014")
# A serialization failure or a deadlock: nothing was written, the same call may succeed.
_TRANSIENT = frozenset({"40001", "40P01"})
# How many races a call may lose; pauses between them are two thirds of a second in all at most.
_MOST_RACES, _PAUSE_SECONDS = 7, 0.005


class _TookTooLong(Unavailable):
    """Unavailable as any other, but not to be tried again."""


class SqlFunctions(Protocol):
    """The functions of one schema."""

    async def call(self, function: str, /, **arguments: Any) -> Any:
        """Call a function by name with named arguments.

        Every function may be repeated safely, so a call that lost its connection or a
        race for locks is tried again. Raises SqlError for what a function raises, and
        Unavailable where the database cannot be reached or does not answer in time.
        """
        ...


class AsyncpgFunctions:
    """Functions called over a connection pool; see `open_pool`."""

    def __init__(self, pool: "asyncpg.Pool[Any]", schema: str) -> None:
        self._pool = pool
        self._schema = schema
        self._statements: dict[tuple[str, ...], str] = {}

    async def call(self, function: str, /, **arguments: Any) -> Any:
        shape = (function, *arguments)
        statement = self._statements.get(shape)
        if statement is None:
            named = ", ".join(f'"{name}" => ${n}' for n, name in enumerate(arguments, start=1))
            statement = f"SELECT {self._schema}.{function}({named})"
            self._statements[shape] = statement
        values = arguments.values()
        return await _tried(function, lambda: self._fetch(statement, values))

    async def _fetch(self, statement: str, values: Any) -> Any:
        import asyncpg

        # TimeoutError is an OSError.
        lost = (asyncpg.InterfaceError, asyncpg.InternalClientError, OSError)
        try:
            # The pool's own timeout would make a task for each call.
            async with asyncio.timeout(CALL_SECONDS):
                connection = await self._pool.acquire()
        except asyncpg.PostgresError as error:
            # A wrong password, a role that may not be taken: nobody else would say so.
            log.warning("the store refuses", code=error.sqlstate, text=str(error.args[0]))
            raise Unavailable("the store cannot be reached") from error
        except lost as error:
            raise Unavailable("the store cannot be reached") from error
        try:
            return await connection.fetchval(statement, *values)
        except asyncpg.PostgresError as error:
            raise _translated(error.sqlstate or "", str(error.args[0]), error.detail) from error
        except lost as error:
            raise Unavailable("the store cannot be reached") from error
        finally:
            # A connection that died fails once more when it goes back; the pool drops it.
            with contextlib.suppress(asyncpg.PostgresError, *lost):
                await self._pool.release(connection)


class RestFunctions:
    """Functions called through PostgREST, as Supabase exposes it."""

    def __init__(self, client: "AsyncClient", schema: str) -> None:
        self._client = client
        self._schema = schema

    async def call(self, function: str, /, **arguments: Any) -> Any:
        return await _tried(function, lambda: self._post(function, arguments))

    async def _post(self, function: str, arguments: dict[str, Any]) -> Any:
        import httpx
        import postgrest

        try:
            answer = await self._client.schema(self._schema).rpc(function, arguments).execute()
        except postgrest.APIError as error:
            raise _translated(error.code or "", error.message or "", error.details) from error
        except httpx.TransportError as error:
            raise Unavailable("the store cannot be reached") from error
        return answer.data


async def _tried(function: str, attempt: Callable[[], Awaitable[Any]]) -> Any:
    with metrics.SQL_SECONDS.labels(function).time():
        races = outages = 0
        while True:
            try:
                return await attempt()
            except SqlError as error:
                if error.code not in _TRANSIENT:
                    raise
                races += 1
                if races == _MOST_RACES:
                    raise Unavailable("the store is busy with the same rows") from error
                # By chance, so that those who raced do not meet again.
                await asyncio.sleep(random.uniform(0, _PAUSE_SECONDS * 2**races))
            except _TookTooLong:
                raise
            except Unavailable:
                # Once more at once: a pooled connection may have died with a server that
                # is back by now. A server that is really gone refuses at once as well.
                outages += 1
                if outages > 1:
                    raise


def _translated(code: str, message: str, detail: Any) -> SqlError | Unavailable:
    if code.startswith(_UNAVAILABLE) or _is_from_a_proxy(code):
        log.warning("the store is not available", code=code, text=message)
        kind = _TookTooLong if code in _TOOK_TOO_LONG else Unavailable
        return kind("the store cannot be reached")
    if isinstance(detail, str):
        try:
            detail = orjson.loads(detail)
        except orjson.JSONDecodeError:
            detail = None
    return SqlError(code, message, detail)


def _is_from_a_proxy(code: str) -> bool:
    """Whether an answer never came from PostgREST, whose errors have longer codes."""
    if len(code) == len(_HTTP_LIMIT):
        return code == _HTTP_LIMIT or code >= _HTTP_OUTAGES
    # Kong's are JSON, and have none.
    return not code


@asynccontextmanager
async def open_pool(url: str, role: str | None = None) -> AsyncIterator["asyncpg.Pool[Any]"]:
    """A pool whose connections speak JSON values, as REST does, and act as `role`.

    It connects when first used, so a process may start before its database.
    """
    import asyncpg

    settings = {"application_name": f"kith {role or ''}".strip(), "statement_timeout": "15s"}
    if role:
        settings["role"] = role
    pool = await asyncpg.create_pool(
        url,
        init=_speak_json,
        reset=_leave_as_is,
        min_size=0,
        max_size=POOL_SIZE,
        timeout=CONNECT_SECONDS,
        command_timeout=CALL_SECONDS,
        server_settings=settings,
    )
    try:
        yield pool
    finally:
        try:
            await asyncio.wait_for(pool.close(), CALL_SECONDS)
        except TimeoutError:
            pool.terminate()


async def _leave_as_is(_: Any) -> None:
    """Nothing to reset: functions set what they set for themselves. Spares a round trip."""


async def _speak_json(connection: Any) -> None:
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=lambda value: orjson.dumps(value).decode(),
            decoder=orjson.loads,
        )  # fmt: skip
    for name in ("uuid", "timestamptz"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=str, decoder=str, format="text"
        )


@functools.cache
def _trusted() -> ssl.SSLContext:
    """The authorities that are trusted; reading them takes longer than a call."""
    import httpx

    return httpx.create_ssl_context()


@asynccontextmanager
async def open_rest(url: str, key: str) -> AsyncIterator["AsyncClient"]:
    """A Supabase client with one connection pool of its own."""
    import httpx
    from supabase import AsyncClientOptions, create_async_client

    async with httpx.AsyncClient(
        timeout=httpx.Timeout(CALL_SECONDS, connect=CONNECT_SECONDS),
        verify=_trusted(),
        limits=httpx.Limits(max_connections=50, max_keepalive_connections=20),
    ) as http:
        yield await create_async_client(url, key, AsyncClientOptions(httpx_client=http))
