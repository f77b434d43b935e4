"""What every BlobStore does; a new adapter adds a fixture and a name to `blobs`."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from datetime import datetime
from pathlib import Path

import httpx
import pytest

from knowledge_svc.adapters.local_blobs import LocalBlobs
from knowledge_svc.adapters.supabase_blobs import SupabaseBlobs, open_supabase_blobs
from knowledge_svc.domain.blobs import BlobNotFound, BlobsUnavailable
from knowledge_svc.ports.blobs import BlobStore
from tests.support.storage import KEY, Storage, busy


@pytest.fixture
def local(tmp_path: Path) -> LocalBlobs:
    return LocalBlobs(tmp_path / "blobs")


@pytest.fixture
async def storage() -> AsyncIterator[Storage]:
    """A Supabase Storage."""
    stand_in = Storage()
    async with stand_in.running():
        yield stand_in


@pytest.fixture
async def supabase(storage: Storage, quick: None) -> AsyncIterator[SupabaseBlobs]:
    async with open_supabase_blobs(storage.url, KEY, "kith") as blobs:
        yield blobs


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Second tries without a pause."""
    monkeypatch.setattr("knowledge_svc.adapters.patience._FIRST_DELAY", 0.001)
    monkeypatch.setattr("knowledge_svc.adapters.patience._SHUT_SECONDS", 0.0)


@pytest.fixture(params=["local", "supabase"])
def blobs(request: pytest.FixtureRequest) -> BlobStore:
    """An empty store of each kind, in turn."""
    chosen: BlobStore = request.getfixturevalue(request.param)
    return chosen


BYTES = random.Random(1).randbytes(600_001)  # some blocks, no two alike


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "file"
    path.write_bytes(BYTES)
    return path


async def content(blobs: BlobStore, key: str, **part: int) -> bytes:
    return b"".join([block async for block in blobs.read(key, **part)])


async def put(blobs: BlobStore, path: Path, key: str, text: str = "x") -> None:
    await asyncio.to_thread(path.write_text, text)
    await blobs.put(key, path, media_type="text/plain")


async def test_a_file_comes_back_as_it_went_in(blobs: BlobStore, file: Path):
    await blobs.put("a/b/c.bin", file, media_type="application/octet-stream")

    assert await content(blobs, "a/b/c.bin") == BYTES
    blob = await blobs.stat("a/b/c.bin")
    assert blob is not None
    assert (blob.key, blob.size) == ("a/b/c.bin", 600_001)
    assert datetime.fromisoformat(blob.modified_at).tzinfo is not None


@pytest.mark.parametrize(
    ("offset", "length"),
    [(0, 5), (5, 7), (300_000, 300_001), (300_000, None), (600_000, 99), (0, 600_001), (7, 0)],
)
async def test_a_part_of_a_file_can_be_read(
    blobs: BlobStore, file: Path, offset: int, length: int | None
):
    await blobs.put("k", file, media_type="application/octet-stream")

    part = b"".join([b async for b in blobs.read("k", offset=offset, length=length)])

    end = None if length is None else offset + length
    assert part == BYTES[offset:end]


async def test_a_file_comes_in_blocks(blobs: BlobStore, file: Path):
    await blobs.put("k", file, media_type="application/octet-stream")

    sizes = [len(block) async for block in blobs.read("k")]

    assert max(sizes) <= 256 << 10
    async with aclosing(blobs.read("k")) as blocks:
        assert await anext(blocks)


async def test_an_empty_file_is_a_file(blobs: BlobStore, tmp_path: Path):
    await put(blobs, tmp_path / "empty", "k", "")

    assert await content(blobs, "k") == b""
    blob = await blobs.stat("k")
    assert blob is not None and blob.size == 0


async def test_what_is_not_there_is_not_there(blobs: BlobStore):
    assert await blobs.stat("a/b") is None
    with pytest.raises(BlobNotFound):
        await content(blobs, "a/b")
    with pytest.raises(BlobNotFound):
        await content(blobs, "a/b", length=0)
    await blobs.delete(["a/b", "c"])
    page = await blobs.page(after=None, limit=10)
    assert ([*page.blobs], page.after) == ([], None)


