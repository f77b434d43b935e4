"""Original files in a private bucket of Supabase Storage."""

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from knowledge_svc.adapters.patience import Passing, Patience
from knowledge_svc.domain.blobs import Blob, BlobNotFound, BlobPage, BlobsUnavailable
from svckit.errors import Unavailable

if TYPE_CHECKING:
    import httpx
    from storage3 import AsyncStorageClient
    from storage3._async.file_api import AsyncBucketProxy

T = TypeVar("T")

_BLOCK = 256 << 10
_CONNECT_SECONDS = 3.0
# Between two pieces of an answer, or of a request.
_SILENT_SECONDS = 20.0
_CALL_SECONDS = 30.0
_PUT_SECONDS = 110.0
_MOST_NAMES = 1_000


class _Missing(Exception):
    """There is no such object, or no such bucket."""


class SupabaseBlobs:
    """An object for each key; the bucket is made, private, when it is first written to.

    A file is sent from the disk and read in blocks; only a block of it is ever in memory.
    """

    def __init__(
        self, storage: "AsyncStorageClient", http: "httpx.AsyncClient", bucket: str
    ) -> None:
        self._storage = storage
        self._http = http
        self._name = bucket
        self._is_there = False
        self._quick = Patience("supabase storage", seconds=_CALL_SECONDS)
        self._slow = Patience("supabase storage", seconds=_PUT_SECONDS)

    async def put(self, key: str, path: Path, *, media_type: str) -> None:
        await self._ensure_bucket()
        options: Any = {"content-type": media_type, "x-upsert": "true"}
        await self._call(
            "upload", lambda: self._bucket.upload(key, path, options), patience=self._slow
        )

    async def read(
        self, key: str, *, offset: int = 0, length: int | None = None
    ) -> AsyncGenerator[bytes, None]:
        if length == 0:
            if await self.stat(key) is None:
                raise BlobNotFound(key)
            return
        # The package's own download has the whole file in memory; this is what it asks for.
        url = f"{self._storage._base_url}object/{self._name}/{key}"
        headers = dict(self._storage._headers)
        if offset or length is not None:
            last = "" if length is None else offset + length - 1
            headers["range"] = f"bytes={offset}-{last}"
        request = self._http.build_request("GET", url, headers=headers)
        try:
            response = await self._call("download", lambda: self._opened(request))
        except _Missing:
            raise BlobNotFound(key) from None
        async with contextlib.aclosing(self._blocks(response)) as blocks:
            skipped = offset if response.status_code == 200 else 0
            async for block in _within(blocks, skipped, length):
                yield block

    async def stat(self, key: str) -> Blob | None:
        try:
            found = await self._call("info", lambda: self._bucket.info(key))
        except _Missing:
            return None
        size = found["size"] if "size" in found else (found.get("metadata") or {}).get("size", 0)
        moment = found.get("last_modified") or found.get("updated_at") or found["created_at"]
        return Blob(key, int(size), str(moment))

    async def delete(self, keys: Sequence[str]) -> None:
        with contextlib.suppress(_Missing):
            await self._call("remove", lambda: self._bucket.remove([*keys]))

    async def page(self, *, after: str | None, limit: int) -> BlobPage:
        found = await self._listed("", after=after, limit=limit)
        if found is None:
            return BlobPage([], None)
        blobs = [
            Blob(_key_of(one), int((one.metadata or {}).get("size", 0)), one.updated_at.isoformat())
            for one in found.objects
        ]
        return BlobPage(blobs, found.nextCursor if found.hasNext else None)

    async def owned(self, owners: Sequence[str], *, limit: int) -> Sequence[str]:
        keys: list[str] = []
        async for namespaces in self._pages("", by_folder=True):
            for folder in namespaces.folders:
                namespace = (folder.key or folder.name).rstrip("/")
                for owner in owners:
                    async for found in self._pages(f"{namespace}/{owner}/"):
                        keys += [_key_of(one) for one in found.objects]
                        if len(keys) >= limit:
                            return keys[:limit]
        return keys

    async def _pages(self, prefix: str, *, by_folder: bool = False) -> AsyncIterator[Any]:
        """All of what is below a prefix; by folder, only the next word of each key."""
        after: str | None = None
        while (found := await self._listed(prefix, after=after, by_folder=by_folder)) is not None:
            yield found
            if not found.hasNext:
                return
            after = found.nextCursor

    async def _listed(
        self, prefix: str, *, after: str | None, limit: int = _MOST_NAMES, by_folder: bool = False
    ) -> Any:
        """A page; None where there is no bucket yet."""
        options: Any = {
            "prefix": prefix, "limit": min(limit, _MOST_NAMES), "with_delimiter": by_folder,
        }  # fmt: skip
        if after is not None:
            options["cursor"] = after
        try:
            return await self._call("list", lambda: self._bucket.list_v2(options))
        except _Missing:
            return None

    async def url(self, key: str, *, filename: str, seconds: int) -> str | None:
        options: Any = {"download": filename}
        try:
            signed = await self._call(
                "sign", lambda: self._bucket.create_signed_url(key, seconds, options)
            )
        except _Missing:
            return None
        return signed["signedURL"]

    @property
    def _bucket(self) -> "AsyncBucketProxy":
        return self._storage.from_(self._name)

    async def _ensure_bucket(self) -> None:
        if self._is_there:
            return
        try:
            found = await self._call("bucket", lambda: self._storage.get_bucket(self._name))
        except _Missing:
            await self._call("bucket", self._make_bucket)
        else:
            if found.public:
                # Everybody could read everybody's files by their names.
                raise BlobsUnavailable(f"bucket {self._name} is public; make it private")
        self._is_there = True

    async def _make_bucket(self) -> None:
        from storage3.exceptions import StorageApiError

        try:
            await self._storage.create_bucket(self._name, options={"public": False})
        except StorageApiError as error:
            # Another replica was quicker.
            if str(error.status) != "409" and error.code != "Duplicate":
                raise

    async def _opened(self, request: "httpx.Request") -> "httpx.Response":
        from storage3.exceptions import StorageApiError

        response = await self._http.send(request, stream=True)
        if response.status_code in (200, 206):
            return response
        try:
            await response.aread()
            told = response.json()
            code, status = str(told["error"]), str(told["statusCode"])
        except (ValueError, KeyError, TypeError):
            code, status = "InternalError", str(response.status_code)
        finally:
            await response.aclose()
        raise StorageApiError("the object cannot be read", code, status)

    async def _blocks(self, response: "httpx.Response") -> AsyncGenerator[bytes, None]:
        import httpx

        try:
            async for block in response.aiter_bytes(_BLOCK):
                yield block
        except httpx.HTTPError as error:
            raise BlobsUnavailable("supabase storage broke off") from error
        finally:
            await response.aclose()

    async def _call(
        self, name: str, call: Callable[[], Awaitable[T]], *, patience: Patience | None = None
    ) -> T:
        try:
            return await (patience or self._quick).call(name, lambda: _attempted(call))
        except BlobsUnavailable:
            raise
        except Unavailable as error:
            raise BlobsUnavailable(error.message, retry_after=error.retry_after or 1.0) from error


