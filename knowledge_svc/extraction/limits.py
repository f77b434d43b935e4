"""How much one document may cost."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds on one process that reads a file, and on what comes out of it.

    `seconds` is both processor time and time that the service waits for it; memory is address
    space. `workers` is how many files are read at once.
    """

    seconds: float = 120.0
    memory_mebibytes: int = 512
    workers: int = 2
    # Longer than books are. Real pages take a millisecond each, hostile ones what they like.
    pages: int = 5_000
    # The greatest document, 50 MiB, fits as plain text: 62,000 full chunks, and twice as many of
    # paragraphs that fit into a chunk one by one and not two by two.
    chunks: int = 200_000
    characters: int = 64_000_000
    # Of an archive, by its own word and while it is unpacked.
    unpacked_bytes: int = 512 << 20
