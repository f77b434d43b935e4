"""The functions of the schema, whose common refusals are told as errors of the domain."""

from typing import Any

from identity_svc.adapters.sql_errors import told_as
from identity_svc.domain.places import Place
from svckit.sql import SqlFunctions

_FIRST_ID = "00000000-0000-0000-0000-000000000000"


class PeopleFunctions:
    """The functions of a schema; that a person is not there, or being erased, is told as such."""

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def call(self, function: str, /, **arguments: Any) -> Any:
        with told_as({}):
            return await self._functions.call(function, **arguments)


def arguments_of(after: Place | None, moment: str, row_id: str) -> dict[str, str]:
    """A place as two arguments of these names; None is before everything."""
    return {
        moment: after.moment.isoformat() if after else "-infinity",
        row_id: after.row_id if after else _FIRST_ID,
    }
