"""What the schema's functions raise, as the errors of the domain."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from identity_svc.domain.erasure import PersonErasing
from identity_svc.domain.people import PersonNotFound
from svckit.errors import ServiceError, SqlError

Kinds = Mapping[str, Callable[[], ServiceError]]


@contextmanager
def told_as(kinds: Kinds) -> Iterator[None]:
    """Raise, for a SQLSTATE of `kinds`, what stands for it.

    That a person is not there, or is being erased, any function may say.
    """
    try:
        yield
    except SqlError as error:
        match error.code:
            case "ZI004":
                raise PersonNotFound(**error.detail) from error
            case "ZI020":
                raise PersonErasing(**error.detail) from error
            case code if code in kinds:
                raise kinds[code]() from error
        raise
