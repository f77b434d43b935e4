"""What the knowledge process makes of its environment."""

import pytest

from knowledge_svc.__main__ import choose_embedder, choose_index
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.settings import Settings
from svckit import settings
from tests.support.services import store_of


@pytest.fixture(autouse=True)
def database_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KITH_DATABASE_URL", "postgresql://kith@localhost/kith")


async def test_without_further_ado_everything_is_local(monkeypatch, database):
    monkeypatch.setenv("PINECONE_API_KEY", "for another program")
    monkeypatch.setenv("VOYAGE_API_KEY", "for another program")

    chosen = settings.load(Settings, "knowledge")

    assert (str(chosen.bind), str(chosen.metrics_bind)) == ("127.0.0.1:50053", "127.0.0.1:9103")
    assert isinstance(choose_embedder(chosen), WordLlamaEmbedder)
    async with store_of(database, "knowledge") as store:
        assert isinstance(choose_index(chosen, store), PgvectorIndex)


@pytest.mark.parametrize("variable", ["KITH_VECTORS", "KITH_EMBEDDER"])
def test_a_backend_that_does_not_exist_ends_the_start_by_name(monkeypatch, capsys, variable):
    monkeypatch.setenv(variable, "abacus")

    with pytest.raises(SystemExit):
        settings.load(Settings, "knowledge")

    assert capsys.readouterr().err.startswith(f"kith knowledge: {variable}: ")
