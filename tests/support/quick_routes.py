"""Putting a gateway together again is quick: what was made of a model is kept.

FastAPI builds the validators of each route's types anew for each app, which takes most of the
time of a test that has a gateway of its own.
"""

from typing import Any

from fastapi._compat import v2
from pydantic import TypeAdapter

_made: dict[str, TypeAdapter[Any]] = {}


def _kept(annotated: Any, *, config: Any = None) -> TypeAdapter[Any]:
    # A type and all that is said of it, with the full names of classes.
    key = repr((annotated, config))
    if key not in _made:
        _made[key] = TypeAdapter(annotated, config=config)
    return _made[key]


def keep() -> None:
    """From now on, in this process."""
    setattr(v2, "TypeAdapter", _kept)  # noqa: B010 - which mypy finds not exported
