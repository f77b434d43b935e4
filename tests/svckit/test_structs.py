"""Free JSON on the wire: what survives the trip goes, the rest is refused by name."""

import math
from typing import Any

import pytest
from google.protobuf import struct_pb2
from hypothesis import given
from hypothesis import strategies as st

from svckit import fields, structs
from svckit.errors import InvalidRequest

text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=8)
numbers = st.integers(-(2**53), 2**53) | st.floats(-1e15, 1e15).map(
    lambda number: int(number) if number.is_integer() else number
)
json_values = st.recursive(
    st.none() | st.booleans() | text | numbers,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(text, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(text, json_values, max_size=5))
def test_json_comes_back_as_it_went(value: dict[str, Any]):
    struct = struct_pb2.Struct.FromString(structs.from_dict(value).SerializeToString())

    assert structs.to_dict(struct) == value
    structs.check(value, "metadata", most_bytes=1 << 20)


def test_integral_values_come_back_as_integers():
    struct = structs.from_dict({"age": 42.0})

    back = structs.to_dict(struct)

    assert type(back["age"]) is int


@pytest.mark.parametrize(
    ("value", "field"),
    [
        ({"a": {"b": [1, 2**53 + 1]}}, "metadata.a.b[1]"),
        ({"a": -(2**60)}, "metadata.a"),
        ({"a": math.nan}, "metadata.a"),
        ({"a": math.inf}, "metadata.a"),
        ({"a": 1e30}, "metadata.a"),
        ({"a": "x\0y"}, "metadata.a"),
        ({"a": ["ok", "\ud800"]}, "metadata.a[1]"),
        ({"\ud800": 1}, "metadata"),
        ({"a": object()}, "metadata.a"),
        ({"a": "x" * 200}, "metadata"),
    ],
)
def test_what_would_not_survive_is_refused_by_its_path(value: dict[str, Any], field: str):
    with pytest.raises(InvalidRequest) as raised:
        structs.check(value, "metadata", most_bytes=100)

    assert raised.value.violations[0][0] == field


def test_nesting_is_bounded():
    value: Any = 1
    for _ in range(structs.MOST_DEPTH + 1):
        value = [value]

    with pytest.raises(InvalidRequest, match="deep"):
        structs.check(value, "metadata", most_bytes=1000)


def test_timestamps_keep_microseconds_and_refuse_what_no_calendar_has():
    from kith.event.v1 import event_pb2

    event = event_pb2.NewEvent()
    event.occurred_at.FromJsonString("2026-11-21T10:20:30.123456789Z")
    outside = event_pb2.NewEvent()
    outside.occurred_at.seconds = 253_402_300_800

    moment = fields.timestamp(event, "event.occurred_at")

    assert moment == "2026-11-21T10:20:30.123456+00:00"
    assert fields.to_timestamp(moment).ToJsonString() == "2026-11-21T10:20:30.123456Z"
    assert fields.timestamp(event_pb2.NewEvent(), "event.occurred_at") is None
    with pytest.raises(InvalidRequest, match=r"event\.occurred_at"):
        fields.timestamp(outside, "event.occurred_at")
