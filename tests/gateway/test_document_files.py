"""A real file over HTTP, read by the real process, and found over HTTP."""

import httpx
import pytest

from knowledge_svc.extraction.process import ProcessExtractor
from tests.support import stack
from tests.support.cluster import Database
from tests.support.files import a_pdf
from tests.support.knowledge import eventually


async def test_a_pdf_is_uploaded_read_and_found_on_its_page(
    database: Database, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(stack, "SentenceExtractor", ProcessExtractor)
    pages = ["The first page.", "The walrus of Trondheim juggles marmalade jars.", "The last."]
    async with stack.running_stack(database) as services, services.gateway() as client:
        file = ("log.pdf", a_pdf(pages, title="A log"), "application/pdf")
        uploaded = await client.post("/v1/documents", files={"file": file})
        assert uploaded.status_code == 201, uploaded.text
        path = f"/v1/documents/{uploaded.json()['document_id']}"

        async def is_read() -> bool:
            return (await client.get(path)).json()["state"] == "succeeded"

        await eventually(is_read)
        document = (await client.get(path)).json()
        assert (document["pages"], document["title"], document["indexed"]) == (3, "A log", True)

        hit = await searched(client, "walrus marmalade")
        assert hit["content"] == pages[1]
        assert hit["document_id"] == document["document_id"]
        assert hit["place"]["page"] == 2
        assert (await client.get(f"{path}/content")).content == file[1]


async def searched(client: httpx.AsyncClient, query: str) -> dict[str, object]:
    answer = await client.post("/v1/search", json={"query": query})
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()["hits"][0]
    return found
