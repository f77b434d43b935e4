"""What the knowledge process makes of its environment."""

from collections.abc import AsyncIterator, Callable

import pytest

from knowledge_svc import __main__ as process
from knowledge_svc.adapters.pgvector import PgvectorIndex
from knowledge_svc.adapters.pinecone import PineconeIndex
from knowledge_svc.adapters.remembering import RememberingEmbedder
from knowledge_svc.adapters.voyage import VoyageReranker
from knowledge_svc.adapters.wordllama import WordLlamaEmbedder
from knowledge_svc.backends import open_backends
from knowledge_svc.domain.backends import Misconfigured
from knowledge_svc.settings import Settings
from svckit import logs, settings
from tests.support import pinecone, voyage
from tests.support.services import store_of

Environment = Callable[..., None]
Clouds = tuple[pinecone.Pinecone, voyage.Voyage]


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> Environment:
    """Sets variables; to begin with, there is a database and nothing else."""
    monkeypatch.setenv("KITH_DATABASE_URL", "postgresql://kith@localhost/kith")

    def given(**variables: str) -> None:
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return given


@pytest.fixture
async def clouds(
    environment: Environment,
) -> AsyncIterator[Clouds]:
    """Both hosted backends, and the variables that choose them."""
    index, model = pinecone.Pinecone(), voyage.Voyage()
    async with index.running() as index_url, model.running() as model_url:
        environment(
            PINECONE_CONTROLLER_HOST=index_url, PINECONE_API_KEY=pinecone.KEY,
            PINECONE_INDEX="kith", VOYAGE_API_KEY=voyage.KEY, KITH_VOYAGE_URL=model_url,
            KITH_VOYAGE_DIMENSION="256",
        )  # fmt: skip
        yield index, model


def chosen() -> Settings:
    return settings.load(Settings, "knowledge")


async def test_without_further_ado_everything_is_local(database):
    assert (str(chosen().bind), str(chosen().metrics_bind)) == ("127.0.0.1:50053", "127.0.0.1:9103")
    async with store_of(database, "knowledge") as store, open_backends(chosen(), store) as backends:
        assert isinstance(backends.embedder, WordLlamaEmbedder)
        assert isinstance(backends.index, PgvectorIndex)
        assert backends.reranker is None


async def test_keys_choose_the_hosted_backends(database, clouds):
    index, _ = clouds
    index.add("kith", 256)

    async with store_of(database, "knowledge") as store, open_backends(chosen(), store) as backends:
        assert isinstance(backends.embedder, RememberingEmbedder)
        assert isinstance(backends.index, PineconeIndex)
        assert isinstance(backends.reranker, VoyageReranker)
        assert (backends.embedder.model, backends.embedder.dimension) == ("voyage-4", 256)


async def test_a_next_embedder_stands_beside_the_present_one(database, clouds, environment):
    environment(
        KITH_VECTORS="pgvector", KITH_EMBEDDER="wordllama", KITH_NEXT_EMBEDDER="voyage",
        KITH_NEXT_VOYAGE_MODEL="voyage-4-large", KITH_NEXT_VOYAGE_DIMENSION="512",
    )  # fmt: skip

    async with store_of(database, "knowledge") as store, open_backends(chosen(), store) as backends:
        assert isinstance(backends.embedder, WordLlamaEmbedder)
        following = backends.next_embedder
        assert following is not None
        assert (following.model, following.dimension) == ("voyage-4-large", 512)


async def test_local_backends_can_be_forced_where_there_are_keys(database, clouds, environment):
    environment(KITH_VECTORS="pgvector", KITH_EMBEDDER="wordllama")

    async with store_of(database, "knowledge") as store, open_backends(chosen(), store) as backends:
        assert isinstance(backends.embedder, WordLlamaEmbedder)
        assert isinstance(backends.index, PgvectorIndex)
    assert clouds[0].requests == []
    assert clouds[1].asked == []


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"KITH_VECTORS": "abacus"}, "KITH_VECTORS"),
        ({"KITH_EMBEDDER": "abacus"}, "KITH_EMBEDDER"),
        ({"KITH_VECTORS": "pinecone"}, "PINECONE_API_KEY"),
        ({"PINECONE_API_KEY": "pcsk_secret"}, "PINECONE_INDEX"),
        ({"PINECONE_API_KEY": "pcsk_secret", "PINECONE_INDEX": "No Name"}, "PINECONE_INDEX"),
        ({"PINECONE_API_KEY": "pcsk_secret\n", "PINECONE_INDEX": "kith"}, "PINECONE_API_KEY"),
        ({"KITH_EMBEDDER": "voyage"}, "VOYAGE_API_KEY"),
        ({"VOYAGE_API_KEY": "pa secret"}, "VOYAGE_API_KEY"),
        ({"VOYAGE_API_KEY": "secret", "KITH_VOYAGE_DIMENSION": "1000"}, "KITH_VOYAGE_DIMENSION"),
        ({"VOYAGE_API_KEY": "secret", "KITH_VOYAGE_DIMENSION": "2048"}, "KITH_VOYAGE_DIMENSION"),
        ({"VOYAGE_API_KEY": "secret", "KITH_VOYAGE_MODEL": "../x"}, "KITH_VOYAGE_MODEL"),
        ({"KITH_NEXT_EMBEDDER": "abacus"}, "KITH_NEXT_EMBEDDER"),
        ({"KITH_NEXT_EMBEDDER": "voyage"}, "KITH_NEXT_VOYAGE_MODEL"),
        ({"KITH_NEXT_VOYAGE_MODEL": "voyage-4"}, "KITH_NEXT_EMBEDDER"),
        ({"KITH_NEXT_VOYAGE_DIMENSION": "256"}, "KITH_NEXT_EMBEDDER"),
        ({"KITH_NEXT_EMBEDDER": "wordllama", "KITH_NEXT_VOYAGE_MODEL": "v"}, "KITH_NEXT_EMBEDDER"),
        (
            {"KITH_NEXT_EMBEDDER": "voyage", "KITH_NEXT_VOYAGE_MODEL": "voyage-4"},
            "VOYAGE_API_KEY",
        ),
        (
            {
                "KITH_NEXT_EMBEDDER": "voyage",
                "KITH_NEXT_VOYAGE_MODEL": "voyage-4",
                "VOYAGE_API_KEY": "secret",
                "KITH_NEXT_VOYAGE_DIMENSION": "2048",
            },
            "KITH_NEXT_VOYAGE_DIMENSION",
        ),
    ],
)
def test_a_wrong_or_half_given_configuration_ends_the_start_by_name(
    environment, capsys, given, named
):
    environment(**given)

    with pytest.raises(SystemExit) as ended:
        chosen()

    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.startswith(f"kith knowledge: {named}: ")
    assert said.count("\n") == 1
    assert "secret" not in said


