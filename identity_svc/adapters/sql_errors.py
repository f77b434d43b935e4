"""What the schema's functions raise, as the errors of the domain."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from identity_svc.domain.erasure import PersonErasing
from identity_svc.domain.people import PersonNotFound
from svckit.errors import ServiceError, SqlError

# By SQLSTATE; what they are called with is the error's DETAIL.
Kinds = Mapping[str, Callable[..., ServiceError]]
# What any function may say.
_OF_ANY: Kinds = {"ZI004": PersonNotFound, "ZI020": PersonErasing}


@contextmanager
def told_as(kinds: Kinds = _OF_ANY) -> Iterator[None]:
    """Raise, for a SQLSTATE of `kinds`, what stands for it.

    That a person is not there, or is being erased, is always told.
    """
    try:
        yield
    except SqlError as error:
        kind = kinds.get(error.code) or _OF_ANY.get(error.code)
        if kind is None:
            raise
        raise kind(**error.detail) from error
