"""The contract's method on subscriptions."""

from collections.abc import AsyncIterator
from contextlib import aclosing

from event_svc.subscriptions import Subscriptions as Followers
from event_svc.wire import subscriptions as wire
from event_svc.wire.log import to_filter
from kith.event.v1 import event_service_pb2 as pb
from svckit import rpc


class Subscriptions:
    """The log, followed."""

    def __init__(self, followers: Followers) -> None:
        self._followers = followers

    async def SubscribeEvents(
        self, request: pb.SubscribeEventsRequest, context: rpc.Context
    ) -> AsyncIterator[pb.SubscribeEventsResponse]:
        chosen, start = to_filter(request.filter), wire.to_start(request)
        # Closed at once, not when it is collected, once the caller is gone.
        async with aclosing(self._followers.follow(chosen, start)) as deliveries:
            async for delivery in deliveries:
                yield wire.from_delivery(delivery)