async def test_a_second_file_takes_the_place_of_the_first(blobs: BlobStore, tmp_path: Path):
    await put(blobs, tmp_path / "f", "k", "first")
    await put(blobs, tmp_path / "f", "k", "second")

    assert await content(blobs, "k") == b"second"


async def test_what_is_deleted_is_gone_and_its_neighbours_are_not(blobs: BlobStore, tmp_path: Path):
    for key in ("a/1", "a/2", "a/b/3"):
        await put(blobs, tmp_path / "f", key)

    await blobs.delete(["a/1", "a/b/3", "never/there"])

    assert await blobs.stat("a/1") is None
    assert await blobs.stat("a/b/3") is None
    assert await blobs.stat("a/2") is not None


async def test_all_files_are_paged_in_order_of_key(blobs: BlobStore, tmp_path: Path):
    # A slash sorts before letters and digits, and behind "-" and ".".
    keys = ["a", "a-1/x", "a.b", "a0", "b/1", "b/c/1", "b/c-d", "b/c.e", "b0/1", "c/1/2/3"]
    for key in keys:
        await put(blobs, tmp_path / "f", key)

    listed: list[str] = []
    after = None
    while True:
        page = await blobs.page(after=after, limit=3)
        listed += [blob.key for blob in page.blobs]
        after = page.after
        if after is None:
            break

    assert listed == sorted(keys)


async def test_files_that_come_and_go_leave_the_others_in_place(blobs: BlobStore, tmp_path: Path):
    async def come_and_go(n: int) -> None:
        path = tmp_path / f"f{n}"
        for _ in range(5):
            await put(blobs, path, f"same/folder/{n}")
            await blobs.delete([f"same/folder/{n}"])
        await put(blobs, path, f"same/folder/{n}")

    await asyncio.gather(*(come_and_go(n) for n in range(8)))

    page = await blobs.page(after=None, limit=100)
    assert [blob.key for blob in page.blobs] == [f"same/folder/{n}" for n in range(8)]


# --- the local folder ---


async def test_nothing_outside_of_the_folder_can_be_reached(local: LocalBlobs, tmp_path: Path):
    for key in ("", "../x", "a/../../x", "/etc/passwd", "a//b", "./a", "a/."):
        with pytest.raises(ValueError, match="not a key"):
            await local.stat(key)


async def test_a_link_leads_nowhere(local: LocalBlobs, tmp_path: Path):
    secret = tmp_path / "elsewhere" / "secret"
    secret.parent.mkdir()
    secret.write_text("secret")
    await put(local, tmp_path / "f", "a/real")
    folder = tmp_path / "blobs"
    (folder / "a" / "link").symlink_to(secret)
    (folder / "b").symlink_to(secret.parent)

    for key in ("a/link", "b/secret"):
        with pytest.raises(BlobsUnavailable):
            await content(local, key)
    with pytest.raises(BlobsUnavailable):
        await put(local, tmp_path / "f", "b/new")
    assert await local.stat("a/link") is None
    page = await local.page(after=None, limit=10)
    assert [blob.key for blob in page.blobs] == ["a/real"]
    assert secret.read_text() == "secret"


