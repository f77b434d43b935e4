"""One running `kith up` for each home."""

import os
from pathlib import Path

import pytest

from kithctl.claim import claim
from kithctl.failure import Failure

RUNNING = {"processes": {"gateway": {"address": "127.0.0.1:1234"}, "postgres": {"pid": 1}}}


def test_a_second_start_is_told_who_runs_and_where(tmp_path: Path):
    with claim(tmp_path) as first:
        first.publish(RUNNING)

        with pytest.raises(Failure) as raised, claim(tmp_path):
            pass

    assert str(raised.value) == (
        f"kith is already running in {tmp_path} (pid {os.getpid()}): gateway 127.0.0.1:1234"
    )


def test_a_second_start_during_the_first_is_told_so(tmp_path: Path):
    with claim(tmp_path), pytest.raises(Failure, match="already starting"), claim(tmp_path):
        pass


def test_a_refused_start_changes_nothing(tmp_path: Path):
    with claim(tmp_path) as first:
        first.publish(RUNNING)
        with pytest.raises(Failure), claim(tmp_path):
            pass

        assert (tmp_path / "addresses.json").exists()
        assert (tmp_path / "lock").read_text() == str(os.getpid())


def test_nothing_is_said_once_it_has_ended(tmp_path: Path):
    with claim(tmp_path) as first:
        first.publish(RUNNING)

    assert not (tmp_path / "addresses.json").exists()
    assert (tmp_path / "lock").read_text() == ""
    with claim(tmp_path):
        pass


def test_what_a_killed_one_has_left_is_not_believed(tmp_path: Path):
    (tmp_path / "addresses.json").write_text("{}")
    (tmp_path / "lock").write_text("4711")

    with claim(tmp_path):
        assert not (tmp_path / "addresses.json").exists()
        assert (tmp_path / "lock").read_text() == str(os.getpid())
