"""Routes whose path holds a text of the client's: it may have any character, escaped."""

from urllib.parse import unquote

from starlette.routing import Match
from starlette.types import Scope

from gateway.jsonbody import JsonRoute


class KeyRoute(JsonRoute):
    """A route that is matched before its path is unescaped, so that `%2F` is no border of it."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        raw = scope.get("raw_path")
        if raw is None:
            return super().matches(scope)
        match, child = super().matches({**scope, "path": raw.decode("latin-1")})
        if match is not Match.NONE:
            # What is no UTF-8 is refused where the text is checked.
            child["path_params"] = {
                name: unquote(value, errors="surrogateescape")
                for name, value in child["path_params"].items()
            }
        return match, child
