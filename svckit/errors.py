"""The kinds of errors that services raise; `rpc` turns each into a status, once.

An error of a service is a kind, a `reason` out of the service's `ErrorReason`, and a
constructor that fills message and metadata.
"""

from collections.abc import Sequence

# A path may hold keys out of the request, and statuses travel in headers of limited size.
_MOST_FIELD_CHARACTERS = 200


class ServiceError(Exception):
    """Something a caller is told about. `metadata` repeats the message's values.

    `retry_after` is in seconds; None where waiting alone does not help.
    """

    reason = "INTERNAL"
    retry_after: float | None = None

    def __init__(self, message: str, /, **metadata: object) -> None:
        super().__init__(message)
        self.message = message
        self.metadata = {key: str(value) for key, value in metadata.items()}


class InvalidRequest(ServiceError):
    """A field is malformed. `violations` are pairs of field path and what is wrong."""

    reason = "INVALID_ARGUMENT"

    def __init__(self, field: str, problem: str, *more: tuple[str, str]) -> None:
        if len(field) > _MOST_FIELD_CHARACTERS:
            field = field[: _MOST_FIELD_CHARACTERS - 1] + "…"
        super().__init__(f"{field}: {problem}")
        self.violations: Sequence[tuple[str, str]] = ((field, problem), *more)


class Unauthenticated(ServiceError):
    """A credential is missing or wrong."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(ServiceError):
    """The caller is known and may not do this."""


class NotFound(ServiceError):
    """What the request names is not there."""


class AlreadyExists(ServiceError):
    """What the request would make is there already."""


class Conflict(ServiceError):
    """The request does not fit what is stored."""


class FailedPrecondition(ServiceError):
    """The system is not in the state that the request needs."""


class ResourceExhausted(ServiceError):
    """A bound is reached; `retry_after` is in seconds."""

    reason = "OVERLOADED"

    def __init__(self, message: str, /, *, retry_after: float = 1.0, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after = retry_after


class Unavailable(ServiceError):
    """A backend cannot be reached; `retry_after` is in seconds."""

    reason = "STORE_UNAVAILABLE"

    def __init__(self, message: str, /, *, retry_after: float = 1.0, **metadata: object) -> None:
        super().__init__(message, **metadata)
        self.retry_after = retry_after


class DataLoss(ServiceError):
    """Something that was stored is gone, or not as it was; a person has to look."""


class SqlError(Exception):
    """A SQL function raised. Adapters translate the codes that they expect."""

    def __init__(self, code: str, message: str, detail: object = None) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.detail = detail if isinstance(detail, dict) else {}

    @property
    def is_about_data(self) -> bool:
        """Whether the arguments caused it, so that other arguments may succeed."""
        # Classes 22 (data exception), 23 (integrity), 54 (a limit of the store), Z (ours).
        return self.code[:2] in {"22", "23", "54"} or self.code.startswith("Z")


def is_about_data(error: BaseException) -> bool:
    """Whether a request itself caused the error, so that its neighbours may succeed."""
    if isinstance(error, SqlError):
        return error.is_about_data
    return isinstance(error, ServiceError) and not isinstance(
        error, Unavailable | ResourceExhausted | Unauthenticated
    )