async def test_an_index_that_is_missing_is_made(database, clouds):
    index, _ = clouds

    async with store_of(database, "knowledge") as store, open_backends(chosen(), store):
        pass

    assert index.indexes["kith"].fields == {
        "embedding": {"type": "dense_vector", "dimension": 256, "metric": "cosine"}
    }


@pytest.mark.parametrize(
    ("there", "given", "said"),
    [
        ({"dimension": 1024}, {}, "PINECONE_INDEX: kith holds vectors of 1024 dimensions, "
         "voyage-4 makes 256"),
        ({"dimension": 256, "metric": "euclidean"}, {}, "PINECONE_INDEX: kith compares by"),
        ({"dimension": 256, "vector": "_values"}, {}, "PINECONE_INDEX: kith is no document index"),
        ({"dimension": 256}, {"PINECONE_API_KEY": "pcsk_wrong"}, "PINECONE_API_KEY: "),
        ({"dimension": 256}, {"PINECONE_HOST": "nowhere"}, "PINECONE_HOST: "),
        ({"dimension": 256}, {"PINECONE_INDEX": "new", "PINECONE_REGION": "nowhere"},
         "PINECONE_INDEX, PINECONE_CLOUD, PINECONE_REGION: "),
        ({"dimension": 256}, {"VOYAGE_API_KEY": "pa-wrong"}, "VOYAGE_API_KEY: "),
        ({"dimension": 256}, {"KITH_VOYAGE_MODEL": "voyage-9"}, "KITH_VOYAGE_MODEL"),
    ],
)  # fmt: skip
async def test_what_does_not_fit_the_backend_ends_the_start_by_name(
    monkeypatch, capsys, database, clouds, environment, there, given, said
):
    monkeypatch.setattr(logs, "configure", lambda *_: None)
    clouds[0].add("kith", **there)
    environment(KITH_DATABASE_URL=database.url("kith_knowledge"), **given)

    with pytest.raises(SystemExit) as ended:
        await process.main()

    printed = capsys.readouterr().err
    assert ended.value.code == 2
    assert printed.startswith(f"kith knowledge: {said}")
    assert printed.count("\n") == 1
    assert "wrong" not in printed


async def test_an_index_at_an_address_is_checked_without_the_control_plane(
    database, clouds, environment
):
    index, _ = clouds
    index.add("other", 1024)
    environment(PINECONE_HOST=f"{index.url}/data/other")

    async with store_of(database, "knowledge") as store:
        with pytest.raises(Misconfigured, match=r"PINECONE_HOST: .* 1024"):
            async with open_backends(chosen(), store):
                pass
        index.add("other", 256)
        async with open_backends(chosen(), store):
            pass

    assert {name for name, _ in index.requests} == {"describe_index_stats"}


async def test_the_process_searches_with_the_reranker_that_was_chosen(
    monkeypatch, database, clouds, environment
):
    assembled = []

    def note(*parts: object) -> None:
        assembled.append(parts)

    async def served(*_: object) -> None:
        pass

    monkeypatch.setattr(logs, "configure", lambda *_: None)
    monkeypatch.setattr(process, "assemble", note)
    monkeypatch.setattr(process.serve, "run", served)
    environment(KITH_DATABASE_URL=database.url("kith_knowledge"))

    await process.main()

    [(_, backends)] = assembled
    assert isinstance(backends.embedder, RememberingEmbedder)
    assert isinstance(backends.index, PineconeIndex)
    assert isinstance(backends.reranker, VoyageReranker)


async def test_backends_that_are_away_do_not_end_the_start(database, clouds):
    for backend in clouds:
        backend.down = 503

    async with store_of(database, "knowledge") as store, open_backends(chosen(), store) as backends:
        assert isinstance(backends.index, PineconeIndex)


async def test_an_extra_that_is_not_installed_ends_the_start_with_how_to_get_it(
    monkeypatch, database, clouds
):
    monkeypatch.setattr("knowledge_svc.backends.find_spec", lambda name: None)

    async with store_of(database, "knowledge") as store:
        with pytest.raises(Misconfigured, match=r"pip install 'kith\[voyage\]'"):
            async with open_backends(chosen(), store):
                pass
