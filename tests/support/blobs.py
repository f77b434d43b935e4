"""Folders of local state for tests, with original files: one for each database."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from knowledge_svc.adapters.local_blobs import LocalBlobs
from tests.support.cluster import Database


@cache
def _folder() -> "TemporaryDirectory[str]":
    # Kept by the cache, so that it goes when the process ends.
    return TemporaryDirectory(prefix="kith-home-")


def folder_of(database: Database) -> Path:
    """What `KITH_HOME` would be."""
    return Path(_folder().name) / database.name


def blobs_of(database: Database) -> LocalBlobs:
    """The same folder for each replica over a database."""
    return LocalBlobs(folder_of(database) / "blobs")
