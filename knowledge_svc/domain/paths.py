"""Conditions on metadata as SQL/JSON paths, the form in which Postgres evaluates them.

All text of a caller's stands in them as JSON strings. Predicates are in lax mode, which looks
into a list for its elements, one level deep; a comparison of two types is `unknown`, which counts
as false and is never negated: what is negated is an `exists`, which is true or false.
"""

from typing import Any

import orjson

from knowledge_svc.domain.filters import (
    AllOf,
    AnyOf,
    Compared,
    Condition,
    Exists,
    NoneOf,
    OneOf,
)

_NEVER = "1 == 2"


def split(condition: Condition) -> tuple[str | None, str | None]:
    """The path of what an index on metadata finds, and the path of the rest, to be checked on rows.

    Both must hold; None is no condition.
    """
    parts = condition.conditions if isinstance(condition, AllOf) else (condition,)
    found = tuple(part for part in parts if _is_indexed(part))
    rest = tuple(part for part in parts if not _is_indexed(part))
    return (
        _predicate(AllOf(found)) if found else None,
        _predicate(AllOf(rest)) if rest else None,
    )


def _is_indexed(condition: Condition) -> bool:
    """Whether the index can tell which rows may fit, without a look at all of its entries."""
    match condition:
        case OneOf(values=values):
            return bool(values) and all(map(_has_scalar, values))
        case AllOf(conditions):
            return any(map(_is_indexed, conditions))
        case AnyOf(conditions):
            return all(map(_is_indexed, conditions))
    return False


def _has_scalar(value: Any) -> bool:
    match value:
        case dict():
            return any(map(_has_scalar, value.values()))
        case list():
            return any(map(_has_scalar, value))
    return True


def _predicate(condition: Condition) -> str:
    match condition:
        case OneOf(key, values):
            return _any_of([_equal(_at("$", key), value) for value in values])
        case NoneOf(key, values):
            return f"!exists($ ? ({_predicate(OneOf(key, values))}))"
        case Compared(key, sign, bound):
            return f"{_at('$', key)} {sign} {_literal(bound)}"
        case Exists(key, expected):
            return f"{'' if expected else '!'}exists({_at('$', key)})"
        case AllOf(conditions):
            return " && ".join(f"({_predicate(one)})" for one in conditions)
        case AnyOf(conditions):
            return _any_of([_predicate(one) for one in conditions])


def _any_of(predicates: list[str]) -> str:
    return " || ".join(f"({one})" for one in predicates) or _NEVER


def _equal(place: str, value: Any) -> str:
    """Objects and lists are equal as a whole; a scalar also equals an element of a list."""
    return _whole(place, value) if isinstance(value, dict | list) else _scalar(place, value)


def _scalar(place: str, value: Any) -> str:
    return f"{place} == {_literal(value)}"


def _whole(place: str, value: Any) -> str:
    """The types stand first, so that lax mode has no list to look into."""
    parts = [f'{place}.type() == "{_type(value)}"']
    match value:
        case dict():
            others = " && ".join(f"@.key != {_literal(key)}" for key in value)
            member = f"{place}.keyvalue()"
            parts += [_whole(_at(place, key), part) for key, part in value.items()]
            parts.append(f"!exists({member} ? ({others}))" if value else f"!exists({member})")
        case list():
            parts.append(f"{place}.size() == {len(value)}")
            parts += [_whole(f"{place}[{index}]", part) for index, part in enumerate(value)]
        case _:
            parts.append(_scalar(place, value))
    return " && ".join(f"({part})" for part in parts)


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case str():
            return "string"
        case dict():
            return "object"
        case list():
            return "array"
    return "number"


def _at(place: str, key: str) -> str:
    return f"{place}.{_literal(key)}"


def _literal(value: Any) -> str:
    return orjson.dumps(value).decode()
