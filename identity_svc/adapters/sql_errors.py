"""What the schema's functions raise, as the errors of the domain."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from identity_svc.domain.people import PersonNotFound
from svckit.errors import ServiceError, SqlError


@contextmanager
def told_as(kinds: Mapping[str, Callable[[], ServiceError]]) -> Iterator[None]:
    """Raise, for a SQLSTATE of `kinds`, what stands for it; an unknown person always is one."""
    try:
        yield
    except SqlError as error:
        if error.code == "ZI004":
            raise PersonNotFound(str(error.detail["person_id"])) from error
        if error.code in kinds:
            raise kinds[error.code]() from error
        raise
