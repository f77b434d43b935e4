"""A database from before spaces had queues of their own goes on with what it has."""

from collections.abc import Iterator

import pytest

from knowledge_svc.domain.items import space_of
from svckit import migrate
from tests.support.cluster import Cluster, Database
from tests.support.embedders import NamedEmbedder
from tests.support.knowledge import as_administrator
from tests.support.reindexing import contents, name_of, replica, settled, vectors

OLD, NEW = NamedEmbedder("old", 16), NamedEmbedder("new", 24)
_BEFORE = 8
_ITEMS = """
WITH item AS (
    INSERT INTO knowledge.knowledge_items (
        knowledge_id, revision, occurred_at, owner, term_total, namespace, content_hash, body_hash,
        terms, term_counts, metadata, content, deleted_at)
    SELECT gen_random_uuid(), nextval('knowledge.revisions'), now(), gen_random_uuid(), 0,
           'default', n::text::bytea, '', '{}', '{}', '{}', 'text ' || n,
           CASE n WHEN 3 THEN now() END
    FROM generate_series(1, 3) n RETURNING knowledge_id, revision, content
)
INSERT INTO knowledge.index_states (knowledge_id, revision, state, embedding_model)
SELECT knowledge_id, revision,
       CASE content WHEN 'text 1' THEN 'indexed' WHEN 'text 2' THEN 'pending' ELSE 'deleting' END,
       CASE content WHEN 'text 1' THEN 'old' END
FROM item
"""


@pytest.fixture
def blank(cluster: Cluster) -> Iterator[Database]:
    with cluster.database("template1") as database:
        yield database


async def test_items_and_queue_of_an_older_database_are_those_of_the_space_that_served(
    blank: Database, monkeypatch: pytest.MonkeyPatch
):
    files = migrate.files
    monkeypatch.setattr(migrate, "files", lambda package: files(package)[:_BEFORE])
    assert await migrate.migrate(blank.url(), "knowledge_svc", "knowledge") == _BEFORE
    space = space_of(OLD.model, OLD.dimension)
    async with as_administrator(blank) as admin:
        for call in (
            f"ensure_space('{space.name}', 'old', 16, '{space.chunker}')",
            f"create_vectors('{space.name}', 16)",
        ):
            await admin.execute(f"SELECT knowledge.{call}")
        await admin.execute(_ITEMS)
    monkeypatch.undo()
    await migrate.migrate(blank.url(), "knowledge_svc", "knowledge")

    async with replica(blank, OLD, NEW) as one:
        await settled(blank)
        await one.start()
        await one.caught_up()
        await one.cut_over(name_of(NEW))
        found = await one.meant("text 2")

    assert found.hits[0].item.content == "text 2"
    said = await contents(blank)
    assert sorted(said.values()) == ["text 1", "text 2"]
    assert (await vectors(blank, name_of(NEW))).keys() == said.keys()
