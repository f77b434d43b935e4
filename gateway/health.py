"""What is known of the services, and whether requests should come here."""

import asyncio
import time
from collections.abc import Sequence

from gateway.channels import Channel

# Without these no message can be taken; without knowledge it can.
NEEDED = frozenset({"identity", "event"})
STARTING_SECONDS = 30.0


class Health:
    """Asks the services; says no as soon as this process is told to stop."""

    def __init__(self, channels: Sequence[Channel]) -> None:
        self._channels = channels
        self._since = time.monotonic()
        self._was_complete = False
        self.is_stopping = False

    async def services(self) -> dict[str, bool]:
        """Whether each service is serving."""
        answers = await asyncio.gather(*(channel.is_serving() for channel in self._channels))
        return {
            channel.name: answer for channel, answer in zip(self._channels, answers, strict=True)
        }

    def is_ready(self, services: dict[str, bool]) -> bool:
        """Whether this gateway should get requests.

        At the start it waits for all of the services, though not for ever; later on an
        outage of knowledge is survived, and must not take every gateway away.
        """
        self._was_complete |= all(services.values())
        is_starting = not self._was_complete and time.monotonic() - self._since < STARTING_SECONDS
        needed = services.keys() if is_starting else NEEDED
        return not self.is_stopping and all(services[name] for name in needed)
