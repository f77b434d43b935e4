"""What the command says instead of a traceback."""


class Failure(Exception):
    """Something that the person at the terminal can put right; its text is one clear line."""

    def __init__(self, text: str, *, exit_status: int = 1) -> None:
        super().__init__(text)
        self.exit_status = exit_status
