"""Answers about projections."""

from typing import Any, Literal

from pydantic import with_config
from typing_extensions import TypedDict

from gateway.answers.common import TIME, example

_PROJECTION: dict[str, Any] = {
    "name": "mood",
    "event_types": ["mood_check"],
    "value_path": ["score"],
    "key_path": ["topic"],
    "state": "ready",
    "backfilled_position": 4711,
    "since_position": 4711,
    "created_at": TIME,
}


@with_config(example(_PROJECTION))
class ProjectionAnswer(TypedDict):
    """A projection; new events count from the start, older ones up to `backfilled_position`."""

    name: str
    event_types: list[str]
    value_path: list[str]
    key_path: list[str]
    state: Literal["backfilling", "ready"]
    backfilled_position: int
    since_position: int
    created_at: str | None


@with_config(example({"projections": [_PROJECTION]}))
class ProjectionsAnswer(TypedDict):
    """All projections, by name."""

    projections: list[ProjectionAnswer]


@with_config(example({"deleted": True}))
class DeletedAnswer(TypedDict):
    """Whether this call deleted it."""

    deleted: bool


@with_config(
    example(
        {
            "key": "sleep",
            "count": 3,
            "sum": 21.0,
            "mean": 7.0,
            "last": 8.0,
            "last_position": 4711,
            "last_occurred_at": TIME,
        }
    )
)
class ProjectionValueAnswer(TypedDict):
    """The aggregate of one key, over all of the person's ids."""

    key: str
    count: int
    sum: float
    mean: float
    last: float
    last_position: int
    last_occurred_at: str | None


class ProjectionValuesAnswer(TypedDict):
    """One page, by key; `next_page_token` is null on the last."""

    values: list[ProjectionValueAnswer]
    next_page_token: str | None
