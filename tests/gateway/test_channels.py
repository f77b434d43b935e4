"""What a service answers comes back as what it raised."""

from typing import Any

import pytest
from google.rpc import code_pb2, status_pb2

from gateway.channels import MessageTooLarge, RemoteError, answer_error
from gateway.errors import problem_of
from svckit import errors, rpc


class Missing(errors.NotFound):
    reason = "THING_NOT_FOUND"


class Changed(errors.Conflict):
    reason = "THING_CHANGED"


@pytest.mark.parametrize(
    ("raised", "status"),
    [
        (errors.InvalidRequest("a", "is bad", ("b.c", "is worse")), 400),
        (Missing("there is no thing 1", thing_id=1), 404),
        (Changed("it has changed"), 409),
        (errors.ResourceExhausted("too much", retry_after=2.5), 429),
        (errors.Unavailable("no store", retry_after=7), 503),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_survives_the_trip(raised: errors.ServiceError, status: int):
    back = answer_error(rpc.status_of(raised, "test.kith"), "test")

    assert isinstance(back, errors.ServiceError)
    assert (str(back), back.reason, back.metadata) == (str(raised), raised.reason, raised.metadata)
    for detail in ("violations", "retry_after"):
        assert list_of(getattr(back, detail, None)) == list_of(getattr(raised, detail, None))
    assert problem_of(back).status == status
    assert problem_of(back) == problem_of(raised)


def list_of(value: Any) -> Any:
    return list(value) if isinstance(value, tuple | list) else value


@pytest.mark.parametrize(
    ("code", "kind", "status"),
    [
        (code_pb2.UNAVAILABLE, errors.Unavailable, 503),
        (code_pb2.CANCELLED, errors.Unavailable, 503),
        (code_pb2.DEADLINE_EXCEEDED, TimeoutError, 504),
        (code_pb2.RESOURCE_EXHAUSTED, MessageTooLarge, 500),
        (code_pb2.INTERNAL, RemoteError, 500),
        (code_pb2.UNKNOWN, RemoteError, 500),
        (code_pb2.UNIMPLEMENTED, RemoteError, 500),
    ],
)
def test_what_no_service_said_tells_nothing(code: int, kind: type[Exception], status: int):
    error = answer_error(status_pb2.Status(code=code, message="ipv4:10.0.0.1 secret"), "event")

    assert isinstance(error, kind)
    problem = problem_of(error)
    assert problem.status == status
    assert "secret" not in problem.detail and "10.0.0.1" not in problem.detail


def test_a_refused_token_is_our_fault_and_not_the_clients():
    refused = rpc.status_of(errors.Unauthenticated("the service token is wrong"), "event.kith")

    problem = problem_of(answer_error(refused, "event"))

    assert (problem.status, problem.detail) == (500, "internal error")
