"""/v1/documents: files in and out over HTTP."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import unquote

import httpx
import pytest

from tests.support.documents import TEXT
from tests.support.knowledge import eventually
from tests.support.messages import Body, problem
from tests.support.stack import Stack

NOBODY = "0192d3a4-7c1e-7b52-9f10-5a0c6d1e2f30"


async def upload(
    client: httpx.AsyncClient, data: bytes | str = TEXT, *, name: str = "notes.txt",
    media_type: str = "text/plain", **form: Any,
) -> httpx.Response:  # fmt: skip
    data = data.encode() if isinstance(data, str) else data
    return await client.post("/v1/documents", data=form, files={"file": (name, data, media_type)})


def bad_fields(answer: httpx.Response) -> list[str]:
    return [error["field"] for error in answer.json().get("errors", [])]


async def uploaded(client: httpx.AsyncClient, *given: Any, **form: Any) -> Body:
    answer = await upload(client, *given, **form)
    assert answer.status_code == 201, answer.text
    body: Body = answer.json()
    return body


async def register(client: httpx.AsyncClient, platform_id: str = "ada", **more: Any) -> str:
    body = {"platform": "discord", "platform_id": platform_id, **more}
    return str((await client.post("/v1/register", json=body)).json()["person_id"])


async def test_an_upload_is_kept_read_found_and_given_back(gateway: httpx.AsyncClient):
    person = await register(gateway)

    document = await uploaded(
        gateway, person_id=person, namespace="notes", key="diary", metadata='{"year": 1896}',
        occurred_at="2026-03-01T09:30:00Z", sha256=hashlib.sha256(TEXT.encode()).hexdigest(),
    )  # fmt: skip

    expected = {
        "key": "diary", "version": 1, "is_latest": True, "filename": "notes.txt",
        "media_type": "text/plain", "size": len(TEXT), "namespace": "notes",
        "metadata": {"year": 1896}, "person_id": person, "occurred_at": "2026-03-01T09:30:00Z",
        "failure": None, "group_id": None, "session_id": None, "platform": None,
        "sha256": hashlib.sha256(TEXT.encode()).hexdigest(),
    }  # fmt: skip
    assert {name: document[name] for name in expected} == expected
    path = f"/v1/documents/{document['document_id']}"

    async def read() -> Body | None:
        body: Body = (await gateway.get(path)).json()
        return body if body["state"] == "succeeded" else None

    assert (await eventually(read))["chunks"] == 3
    search = {"query": "who mends nets", "person_id": person, "mode": "keyword"}
    hits = (await gateway.post("/v1/search", json=search)).json()["hits"]
    [hit] = hits
    assert (hit["content"], hit["document_id"]) == (
        "Her brother mends nets.", document["document_id"],
    )  # fmt: skip
    assert hit["place"] == {
        "chunk_number": 1, "page": None, "start": 0, "end": len("Her brother mends nets"),
        "speakers": [], "seconds": None,
    }  # fmt: skip
    content = await gateway.get(f"{path}/content")
    assert content.text == TEXT
    assert content.headers["content-length"] == str(len(TEXT))


async def test_a_repeat_is_200_and_the_same_document(gateway: httpx.AsyncClient):
    first, again = await upload(gateway), await upload(gateway)

    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json()["document_id"] == again.json()["document_id"]


async def test_the_sender_of_a_platform_owns_what_they_send(gateway: httpx.AsyncClient):
    person = await register(gateway)

    document = await uploaded(gateway, platform="discord", sender_id="ada", session_id="talk")

    assert (document["person_id"], document["platform"]) == (person, "discord")
    assert document["session_id"]
    listed = (await gateway.get("/v1/documents", params={"person_id": person})).json()
    assert [each["document_id"] for each in listed["documents"]] == [document["document_id"]]


WRONG: list[tuple[Body, int, str, list[str]]] = [
        ({"person_id": "x"}, 400, "INVALID_ARGUMENT", ["person_id"]),
        ({"person_id": NOBODY}, 404, "PERSON_NOT_FOUND", []),
        ({"platform": "discord", "sender_id": "x"}, 404, "LINK_NOT_FOUND", []),
        ({"sender_id": "ada"}, 400, "INVALID_ARGUMENT", ["platform"]),
        ({"platform": "telegram", "sender_id": "@"}, 400, "INVALID_ARGUMENT", ["sender_id"]),
        ({"person_id": NOBODY, "platform": "a", "sender_id": "b"}, 400, "INVALID_ARGUMENT",
         ["sender_id"]),
        ({"namespace": "a b"}, 400, "INVALID_ARGUMENT", ["namespace"]),
        ({"key": "k" * 513}, 400, "INVALID_ARGUMENT", ["key"]),
        ({"filename": " "}, 400, "INVALID_ARGUMENT", ["filename"]),
        ({"filename": "f" * 256}, 400, "INVALID_ARGUMENT", ["filename"]),
        ({"media_type": "nonsense"}, 400, "INVALID_ARGUMENT", ["media_type"]),
        ({"media_type": "application/pdf"}, 400, "MEDIA_TYPE_MISMATCH", ["media_type"]),
        ({"metadata": "{"}, 400, "INVALID_ARGUMENT", ["metadata"]),
        ({"metadata": "[1]"}, 400, "INVALID_ARGUMENT", ["metadata"]),
        ({"occurred_at": "yesterday"}, 400, "INVALID_ARGUMENT", ["occurred_at"]),
        ({"group_id": "g"}, 400, "INVALID_ARGUMENT", ["group_id"]),
        ({"session_id": "talk"}, 400, "INVALID_ARGUMENT", ["platform"]),
        ({"sha256": "00"}, 400, "INVALID_ARGUMENT", ["sha256"]),
        ({"sha256": "0" * 64}, 400, "CHECKSUM_MISMATCH", ["sha256"]),
        ({"colour": "red"}, 400, "INVALID_ARGUMENT", ["colour"]),
]  # fmt: skip


async def test_what_is_wrong_with_a_field_is_told(gateway: httpx.AsyncClient):
    for form, status, reason, bad in WRONG:
        answer = await upload(gateway, **form)

        assert (answer.status_code, problem(answer)["reason"]) == (status, reason), (
            form,
            answer.text,
        )
        assert bad_fields(answer) == bad
    assert (await gateway.get("/v1/documents")).json()["documents"] == []


BOUNDARY = "multipart/form-data; boundary=x"
FILE = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nHi.\r\n'
FIELD = b'--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nk\r\n'


FORMS: list[tuple[str, bytes, int, list[str]]] = [
        (BOUNDARY, FILE + b"--x--\r\n", 201, []),
        (BOUNDARY, FIELD + FILE + b"--x--\r\n", 201, []),
        (BOUNDARY, FILE + FIELD + b"--x--\r\n", 400, ["key"]),
        (BOUNDARY, FILE + FILE + b"--x--\r\n", 400, ["file"]),
        (BOUNDARY, FIELD + FIELD + FILE + b"--x--\r\n", 400, ["key"]),
        (BOUNDARY, FIELD + b"--x--\r\n", 400, ["file"]),
        (BOUNDARY, FILE, 400, ["body"]),
        (BOUNDARY, FILE[:-9], 400, ["body"]),
        (BOUNDARY, b"", 400, ["body"]),
        (BOUNDARY, b"nonsense" * 99, 400, ["body"]),
        (BOUNDARY, b'--x\r\nContent-Disposition: form-data\r\n\r\nk\r\n--x--\r\n', 400, ["body"]),
        (BOUNDARY, FILE.replace(b"a.txt", b"\xff.txt") + b"--x--\r\n", 400, ["filename"]),
        (BOUNDARY, FIELD.replace(b"\r\nk\r\n", b"\r\n\xff\r\n") + FILE, 400, ["key"]),
        (BOUNDARY, FIELD.replace(b"\r\nk\r\n", b"\r\n" + b"k" * 70_000 + b"\r\n"), 400, ["key"]),
        (BOUNDARY, FILE.replace(b'"file"', b'"picture"') + b"--x--\r\n", 400, ["picture"]),
        ("multipart/form-data", FILE, 400, ["body"]),
        ("application/json", b"{}", 415, []),
        ("", b"{}", 415, []),
]  # fmt: skip


async def test_a_form_is_fields_and_then_one_file(gateway: httpx.AsyncClient):
    for content_type, body, status, bad in FORMS:
        headers = {"content-type": content_type}
        answer = await gateway.post("/v1/documents", content=in_bits(body), headers=headers)

        assert answer.status_code == status, (body, answer.text)
        if bad:
            assert bad_fields(answer) == bad
        for document in (await gateway.get("/v1/documents")).json()["documents"]:
            assert status == 201
            await gateway.delete(f"/v1/documents/{document['document_id']}")


async def in_bits(body: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(body), 7000):
        yield body[start : start + 7000]


NAMES = ["../../etc/passwd", "a/b\\c.txt", "naïve résumé 履歴書.txt", 'q"uo;te.txt', ".hidden", "*"]


async def test_any_name_is_kept_and_none_leads_anywhere(gateway: httpx.AsyncClient):
    for name in NAMES:
        document = await uploaded(gateway, key=name, filename=name)

        assert document["filename"] == name
        answer = await gateway.get(f"/v1/documents/{document['document_id']}/content")
        assert answer.text == TEXT
        disposition = answer.headers["content-disposition"]
        assert disposition.startswith('attachment; filename="')
        assert unquote(disposition.partition("UTF-8''")[2]) == name
        assert disposition.isascii()


async def test_no_browser_runs_what_somebody_uploaded(gateway: httpx.AsyncClient):
    page = "<html><script>alert(1)</script></html>"
    document = await uploaded(gateway, page, name="page.html", media_type="text/html")

    answer = await gateway.get(f"/v1/documents/{document['document_id']}/content")

    assert answer.headers["content-disposition"].startswith("attachment")
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


RANGES: list[tuple[str, int, bytes | None, str | None]] = [
        ("bytes=0-3", 206, b"0123", "bytes 0-3/10"),
        ("bytes=4-", 206, b"456789", "bytes 4-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, b"0123456789", "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes=10-", 416, None, "bytes */10"),
        ("bytes=-0", 416, None, "bytes */10"),
        ("bytes=3-1", 200, b"0123456789", None),
        ("bytes=0-1,4-5", 200, b"0123456789", None),
        ("lines=1-2", 200, b"0123456789", None),
        ("bytes=-", 200, b"0123456789", None),
]  # fmt: skip


async def test_a_part_of_a_file_can_be_asked_for(gateway: httpx.AsyncClient):
    document = await uploaded(gateway, b"0123456789", name="digits.txt")
    path = f"/v1/documents/{document['document_id']}/content"

    for wanted, status, expected, content_range in RANGES:
        answer = await gateway.get(path, headers={"range": wanted})

        told = (answer.status_code, answer.headers.get("content-range"))
        assert told == (status, content_range), wanted
        if expected is None:
            assert problem(answer)["reason"] == "RANGE_NOT_SATISFIABLE"
        else:
            assert answer.content == expected


async def test_a_file_that_is_known_is_not_sent_again(gateway: httpx.AsyncClient):
    document = await uploaded(gateway, b"0123456789", name="digits.txt")
    path = f"/v1/documents/{document['document_id']}/content"
    etag = (await gateway.get(path)).headers["etag"]

    assert etag == f'"{document["sha256"]}"'
    for known in (etag, f'"x", {etag}', f"W/{etag}", "*"):
        assert (await gateway.get(path, headers={"if-none-match": known})).status_code == 304
    assert (await gateway.get(path, headers={"if-none-match": '"x"'})).status_code == 200
    part = {"range": "bytes=0-1", "if-range": etag}
    assert (await gateway.get(path, headers=part)).content == b"01"
    part["if-range"] = '"x"'
    assert (await gateway.get(path, headers=part)).content == b"0123456789"


async def test_a_link_serves_the_file_without_a_key(stack: Stack, gateway: httpx.AsyncClient):
    document = await uploaded(gateway)
    path = f"/v1/documents/{document['document_id']}"
    link = (await gateway.get(f"{path}/url", params={"seconds": 60})).json()
    key = hashlib.sha256(b"key").hexdigest()

    async with stack.gateway(api_key_hashes=(key,)) as guarded:
        assert (await guarded.get(link["url"])).text == TEXT
        wrong = await guarded.get(f"{link['url']}x")
        assert (wrong.status_code, problem(wrong)["reason"]) == (403, "SIGNATURE_INVALID")
        for refused in (
            f"{path}/content", f"{path}/content?signature=", path, f"{path}?signature=x",
            f"{path}/content?x=signature=1", f"{path}/url?signature=1",
        ):  # fmt: skip
            assert (await guarded.get(refused)).status_code == 401, refused
        deletion = await guarded.delete(f"{path}/content?signature=x")
        assert deletion.status_code == 401
        unknown = link["url"].replace(document["document_id"], NOBODY)
        assert (await guarded.get(unknown)).status_code == 403


async def test_whoever_denies_it_has_no_documents(gateway: httpx.AsyncClient):
    person = await register(gateway)
    document = await uploaded(gateway, person_id=person)
    path = f"/v1/documents/{document['document_id']}"
    link = (await gateway.get(f"{path}/url")).json()["url"]

    await register(gateway, consent={"knowledge": "denied"})

    for answer in (
        await upload(gateway, "New.", person_id=person),
        await upload(gateway, "New.", platform="discord", sender_id="ada"),
        await gateway.get(path),
        await gateway.get(f"{path}/content"),
        await gateway.get(link),
        await gateway.get(f"{path}/url"),
        await gateway.post(f"{path}/extract"),
    ):
        assert (answer.status_code, problem(answer)["reason"]) == (403, "CONSENT_DENIED")
    assert (await gateway.get("/v1/documents")).json()["documents"] == []
    assert (await gateway.delete(path)).json()["deleted"] is True


async def test_documents_are_listed_by_page_and_person(gateway: httpx.AsyncClient):
    person = await register(gateway)
    ids = [
        (await uploaded(gateway, f"Text {n}.", person_id=person, key=f"k{n}"))["document_id"]
        for n in range(3)
    ]
    await uploaded(gateway, "Nobody's.")
    query: dict[str, Any] = {"person_id": person, "page_size": 2}

    first = (await gateway.get("/v1/documents", params=query)).json()
    query["page_token"] = first["next_page_token"]
    second = (await gateway.get("/v1/documents", params=query)).json()

    listed = [each["document_id"] for each in first["documents"] + second["documents"]]
    assert (listed, second["next_page_token"]) == (ids[::-1], None)
    by_key = (await gateway.get("/v1/documents", params={"key": "k1"})).json()["documents"]
    assert [each["document_id"] for each in by_key] == [ids[1]]
    for given, field in (
        ({"state": "lost"}, "state"),
        ({"filter": '{"k":{"$x":1}}'}, "filter.k.$x"),
    ):
        bad = await gateway.get("/v1/documents", params=given)
        assert (bad.status_code, bad_fields(bad)) == (400, [field])


async def test_a_document_is_deleted_and_read_anew(gateway: httpx.AsyncClient):
    document = await uploaded(gateway)
    path = f"/v1/documents/{document['document_id']}"

    anew = await gateway.post(f"{path}/extract")
    gone = await gateway.delete(path)

    assert (anew.status_code, anew.json()["state"]) == (200, "pending")
    assert gone.json() == {"document_id": document["document_id"], "deleted": True}
    assert (await gateway.delete(path)).json()["deleted"] is False
    for answer in (
        await gateway.get(path),
        await gateway.get(f"{path}/content"),
        await gateway.get(f"{path}/url"),
        await gateway.post(f"{path}/extract"),
    ):
        assert (answer.status_code, problem(answer)["reason"]) == (404, "DOCUMENT_NOT_FOUND")


async def test_what_is_too_large_is_refused(stack: Stack, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("knowledge_svc.spooling.MOST_BYTES", 100_000)
    async with stack.gateway() as client:
        answer = await upload(client, b"x" * 100_001)
        assert (answer.status_code, problem(answer)["reason"]) == (413, "DOCUMENT_TOO_LARGE")
        assert bad_fields(answer) == ["file"]
        assert (await upload(client, b"x" * 100_000)).status_code == 201

    async with stack.gateway() as client:
        monkeypatch.setattr("gateway.middleware.limits.UPLOAD_BYTES", 1000)
    async with stack.gateway() as client:
        answer = await upload(client, b"x" * 2000)
        assert (answer.status_code, problem(answer)["reason"]) == (413, "BODY_TOO_LARGE")


async def test_an_upload_that_is_cut_off_leaves_nothing(stack: Stack):
    async with stack.listening() as url:
        host, port = url.removeprefix("http://").split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        head = f"POST /v1/documents HTTP/1.1\r\nHost: {host}\r\nContent-Type: {BOUNDARY}\r\n"
        writer.write(head.encode() + b"Content-Length: 1000000\r\n\r\n" + FILE[:-2] + b"x" * 99_999)
        await writer.drain()
        writer.close()
        del reader

        async with httpx.AsyncClient(base_url=url) as client:
            metrics = (await client.get("/metrics")).text
            assert "kith_http" in metrics

            async def is_over() -> bool:
                text = (await client.get("/metrics")).text
                [line] = [line for line in text.splitlines() if line.startswith("kith_http_in_f")]
                return float(line.split()[-1]) == 1

            await eventually(is_over)
            assert (await client.get("/v1/documents")).json()["documents"] == []


async def test_the_knowledge_service_may_be_away(stack: Stack):
    async with stack.gateway() as client:
        document = await uploaded(client)
        await stack.stop("knowledge")
        for answer in (
            await upload(client, "New."),
            await client.get(f"/v1/documents/{document['document_id']}/content"),
        ):
            assert (answer.status_code, problem(answer)["reason"]) == (503, "SERVICE_UNAVAILABLE")
