"""What may be wrong with a vendor's backend that no second try mends."""


class Misconfigured(RuntimeError):
    """A setting does not fit what the backend says; the message names the variable."""


class Refused(Exception):
    """A backend does not take what it was given; other texts or vectors may be fine."""
