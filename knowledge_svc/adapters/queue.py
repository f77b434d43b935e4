"""The indexer's queue over the SQL functions of schema `knowledge`."""

from collections.abc import Sequence

from knowledge_svc.domain.items import Backlog, Failure, Kind, Space, Task, Write
from svckit.sql import SqlFunctions

_MOST_ERROR = 500  # characters of an error that are kept


class SqlIndexQueue:
    """The queue in Postgres, beside the items: that of one space, or of whichever serves."""

    def __init__(self, functions: SqlFunctions, space: str | None = None) -> None:
        self._functions = functions
        self._of = {} if space is None else {"space": space}

    async def ensure_space(self, proposed: Space) -> Space:
        row = await self._functions.call(
            "ensure_space",
            space=proposed.name,
            model=proposed.model,
            dimension=proposed.dimension,
            chunker=proposed.chunker,
        )
        return Space(**row)

    async def claim(
        self, owner: str, kind: Kind, *, most: int, most_bytes: int, lease_seconds: float
    ) -> list[Task]:
        rows = await self._functions.call(
            "claim_pending", owner=owner, kind=kind, most=most, most_bytes=most_bytes,
            lease_ms=int(lease_seconds * 1000), **self._of,
        )  # fmt: skip
        return [Task(**row) for row in rows]

    async def renew(self, owner: str, ids: Sequence[str], *, lease_seconds: float) -> None:
        await self._functions.call(
            "renew_leases", ids=[*ids], owner=owner, lease_ms=int(lease_seconds * 1000),
            **self._of,
        )  # fmt: skip

    async def mark_indexed(
        self, writes: Sequence[Write], model: str | None, *, owner: str
    ) -> list[str]:
        marks = [{**vars(write), "embedding_model": model} for write in writes]
        gone: list[str] = await self._functions.call(
            "mark_indexed", marks=marks, owner=owner, **self._of
        )
        return gone

    async def put_off(self, failures: Sequence[Failure], *, owner: str) -> None:
        await self._functions.call(
            "put_off",
            failures=[
                {
                    "knowledge_id": failure.task.knowledge_id,
                    "revision": failure.task.revision,
                    "attempts": failure.attempts,
                    "delay_seconds": failure.delay_seconds,
                    "is_final": failure.is_final,
                    "error": failure.error.replace("\0", "")[:_MOST_ERROR],
                }
                for failure in failures
            ],
            owner=owner,
            **self._of,
        )

    async def pending(self, writes: Sequence[Write]) -> list[Write]:
        rows = await self._functions.call(
            "pending_writes", writes=[vars(write) for write in writes]
        )
        return [Write(**row) for row in rows]

    async def settle(self) -> None:
        await self._functions.call("settle_words")

    async def backlog(self) -> Backlog:
        return Backlog(**await self._functions.call("backlog", **self._of))