async def test_a_full_disk_leaves_nothing_half(
    local: LocalBlobs, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("knowledge_svc.adapters.local_blobs.shutil.copyfileobj", full)

    with pytest.raises(BlobsUnavailable):
        await local.put("a/b", file, media_type="text/plain")

    assert [path for path in (tmp_path / "blobs").rglob("*") if path.is_file()] == []


async def test_what_a_crash_left_half_written_goes_with_the_file(
    local: LocalBlobs, file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    with monkeypatch.context() as patched:
        patched.setattr("knowledge_svc.adapters.local_blobs.Path.replace", _dies)
        patched.setattr("knowledge_svc.adapters.local_blobs.Path.unlink", _dies)
        for key in ("a/b", "a/c"):
            with pytest.raises(BlobsUnavailable):
                await local.put(key, file, media_type="text/plain")
    left = sorted((tmp_path / "blobs").rglob("*.*"))
    assert len(left) == 2

    await local.delete(["a/b"])
    assert len({*left} & {*(tmp_path / "blobs").rglob("*.*")}) == 1
    await local.delete(["a/c"])

    assert [*(tmp_path / "blobs").iterdir()] == []


def _dies(*_: object, **__: object) -> None:
    raise OSError("the process is not there any more")


# --- Supabase Storage ---


async def test_the_bucket_is_made_private_when_it_is_first_needed(
    supabase: SupabaseBlobs, storage: Storage, tmp_path: Path
):
    await asyncio.gather(*(put(supabase, tmp_path / f"f{n}", f"k{n}") for n in range(5)))

    assert storage.buckets.keys() == {"kith"}
    assert storage.public == set()
    assert storage.buckets["kith"]["k1"].media_type == "text/plain"


async def test_a_public_bucket_is_not_written_to(
    supabase: SupabaseBlobs, storage: Storage, tmp_path: Path
):
    storage.buckets["kith"] = {}
    storage.public.add("kith")

    with pytest.raises(BlobsUnavailable, match="public"):
        await put(supabase, tmp_path / "f", "k")


@pytest.mark.parametrize("status", [500, 503, 429])
async def test_a_moment_of_trouble_is_passed_over(
    supabase: SupabaseBlobs, storage: Storage, tmp_path: Path, status: int
):
    await put(supabase, tmp_path / "f", "k", "here")

    storage.faults += [busy(status)]
    assert await content(supabase, "k") == b"here"
    storage.faults += [busy(status)]
    await put(supabase, tmp_path / "f", "k", "there")
    assert await content(supabase, "k") == b"there"


async def test_trouble_that_stays_is_told(supabase: SupabaseBlobs, storage: Storage, file: Path):
    storage.buckets["kith"] = {}
    for call in (
        lambda: supabase.stat("k"),
        lambda: content(supabase, "k"),
        lambda: supabase.put("k", file, media_type="text/plain"),
        lambda: supabase.delete(["k"]),
        lambda: supabase.page(after=None, limit=1),
        lambda: supabase.url("k", filename="f", seconds=1),
    ):
        storage.faults.clear()
        storage.faults += [busy()] * 5
        with pytest.raises(BlobsUnavailable):
            await call()


async def test_a_download_that_is_cut_off_is_no_whole_file(
    supabase: SupabaseBlobs, storage: Storage, file: Path
):
    await supabase.put("k", file, media_type="text/plain")
    storage.faults.append(300_000)

    with pytest.raises(BlobsUnavailable):
        await content(supabase, "k")


async def test_a_wrong_key_is_trouble_and_nothing_missing(storage: Storage, quick: None):
    async with open_supabase_blobs(storage.url, "wrong", "kith") as blobs:
        with pytest.raises(BlobsUnavailable):
            await blobs.stat("k")


async def test_a_bucket_signs_its_own_links(
    supabase: SupabaseBlobs, storage: Storage, tmp_path: Path
):
    await put(supabase, tmp_path / "f", "a/b.txt")

    url = await supabase.url("a/b.txt", filename="naïve name.txt", seconds=60)

    assert url is not None
    parsed = httpx.URL(url)
    assert parsed.path == "/storage/v1/object/sign/kith/a/b.txt"
    assert dict(parsed.params) == {"token": "for-60", "download": "naïve name.txt"}
    assert await supabase.url("never", filename="f", seconds=60) is None


async def test_a_service_that_is_away_is_trouble(file: Path, quick: None):
    async with open_supabase_blobs("http://127.0.0.1:9", KEY, "kith") as blobs:
        with pytest.raises(BlobsUnavailable):
            await blobs.put("k", file, media_type="text/plain")


async def test_files_are_found_by_their_owner(blobs: BlobStore, tmp_path: Path):
    for key in ("a/ann/1/x", "a/ben/2/x", "b/ann/3/x", "b/ann/4/y", "ann/ben/5/x"):
        await put(blobs, tmp_path / "file", key)

    assert sorted(await blobs.owned(["ann"], limit=10)) == ["a/ann/1/x", "b/ann/3/x", "b/ann/4/y"]
    assert len(await blobs.owned(["ann", "ben"], limit=4)) == 4
    assert [*await blobs.owned(["nobody"], limit=10)] == []


async def test_before_anything_is_kept_nobody_owns_a_file(blobs: BlobStore):
    assert [*await blobs.owned(["ann"], limit=10)] == []
