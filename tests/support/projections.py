"""What projections should have counted, worked out anew from the log."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from event_svc.domain.projections import Definition, Projection, ProjectionValue, ValueQuery
from event_svc.ports.log import EventStore
from event_svc.ports.projections import ProjectionStore

# By subject and key: how many, their sum, the last, and its position.
Table = dict[tuple[str, str], tuple[int, float, float, int]]


def a_definition(name: str = "scores", **changes: Any) -> Definition:
    """A projection of `content.score` by `content.key`, unless changed."""
    fields = {"event_types": ["message"], "value_path": ["score"], "key_path": ["key"], **changes}
    return Definition(name, **fields)


@dataclass(frozen=True)
class Counted:
    """What a projection should hold, given the whole log and how far it has come."""

    projection: Projection

    def table(self, events: list[Any]) -> Table:
        """By subject and key, from events in order of position."""
        definition = self.projection.definition
        found: dict[tuple[str, str], list[tuple[int, Fraction]]] = {}
        for event in events:
            is_counted = (
                event.position > self.projection.since_position
                or event.position <= self.projection.backfilled_position
            )
            key = _key(_at(event.content, definition.key_path)) if definition.key_path else ""
            number = _at(event.content, definition.value_path)
            if (
                is_counted
                and event.event_type in definition.event_types
                and event.subject_id
                and key is not None
                and isinstance(number, int | float)
                and not isinstance(number, bool)
            ):
                place = (event.position, Fraction(repr(number)))
                found.setdefault((event.subject_id, key), []).append(place)
        return {
            place: (
                len(numbers),
                float(sum(number for _, number in numbers)),
                float(numbers[-1][1]),
                numbers[-1][0],
            )
            for place, numbers in found.items()
        }


def _at(content: Any, path: Any) -> Any:
    for name in path:
        content = content.get(name) if isinstance(content, dict) else None
    return content


def _key(found: Any) -> str | None:
    match found:
        case bool():
            return str(found).lower()
        case str() if len(found) <= 256:
            return found
        case int():
            return str(found)
    return None


async def whole_log(events: EventStore) -> list[Any]:
    """Every event, in order."""
    from event_svc.domain.log import EventFilter

    found: list[Any] = []
    more = True
    while more:
        after = found[-1].position if found else 0
        page = await events.page(EventFilter(), after=after, limit=1000)
        found += page.events
        more = page.more
    return found


async def values_of(
    store: ProjectionStore, name: str, *subject_ids: str, combine: bool = False, limit: int = 1000
) -> list[ProjectionValue]:
    """All values of subjects, read page by page."""
    query = ValueQuery(name, subject_ids, None, combine)
    found: list[ProjectionValue] = []
    after = None
    while page := await store.values(query, after=after, limit=limit):
        found += page
        after = (page[-1].key, page[-1].subject_id)
    return found


async def table_of(store: ProjectionStore, name: str, *subject_ids: str) -> Table:
    """All values of subjects, as `Counted.table` has them."""
    return {
        (value.subject_id or "", value.key): (
            value.count, value.sum, value.last or 0.0, value.last_position
        )
        for value in await values_of(store, name, *subject_ids, limit=7)
    }  # fmt: skip


async def fill(store: ProjectionStore, most_positions: int = 1000) -> None:
    """Count every older event in."""
    while (await store.backfill(most_positions)).more:
        pass
