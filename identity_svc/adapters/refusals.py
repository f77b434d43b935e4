"""What SQL functions raise in common, as errors of the domain."""

from typing import Any

from identity_svc.domain.erasure import PersonErasing
from identity_svc.domain.people import PersonNotFound
from identity_svc.domain.places import Place
from svckit.errors import SqlError
from svckit.sql import SqlFunctions

_FIRST_ID = "00000000-0000-0000-0000-000000000000"


class PeopleFunctions:
    """The functions of a schema; that a person is not there, or being erased, is told as such.

    Whichever function says so: what changes people asks in one place in SQL, and is
    translated in one place here.
    """

    def __init__(self, functions: SqlFunctions) -> None:
        self._functions = functions

    async def call(self, function: str, /, **arguments: Any) -> Any:
        try:
            return await self._functions.call(function, **arguments)
        except SqlError as error:
            match error.code:
                case "ZI020":
                    raise PersonErasing(**error.detail) from error
                case "ZI004":
                    raise PersonNotFound(**error.detail) from error
            raise


def arguments_of(after: Place | None, moment: str, identifier: str) -> dict[str, str]:
    """A place as two arguments of these names; None is before everything."""
    return {
        moment: after.moment.isoformat() if after else "-infinity",
        identifier: after.identifier if after else _FIRST_ID,
    }
