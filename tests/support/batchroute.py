"""A stand-in for the gateway's batch route: it remembers messages, and fails as it is told."""

from collections import deque
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

Body = dict[str, Any]

CUT = "cut"


class BatchRoute:
    """The app. `faults` are taken one a call, first come first; None lets a call pass."""

    def __init__(self) -> None:
        self.batches: list[list[Body]] = []
        self.log: dict[str, Body] = {}
        self.faults: deque[Response | str | None] = deque()
        self.item_faults: dict[str, list[Body]] = {}
        self.authorization: set[str | None] = set()
        self.app = Starlette(
            routes=[
                Route("/v1/messages:batch", self._messages, methods=["POST"]),
                Route("/healthz", lambda _: _json({"storage_backend": "postgres"})),
            ]
        )

    @property
    def texts(self) -> list[str]:
        """What has been logged, in the order of the log."""
        return [body["text"] for body in self.log.values()]

    async def _messages(self, request: Request) -> Response:
        bodies = orjson.loads(await request.body())
        self.authorization.add(request.headers.get("authorization"))
        fault = self.faults.popleft() if self.faults else None
        if isinstance(fault, Response):
            return fault
        self.batches.append(bodies)
        for index, body in enumerate(bodies):
            if not body.get("text"):
                return problem(
                    400, "INVALID_ARGUMENT", f"[{index}].text: is required",
                    errors=[{"field": f"[{index}].text", "message": "is required"}],
                )  # fmt: skip
        answer = _json({"results": [self._result(body) for body in bodies]})
        return _CutOff(answer) if fault == CUT else answer

    def _result(self, body: Body) -> Body:
        faults = self.item_faults.get(body["text"])
        if faults:
            return {"error": faults.pop(0)}
        known = self.log.setdefault(body["message_id"], body)
        return {
            "event_id": body["message_id"],
            "duplicate": known is not body,
            "knowledge": {"state": "stored" if len(body["text"]) > 3 else "skipped"},
        }


def problem(
    status: int, reason: str, detail: str, headers: dict[str, str] | None = None, **more: Any
) -> Response:
    """An answer as RFC 9457 has it."""
    body = {"type": "about:blank", "title": reason, "status": status, "reason": reason}
    return Response(
        orjson.dumps({**body, "detail": detail, **more}), status, headers,
        media_type="application/problem+json",
    )  # fmt: skip


def _json(value: Any) -> Response:
    return Response(orjson.dumps(value), media_type="application/json")


class _CutOff(Response):
    """Answers half of an answer, and closes the connection."""

    def __init__(self, whole: Response) -> None:
        super().__init__(whole.body[: len(whole.body) // 2])
        self.headers["content-length"] = str(len(whole.body))
