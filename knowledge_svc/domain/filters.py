"""Conditions on an item's metadata: a typed tree, and the parser of the language they come in.

What they mean stands in one table, in `docs/knowledge.md`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

import orjson

from svckit.errors import InvalidRequest

# Of all conditions; so is each value of a list of them, and each one inside of a list or an object.
MOST_COMPARISONS = 256
# How deep `$and` and `$or` may stand in one another.
MOST_DEPTH = 8
# Of one value, as JSON.
MOST_VALUE_BYTES = 1 << 10

Sign = Literal["<", "<=", ">", ">="]


@dataclass(frozen=True)
class OneOf:
    """The key's value, or an element of it where it is a list, equals one of the values."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class NoneOf:
    """Not OneOf: holds where the key is missing, too."""

    key: str
    values: tuple[Any, ...]


@dataclass(frozen=True)
class Compared:
    """The key's value, or an element of it, is of the bound's type and lies on that side of it."""

    key: str
    sign: Sign
    bound: str | int | float


@dataclass(frozen=True)
class Exists:
    """Whether the key is there, whatever its value."""

    key: str
    expected: bool


@dataclass(frozen=True)
class AllOf:
    """Each of the conditions holds."""

    conditions: "tuple[Condition, ...]"


@dataclass(frozen=True)
class AnyOf:
    """At least one of the conditions holds."""

    conditions: "tuple[Condition, ...]"


Condition = OneOf | NoneOf | Compared | Exists | AllOf | AnyOf

_SIGNS: Mapping[str, Sign] = dict(zip(("$lt", "$lte", "$gt", "$gte"), get_args(Sign), strict=True))
_EQUALITIES: Mapping[str, type[OneOf | NoneOf]] = {
    "$eq": OneOf,
    "$in": OneOf,
    "$ne": NoneOf,
    "$nin": NoneOf,
}
_OPERATORS = {*_SIGNS, *_EQUALITIES, "$exists"}
_JUNCTIONS: Mapping[str, type[AllOf | AnyOf]] = {"$and": AllOf, "$or": AnyOf}


def parsed(given: Mapping[str, Any], field: str) -> Condition | None:
    """The condition that a JSON object states, None where it states none.

    Raises InvalidRequest, naming the spot below `field`. That it is JSON which survives the
    trip (no NaN, no lone surrogates), and its size as a whole, are checked before.
    """
    return _Parser().all_of(given, field, MOST_DEPTH) if given else None


class _Parser:
    """One filter; counts its comparisons."""

    def __init__(self) -> None:
        self._comparisons = 0

    def all_of(self, given: Mapping[str, Any], field: str, depth: int) -> Condition:
        found = tuple(
            condition
            for name, stated in given.items()
            for condition in self._entry(name, stated, f"{field}.{name}", depth)
        )
        return found[0] if len(found) == 1 else AllOf(found)

    def _entry(self, name: str, stated: Any, field: str, depth: int) -> list[Condition]:
        if name in _JUNCTIONS:
            return [_JUNCTIONS[name](self._branches(stated, field, depth))]
        if name in _OPERATORS:
            raise InvalidRequest(field, 'belongs behind a key: {"key": {"' + name + '": …}}')
        if name.startswith("$"):
            raise InvalidRequest(field, "is not an operator that is known")
        if not (isinstance(stated, dict) and any(part.startswith("$") for part in stated)):
            return [self._equality(name, "$eq", stated, field)]
        return [
            self._on_key(name, operator, operand, f"{field}.{operator}")
            for operator, operand in stated.items()
        ]

    def _branches(self, stated: Any, field: str, depth: int) -> tuple[Condition, ...]:
        if depth == 0:
            raise InvalidRequest(field, f"is nested more than {MOST_DEPTH} deep")
        if not isinstance(stated, list) or not stated:
            raise InvalidRequest(field, "must be a list of at least one condition")
        if len(stated) > MOST_COMPARISONS:
            raise InvalidRequest(field, _too_many_values(stated))
        for index, branch in enumerate(stated):
            if not isinstance(branch, dict) or not branch:
                raise InvalidRequest(
                    f"{field}[{index}]", "must be an object with at least one condition"
                )
        return tuple(
            self.all_of(branch, f"{field}[{index}]", depth - 1)
            for index, branch in enumerate(stated)
        )

    def _on_key(self, key: str, operator: str, operand: Any, field: str) -> Condition:
        if operator in _EQUALITIES:
            return self._equality(key, operator, operand, field)
        self._count(1, field)
        if operator in _SIGNS:
            if isinstance(operand, bool) or not isinstance(operand, str | int | float):
                raise InvalidRequest(field, "must be a number or text")
            return Compared(key, _SIGNS[operator], _value(operand, field))
        if operator == "$exists":
            if not isinstance(operand, bool):
                raise InvalidRequest(field, "must be true or false")
            return Exists(key, operand)
        if operator.startswith("$"):
            raise InvalidRequest(field, "is not an operator that is known")
        raise InvalidRequest(field, "is a key beside operators")

    def _equality(self, key: str, operator: str, operand: Any, field: str) -> Condition:
        kind = _EQUALITIES[operator]
        if operator in {"$eq", "$ne"}:
            self._count(_weight(operand), field)
            return kind(key, (_value(operand, field),))
        if not isinstance(operand, list):
            raise InvalidRequest(field, "must be a list of values")
        if len(operand) > MOST_COMPARISONS:
            raise InvalidRequest(field, _too_many_values(operand))
        self._count(_weight(operand), field)
        return kind(key, tuple(_value(one, f"{field}[{n}]") for n, one in enumerate(operand)))

    def _count(self, comparisons: int, field: str) -> None:
        self._comparisons += comparisons
        if self._comparisons > MOST_COMPARISONS:
            raise InvalidRequest(
                field, f"is more than {MOST_COMPARISONS} comparisons with those before it"
            )


def _too_many_values(values: list[Any]) -> str:
    return f"has {len(values)} values; at most {MOST_COMPARISONS} are allowed"


def _weight(value: Any) -> int:
    """How many comparisons a value takes: one, and one for each that is inside of it."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return 1 + sum(map(_weight, parts))


def _value(value: Any, field: str) -> Any:
    """A value to compare with; operators deep inside of one are a slip, never meant literally."""
    _ensure_no_operators(value, field)
    if len(orjson.dumps(value)) > MOST_VALUE_BYTES:
        raise InvalidRequest(field, f"is larger than {MOST_VALUE_BYTES} bytes")
    return value


def _ensure_no_operators(value: Any, field: str) -> None:
    if isinstance(value, dict):
        for key, part in value.items():
            if key.startswith("$"):
                raise InvalidRequest(f"{field}.{key}", "is an operator inside of a value")
            _ensure_no_operators(part, f"{field}.{key}")
    elif isinstance(value, list):
        for index, part in enumerate(value):
            _ensure_no_operators(part, f"{field}[{index}]")
