"""A stand-in for Supabase Realtime: the websocket that tells of changed rows, no more.

It speaks what the client was recorded speaking (Phoenix messages as JSON objects, vsn
1.0.0): joins with their bindings, heartbeats, `system` when the database is attached,
`postgres_changes`. It can be told to fail, to fall silent, and to cut connections.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import orjson
from starlette.routing import WebSocketRoute
from starlette.websockets import WebSocket, WebSocketDisconnect


class Realtime:
    """`routes` are for an app; the switches below may be changed at any time.

    `refusing`: joins are answered by an error. `unreachable`: no connection is taken.
    `silent`: messages are taken and none is sent, as by a half-open connection.
    `detached`: joins are answered, but the database's side never says that it is there.
    """

    def __init__(self, key: str) -> None:
        self.url = ""
        self._key = key
        self._sockets: set[WebSocket] = set()
        self._joined: dict[tuple[WebSocket, str], list[dict[str, Any]]] = {}
        self._numbers = itertools.count(1)
        self.refusing = self.unreachable = self.silent = self.detached = False
        self.joins: list[dict[str, Any]] = []
        self.changed = asyncio.Condition()
        self.routes = [WebSocketRoute("/realtime/v1/websocket", self._serve)]

    @property
    def watchers(self) -> int:
        """How many channels are joined and attached."""
        return len(self._joined)

    async def until_joins(self, count: int) -> None:
        """Wait until so many joins have been answered, or left unanswered on purpose."""
        async with self.changed:
            await self.changed.wait_for(lambda: len(self.joins) >= count)

    async def announce(self, schema: str, table: str, record: dict[str, Any]) -> None:
        """Tell whoever watches the table that a row was updated."""
        for (socket, topic), bindings in list(self._joined.items()):
            ids = [
                binding["id"]
                for binding in bindings
                if (binding["schema"], binding["table"]) == (schema, table)
                and binding["event"] in ("*", "UPDATE")
            ]
            if ids:
                data = {
                    "schema": schema, "table": table, "type": "UPDATE", "errors": None,
                    "commit_timestamp": "2026-01-01T00:00:00Z", "record": record,
                    "columns": [{"name": name, "type": "int8"} for name in record],
                    "old_record": {},
                }  # fmt: skip
                await self._send(socket, topic, "postgres_changes", {"ids": ids, "data": data})

    async def cut(self) -> None:
        """Close every connection, as a Realtime that restarts does."""
        for socket in list(self._sockets):
            await socket.close(1012)

    @asynccontextmanager
    async def following(
        self, url: str, channel: str, schema: str, table: str
    ) -> AsyncIterator[None]:
        """Announce an update of a table whenever a database notifies a channel."""
        connection = await asyncpg.connect(url)
        running: set[asyncio.Task[None]] = set()

        def on_notice(*_: object) -> None:
            task = asyncio.create_task(self.announce(schema, table, {"position": 1}))
            running.add(task)
            task.add_done_callback(running.discard)

        await connection.add_listener(channel, on_notice)
        try:
            yield
        finally:
            await connection.close()
            await asyncio.gather(*running)

    async def _serve(self, socket: WebSocket) -> None:
        if self.unreachable or socket.query_params.get("apikey") != self._key:
            await socket.close(1008)
            return
        await socket.accept()
        self._sockets.add(socket)
        try:
            while True:
                await self._take(socket, orjson.loads(await socket.receive_text()))
        except WebSocketDisconnect:
            pass
        finally:
            self._sockets.discard(socket)
            for key in [key for key in self._joined if key[0] is socket]:
                del self._joined[key]

    async def _take(self, socket: WebSocket, message: dict[str, Any]) -> None:
        topic, ref = message["topic"], message["ref"]
        match message["event"]:
            case "phx_join":
                await self._join(socket, topic, ref, message["payload"])
            case "phx_leave":
                self._joined.pop((socket, topic), None)
                await self._reply(socket, topic, ref, "ok", {})
            case "heartbeat":
                await self._reply(socket, topic, ref, "ok", {})

    async def _join(self, socket: WebSocket, topic: str, ref: str, payload: Any) -> None:
        if self.refusing:
            await self._reply(socket, topic, ref, "error", {"reason": "Unauthorized"})
        else:
            bindings = [
                {"id": next(self._numbers), **binding}
                for binding in payload["config"]["postgres_changes"]
            ]
            await self._reply(socket, topic, ref, "ok", {"postgres_changes": bindings})
            if not (self.detached or self.silent):
                name = topic.removeprefix("realtime:")
                self._joined[socket, topic] = bindings
                await self._send(socket, topic, "system", {
                    "channel": name, "extension": "postgres_changes",
                    "message": "Subscribed to PostgreSQL", "status": "ok",
                })  # fmt: skip
        async with self.changed:
            self.joins.append(payload)
            self.changed.notify_all()

    async def _reply(
        self, socket: WebSocket, topic: str, ref: str | None, status: str, response: Any
    ) -> None:
        await self._send(socket, topic, "phx_reply", {"status": status, "response": response}, ref)

    async def _send(
        self, socket: WebSocket, topic: str, event: str, payload: Any, ref: str | None = None
    ) -> None:
        if not self.silent:
            message = {"topic": topic, "event": event, "ref": ref, "payload": payload}
            await socket.send_text(orjson.dumps(message).decode())
