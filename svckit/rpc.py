"""The one table from errors to gRPC statuses, and back from a status to its parts."""

from typing import Any

import grpc
from google.protobuf import any_pb2, duration_pb2
from google.protobuf.message import Message
from google.rpc import code_pb2, error_details_pb2, status_pb2

from svckit import errors, logs

log = logs.get(__name__)

Context = grpc.aio.ServicerContext[Any, Any]

CODES: dict[type[errors.ServiceError], int] = {
    errors.InvalidRequest: code_pb2.INVALID_ARGUMENT,
    errors.Unauthenticated: code_pb2.UNAUTHENTICATED,
    errors.PermissionDenied: code_pb2.PERMISSION_DENIED,
    errors.NotFound: code_pb2.NOT_FOUND,
    errors.AlreadyExists: code_pb2.ALREADY_EXISTS,
    errors.Conflict: code_pb2.ABORTED,
    errors.FailedPrecondition: code_pb2.FAILED_PRECONDITION,
    errors.ResourceExhausted: code_pb2.RESOURCE_EXHAUSTED,
    errors.Unavailable: code_pb2.UNAVAILABLE,
    errors.DataLoss: code_pb2.DATA_LOSS,
}

STATUS_CODES = {code.value[0]: code for code in grpc.StatusCode}


def code_of(error: BaseException) -> str:
    """The name of the code that an error is answered with."""
    if isinstance(error, errors.SqlError) and error.is_about_data:
        return "INVALID_ARGUMENT"
    for kind, code in CODES.items():
        if isinstance(error, kind):
            return STATUS_CODES[code].name
    return "INTERNAL"


def status_of(error: BaseException, domain: str) -> status_pb2.Status:
    """The status that a caller sees for an error.

    Anything but a ServiceError is INTERNAL with no word of its own text; the traceback
    goes to the log.
    """
    if isinstance(error, errors.SqlError) and error.is_about_data:
        # Validation let it pass, the store did not; the text names the store's parts.
        log.warning("the store refused the data of a request", code=error.code, text=error.message)
        error = errors.InvalidRequest("request", "holds a value that cannot be stored")
    if not isinstance(error, errors.ServiceError):
        log.error("unexpected error", exc_info=error)
        return status_pb2.Status(code=code_pb2.INTERNAL, message="internal error")

    code = next((code for kind, code in CODES.items() if isinstance(error, kind)))
    details = [
        error_details_pb2.ErrorInfo(reason=error.reason, domain=domain, metadata=error.metadata),
        *_details_of(error),
    ]
    return status_pb2.Status(
        code=code, message=error.message, details=[_packed(detail) for detail in details]
    )


def _details_of(error: errors.ServiceError) -> list[Message]:
    """What the caller may act on besides the reason: the bad fields, when to come back."""
    if isinstance(error, errors.InvalidRequest):
        violations = [
            error_details_pb2.BadRequest.FieldViolation(field=field, description=problem)
            for field, problem in error.violations
        ]
        return [error_details_pb2.BadRequest(field_violations=violations)]
    if error.retry_after is not None:
        delay = duration_pb2.Duration()
        delay.FromNanoseconds(int(error.retry_after * 1e9))
        return [error_details_pb2.RetryInfo(retry_delay=delay)]
    return []


def _packed(message: Message) -> any_pb2.Any:
    packed = any_pb2.Any()
    packed.Pack(message)
    return packed
