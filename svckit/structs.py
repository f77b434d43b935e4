"""Free JSON on the wire: `google.protobuf.Struct` to a dict and back, checked on the way.

A Struct has doubles only: integers beyond ±2^53 would change silently, so they are
refused, and integral values come back as integers.
"""

import math
from collections.abc import Mapping
from typing import Any

import orjson
from google.protobuf import struct_pb2

from svckit.errors import InvalidRequest

MOST_INTEGER = 2**53
MOST_DEPTH = 32


def check(value: Any, field: str, *, most_bytes: int | None, depth: int = MOST_DEPTH) -> None:
    """Raise InvalidRequest, naming the spot, unless value is JSON that survives the trip.

    None for `most_bytes` is for what is known to be small enough.
    """
    _check(value, field, depth)
    if most_bytes is not None and len(orjson.dumps(value)) > most_bytes:
        raise InvalidRequest(field, f"is larger than {most_bytes} bytes")


def _check(value: Any, field: str, depth: int) -> None:
    match value:
        case None | bool():
            return
        case str():
            check_text(value, field)
        case int():
            if abs(value) > MOST_INTEGER:
                raise InvalidRequest(field, "is an integer beyond 2^53; send it as a string")
        case float():
            if not math.isfinite(value):
                raise InvalidRequest(field, "is not a finite number")
            if value.is_integer() and abs(value) > MOST_INTEGER:
                raise InvalidRequest(field, "is an integer beyond 2^53; send it as a string")
        case dict() | list() if depth == 0:
            raise InvalidRequest(field, f"is nested more than {MOST_DEPTH} deep")
        case dict():
            for key, item in value.items():
                check_text(key, field)
                _check(item, f"{field}.{key}", depth - 1)
        case list():
            for index, item in enumerate(value):
                _check(item, f"{field}[{index}]", depth - 1)
        case _:
            raise InvalidRequest(field, "is not JSON")


def check_text(text: str, field: str) -> None:
    """Raise InvalidRequest for characters that no store keeps: NUL and lone surrogates."""
    if "\0" in text:
        # The field's path may hold the very character.
        raise InvalidRequest(field.replace("\0", "�"), "holds a NUL character")
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            shown = field.encode(errors="replace").decode()
            raise InvalidRequest(shown, "holds a lone surrogate") from None


def to_dict(struct: struct_pb2.Struct) -> dict[str, Any]:
    """A Struct as a dict; integral numbers come as int."""
    return {key: _to_python(value) for key, value in struct.fields.items()}


def _to_python(value: struct_pb2.Value) -> Any:
    match value.WhichOneof("kind"):
        case "string_value":
            return value.string_value
        case "number_value":
            number = value.number_value
            return int(number) if number.is_integer() and abs(number) <= MOST_INTEGER else number
        case "bool_value":
            return value.bool_value
        case "struct_value":
            return to_dict(value.struct_value)
        case "list_value":
            return [_to_python(item) for item in value.list_value.values]
        case _:
            return None


def from_dict(value: Mapping[str, Any] | None) -> struct_pb2.Struct:
    """A dict as a Struct."""
    struct = struct_pb2.Struct()
    if value:
        for key, item in value.items():
            _fill(struct.fields[key], item)
    return struct


def _fill(target: struct_pb2.Value, value: Any) -> None:
    match value:
        case None:
            target.null_value = struct_pb2.NULL_VALUE
        case str():
            target.string_value = value
        case bool():
            target.bool_value = value
        case int() | float():
            target.number_value = value
        case dict():
            target.struct_value.SetInParent()
            for key, item in value.items():
                _fill(target.struct_value.fields[key], item)
        case list():
            target.list_value.SetInParent()
            for item in value:
                _fill(target.list_value.values.add(), item)
        case _:
            raise TypeError(f"not JSON: {type(value).__name__}")
