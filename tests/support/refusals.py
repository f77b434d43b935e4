"""What callers of a service are told when a call fails."""

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_status import rpc_status

from svckit import rpc


@dataclass(frozen=True)
class Refusal:
    """What a caller is told."""

    code: grpc.StatusCode
    domain: str
    reason: str
    metadata: dict[str, str]
    fields: Sequence[str]
    retry_after: float | None
    message: str

    @classmethod
    def of(cls, status: status_pb2.Status) -> "Refusal":
        """The parts of a status."""
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        retry = error_details_pb2.RetryInfo()
        has_retry = False
        for detail in status.details:
            if not (detail.Unpack(info) or detail.Unpack(bad)):
                has_retry = detail.Unpack(retry)
        return cls(
            code=rpc.STATUS_CODES[status.code],
            domain=info.domain,
            reason=info.reason,
            metadata=dict(info.metadata),
            fields=[violation.field for violation in bad.field_violations],
            retry_after=retry.retry_delay.ToTimedelta().total_seconds() if has_retry else None,
            message=status.message,
        )


async def refusal_of(call: Awaitable[Any]) -> Refusal:
    """What a call that must fail fails with."""
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await call
    status = rpc_status.from_call(raised.value)
    assert status is not None, raised.value
    return Refusal.of(status)
