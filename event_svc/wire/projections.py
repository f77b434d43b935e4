"""Messages of projections to the domain, checked on the way, and back."""

from collections.abc import Sequence
from typing import Any

from event_svc.domain.projections import Definition, Projection, ProjectionValue, ValueQuery
from event_svc.wire.subjects import to_subject_ids
from kith.event.v1 import event_service_pb2 as pb
from kith.event.v1 import projection_pb2
from svckit import fields, ids, pages, structs
from svckit.errors import InvalidRequest

MOST_TYPES = 32
MOST_NAMES = 8
MOST_NAME_CHARACTERS = 64
MOST_KEY_CHARACTERS = 256
MOST_SCOPE_CHARACTERS = 128


def to_definition(message: projection_pb2.Projection) -> Definition:
    """A checked definition; problems are named `projection.name` and so on."""
    event_types = fields.batch(message.event_types, "projection.event_types", most=MOST_TYPES)
    return Definition(
        name=_to_lower_word(message.name, "projection.name"),
        # Their order means nothing, so a repeat in another order is the same.
        event_types=sorted(
            {
                _to_lower_word(name, f"projection.event_types[{index}]")
                for index, name in enumerate(event_types)
            }
        ),
        value_path=_to_path(message.value_path, "projection.value_path", least=1),
        key_path=_to_path(message.key_path, "projection.key_path", least=0),
    )


def to_name(name: str) -> str:
    """The name of a projection."""
    return _to_lower_word(name, "name")


def to_values(request: pb.ListProjectionValuesRequest) -> ValueQuery:
    """Which values are asked for."""
    key = None
    if request.HasField("key"):
        key = _to_text(request.key, "key", most=MOST_KEY_CHARACTERS)
    return ValueQuery(
        name=to_name(request.name),
        subject_ids=to_subject_ids(request.subject_ids),
        key=key,
        combine=request.combine_subjects,
    )


def query_of(request: pb.ListProjectionValuesRequest, query: ValueQuery) -> Any:
    """What page tokens are bound to; a scope stands in place of the subjects."""
    scope = _to_text(request.page_scope, "page_scope", most=MOST_SCOPE_CHARACTERS)
    return [query.name, scope or sorted(query.subject_ids), query.key, query.combine]


def to_place(page_token: str, query: Any) -> tuple[str, str | None] | None:
    """The key and subject of the last value of the page before, None where there is none."""
    match pages.place(page_token, query):
        case None:
            return None
        case [str(key), None]:
            return key, None
        case [str(key), str(subject_id)] if ids.is_uuid(subject_id):
            return key, subject_id
    raise InvalidRequest("page_token", "is malformed")


def from_projection(projection: Projection) -> projection_pb2.Projection:
    """A projection and where it stands."""
    definition = projection.definition
    return projection_pb2.Projection(
        name=definition.name,
        event_types=definition.event_types,
        value_path=definition.value_path,
        key_path=definition.key_path,
        state=projection_pb2.PROJECTION_STATE_READY
        if projection.is_ready
        else projection_pb2.PROJECTION_STATE_BACKFILLING,
        backfilled_position=projection.backfilled_position,
        since_position=projection.since_position,
        created_at=fields.to_timestamp(projection.created_at),
    )


def from_value(value: ProjectionValue) -> projection_pb2.ProjectionValue:
    """The aggregate of one key."""
    return projection_pb2.ProjectionValue(
        subject_id=value.subject_id or "",
        key=value.key,
        count=value.count,
        sum=value.sum,
        mean=value.mean,
        last=value.last or 0,
        last_position=value.last_position,
        last_occurred_at=fields.to_timestamp(value.last_occurred_at),
    )


def _to_path(names: Sequence[str], field: str, *, least: int) -> list[str]:
    if not least <= len(names) <= MOST_NAMES:
        raise InvalidRequest(field, f"has {len(names)} names; {least} to {MOST_NAMES} are allowed")
    for index, name in enumerate(names):
        if not _to_text(name, f"{field}[{index}]", most=MOST_NAME_CHARACTERS):
            raise InvalidRequest(f"{field}[{index}]", "is required")
    return list(names)


def _to_lower_word(value: str, field: str) -> str:
    if fields.word(value, field) != value:
        raise InvalidRequest(field, "must be in lower case")
    return value


def _to_text(value: str, field: str, *, most: int) -> str:
    structs.check_text(value, field)
    if len(value) > most:
        raise InvalidRequest(field, f"is {len(value)} characters long; at most {most} are allowed")
    return value
