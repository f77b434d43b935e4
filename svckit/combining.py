"""One gRPC servicer out of parts, so that a large contract need not be one large class."""

from typing import Any


def combined(base: Any, *parts: object) -> Any:
    """A servicer whose methods are answered by those of `parts` that define them.

    `base` is the generated servicer; parts need not inherit it. A method that no part
    defines stays UNIMPLEMENTED, as in `base`. Raises TypeError where two parts define one
    method, or a part defines a method that the contract does not have.
    """
    methods: dict[str, Any] = {}
    for part in parts:
        # RPCs are named in capitals; what else a part offers, such as `drain`, is its own.
        for name in (name for name in dir(part) if name[:1].isupper()):
            if not hasattr(base, name):
                raise TypeError(f"{name} of {type(part).__name__} is no method of the contract")
            if name in methods:
                raise TypeError(f"{name} is defined by two parts")
            methods[name] = staticmethod(getattr(part, name))
    return type(base.__name__, (base,), methods)()
