"""Metadata, filters over it, and what fits: in plain Python, out of docs/knowledge.md alone."""

from collections.abc import Mapping
from typing import Any, TypeVar

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

Json = Any
T = TypeVar("T")

KEYS = st.sampled_from(["a", "b", "a.b", "", "ü\"'\\"])
# Few, and alike, so that filters find something.
SCALARS = st.sampled_from(
    [
        None, True, False, 0, 1, -1, 2, 10, 0.5, -0.25, 1e-7, 1e15 + 0.5, 2**53, "", "0",
        "1", "10", "2", "a", "A", "b", "ab", "true", "null", 'q"', "\\", "\n\t", "é", "e\u0301",
        "😀", "\uffff", "$ne", "$.a",
    ]
)  # fmt: skip
WHOLE = st.sampled_from(
    [
        [], {}, [[]], [{}], [None], [1], [1, 2], [2, 1], ["a"], ["a", "a"], ["a", "b"], [["a"]],
        [True, "1", 1], {"a": 1}, {"a": 1.5, "b": None}, {"b": None, "a": 1.5}, {"a": [1]},
        {"a": {"b": ["a", {"": 0}]}}, {"a": {"b": ["a", {"": 0}], "c": 1}}, [{"a": 1}], {"": ""},
        {"a": [[1]]}, {'ü"': "a"},
    ]
)  # fmt: skip
VALUES = SCALARS | WHOLE | st.lists(SCALARS, max_size=3)
METADATA = st.dictionaries(KEYS, VALUES, max_size=6)

_BOUNDS = SCALARS.filter(
    lambda one: isinstance(one, str | int | float) and one not in (True, False)
)
_OPERATIONS = st.one_of(
    *(st.fixed_dictionaries({operator: VALUES}) for operator in ("$eq", "$ne")),
    *(
        st.fixed_dictionaries({operator: st.lists(VALUES, max_size=4)})
        for operator in ("$in", "$nin")
    ),
    *(st.fixed_dictionaries({operator: _BOUNDS}) for operator in ("$gt", "$gte", "$lt", "$lte")),
    st.fixed_dictionaries({"$exists": st.booleans()}),
    st.builds(lambda low, high: {"$gte": low, "$lt": high}, _BOUNDS, _BOUNDS),
)
_ON_KEYS = st.dictionaries(KEYS, VALUES | _OPERATIONS, min_size=1, max_size=2)
FILTERS = st.recursive(
    _ON_KEYS,
    lambda inner: st.builds(
        lambda junction, branches, beside: {**beside, junction: branches},
        st.sampled_from(["$and", "$or"]),
        st.lists(inner, min_size=1, max_size=3),
        _ON_KEYS | st.just({}),
    ),
    max_leaves=6,
)


def examples(strategy: st.SearchStrategy[T], count: int) -> list[T]:
    """So many, other ones each time, the short ones first."""
    drawn: list[T] = []

    @settings(max_examples=count, database=None, suppress_health_check=list(HealthCheck))
    @given(strategy)
    def draw(one: T) -> None:
        drawn.append(one)

    draw()
    return sorted(drawn, key=lambda one: len(repr(one)))


def fits(metadata: Mapping[str, Json], condition: Mapping[str, Json]) -> bool:
    """Whether metadata fits a well-formed filter."""
    return all(_entry(metadata, name, stated) for name, stated in condition.items())


def _entry(metadata: Mapping[str, Json], name: str, stated: Json) -> bool:
    if name == "$and":
        return all(fits(metadata, one) for one in stated)
    if name == "$or":
        return any(fits(metadata, one) for one in stated)
    is_operation = isinstance(stated, dict) and any(key.startswith("$") for key in stated)
    operations = stated if is_operation else {"$eq": stated}
    return all(_holds(metadata, name, *operation) for operation in operations.items())


def _holds(metadata: Mapping[str, Json], key: str, operator: str, operand: Json) -> bool:
    if operator == "$exists":
        return (key in metadata) == operand
    if operator == "$ne":
        return not _holds(metadata, key, "$eq", operand)
    if operator == "$nin":
        return not _holds(metadata, key, "$in", operand)
    if key not in metadata:
        return False
    value = metadata[key]
    if operator == "$in":
        return any(_equals(value, one) for one in operand)
    if operator == "$eq":
        return _equals(value, operand)
    return any(_compares(one, operator, operand) for one in _alone_or_each(value))


def _equals(value: Json, operand: Json) -> bool:
    if isinstance(operand, dict | list):
        return _same(value, operand)
    return any(_same(one, operand) for one in _alone_or_each(value))


def _alone_or_each(value: Json) -> list[Json]:
    return value if isinstance(value, list) else [value]


def _compares(value: Json, operator: str, bound: Json) -> bool:
    if _kind(value) != _kind(bound):
        return False
    return bool(
        {
            "$gt": value > bound, "$gte": value >= bound,
            "$lt": value < bound, "$lte": value <= bound,
        }[operator]
    )  # fmt: skip


def _same(one: Json, other: Json) -> bool:
    if _kind(one) != _kind(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(_same, one, other))
    return bool(one == other)


def _kind(value: Json) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else type(value).__name__
