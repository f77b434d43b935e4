"""What is wrong on the wire is looked for within bounds."""

import time

import pytest

from kith.identity.v1 import identity_service_pb2 as pb
from svckit import wirecheck
from svckit.errors import InvalidRequest

parse = wirecheck.parser(pb.RegisterPersonRequest.FromString)

BAD_PLATFORM = b"\x0a\x03a\xff\x62"
UNKNOWN_NUMBER = b"\x78\x01"


def test_the_field_is_found_behind_many_others():
    with pytest.raises(InvalidRequest, match="platform: is not valid UTF-8"):
        parse(UNKNOWN_NUMBER * 10_000 + BAD_PLATFORM)


def test_a_large_message_is_refused_without_a_long_search():
    wire = UNKNOWN_NUMBER * 8_000_000 + BAD_PLATFORM
    started = time.process_time()

    with pytest.raises(InvalidRequest, match="request: is not a valid message"):
        parse(wire)

    assert time.process_time() - started < 1.0
