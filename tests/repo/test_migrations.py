"""What databases have applied never changes: they would refuse to start with the code."""

import hashlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
# As sha256sum has it; whoever releases migrations adds their lines.
RELEASED = Path(__file__).with_name("released_migrations.sha256")


def test_released_migrations_are_as_they_were():
    lines = RELEASED.read_text().splitlines()
    released = {path: checksum for checksum, path in (line.split() for line in lines)}

    now = {path: hashlib.sha256((ROOT / path).read_bytes()).hexdigest() for path in released}

    assert now == released
