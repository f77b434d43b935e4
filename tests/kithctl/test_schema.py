"""`kith schema` brings all three schemas up to date, and `--check` only looks."""

import os
import subprocess
import sys

from svckit import migrate
from tests.support.cluster import SERVICES, Cluster


def kith_schema(url: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "kithctl", "schema", *options],
        env={**os.environ, "KITH_DATABASE_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_an_empty_database_gets_every_schema_and_a_second_run_changes_nothing(cluster: Cluster):
    with cluster.database(template="template0") as database:
        before = kith_schema(database.url(), "--check")
        first = kith_schema(database.url())
        second = kith_schema(database.url())
        after = kith_schema(database.url(), "--check")
        versions = {
            name: cluster.run(migrate.installed_version(database.url(), name))
            for name in SERVICES.values()
        }

    assert before.returncode == 1
    assert "run `kith schema`" in before.stderr
    assert (first.returncode, second.returncode, after.returncode) == (0, 0, 0), first.stderr
    assert first.stdout == second.stdout
    assert versions == {name: migrate.files(p)[-1][0] for p, name in SERVICES.items()}


def test_a_role_that_may_not_migrate_is_told_in_one_line(cluster: Cluster):
    with cluster.database(template="template0") as database:
        refused = kith_schema(database.url("kith_event"))

    assert refused.returncode == 1
    assert refused.stderr.count("\n") == 1
    assert "Traceback" not in refused.stderr


def test_a_url_that_cannot_be_read_is_refused_without_a_word_of_it():
    for options in ((), ("--check",)):
        refused = kith_schema("postgresql://kith:hun/ter@localhost/kith", *options)

        assert refused.returncode == 1
        assert refused.stderr.count("\n") == 1
        assert "KITH_DATABASE_URL" in refused.stderr
        assert "hun" not in refused.stderr
