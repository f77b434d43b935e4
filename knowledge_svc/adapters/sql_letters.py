"""Dead letters over the SQL functions of schema `knowledge`."""

from collections.abc import Sequence

from knowledge_svc.domain.letters import DeadLetter, LetterPlace, Letters
from svckit.sql import SqlFunctions

# So many are queued again in one transaction.
_REPLAYED_TOGETHER = 5_000


class SqlLetterStore:
    """The items that were given up, in Postgres."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def letters(
        self, namespaces: Sequence[str] | None, *, before: LetterPlace | None, limit: int
    ) -> Letters:
        found = await self._functions.call(
            "list_dead_letters",
            namespaces=None if namespaces is None else [*namespaces],
            most=limit,
            before_time=before.failed_at if before else None,
            before_id=before.knowledge_id if before else None,
        )
        return Letters(found["total"], [DeadLetter(**row) for row in found["letters"]])

    async def replay(self, ids: Sequence[str]) -> int:
        replayed, _ = await self._replay([*ids], None)
        return replayed

    async def replay_all(self) -> int:
        total, until = 0, None
        while True:
            # What is given up meanwhile is not tried again and again.
            replayed, until = await self._replay(None, until)
            total += replayed
            if replayed < _REPLAYED_TOGETHER:
                return total

    async def _replay(self, ids: list[str] | None, until: str | None) -> tuple[int, str]:
        answer = await self._functions.call(
            "replay_dead_letters", ids=ids, most=_REPLAYED_TOGETHER, until=until
        )
        return answer["replayed"], answer["until"]
