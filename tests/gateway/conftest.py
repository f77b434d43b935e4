"""The services, and a gateway in front of them."""

from tests.support.stack import gateway, stack

__all__ = ["gateway", "stack"]
