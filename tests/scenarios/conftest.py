"""The services, and a gateway in front of them."""

from tests.support.clients import clients
from tests.support.stack import gateway, stack

__all__ = ["clients", "gateway", "stack"]