def _key_of(one: Any) -> str:
    return str(one.key or one.name)


async def _attempted(call: Callable[[], Awaitable[T]]) -> T:
    """One try, with what went wrong in this service's words."""
    import httpx
    from storage3.exceptions import StorageApiError

    try:
        return await call()
    except httpx.HTTPError as error:
        raise Passing("supabase storage cannot be reached") from error
    except StorageApiError as error:
        status = str(error.status)
        # A missing object may come as 400 that says 404 inside.
        if status == "404" or error.code in ("not_found", "NoSuchKey", "NoSuchBucket"):
            raise _Missing from None
        if status == "429" or status.startswith("5"):
            raise Passing("supabase storage is busy", 1.0 if status == "429" else None) from error
        raise BlobsUnavailable("supabase storage refuses") from error


async def _within(
    blocks: AsyncIterator[bytes], skipped: int, length: int | None
) -> AsyncIterator[bytes]:
    """The part that was asked for, of an answer that may be more than that."""
    left = length
    async for block in blocks:
        block, skipped = block[skipped:], max(skipped - len(block), 0)
        if left is not None:
            block = block[:left]
            left -= len(block)
        if block:
            yield block
        if left == 0:
            return


@asynccontextmanager
async def open_supabase_blobs(url: str, key: str, bucket: str) -> AsyncIterator[SupabaseBlobs]:
    """The bucket of a project; nothing is asked before it is used."""
    import httpx
    from storage3 import AsyncStorageClient

    headers = {"apikey": key, "Authorization": f"Bearer {key}"}
    async with httpx.AsyncClient(
        timeout=httpx.Timeout(_SILENT_SECONDS, connect=_CONNECT_SECONDS),
        limits=httpx.Limits(max_connections=50, max_keepalive_connections=20),
    ) as http:
        storage = AsyncStorageClient(f"{url.rstrip('/')}/storage/v1/", headers, http_client=http)
        yield SupabaseBlobs(storage, http, bucket)
