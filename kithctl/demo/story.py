"""The conversation that is shipped with Kith, and how it gets into a running stack.

Doing it again changes nothing: every message has an id, and registering and linking may be
repeated.
"""

from dataclasses import dataclass
from importlib import resources
from typing import Any

import orjson

from kithctl.failure import Failure
from kithctl.importing.gateway import Gateway, Refused

_MOST_TOKENS = 100
_ROUNDS = 20

FOLDER = resources.files(__package__ or "")


@dataclass(frozen=True)
class Told:
    """What the gateway has made of the conversation."""

    new: int
    duplicates: int
    knowledge: int
    index_tokens: list[str]


def people() -> list[dict[str, str]]:
    """Everybody in it: a name, and an id on each platform."""
    found: list[dict[str, str]] = orjson.loads((FOLDER / "people.json").read_bytes())
    return found


def messages() -> list[dict[str, Any]]:
    """What they say, oldest first, as bodies of POST /v1/messages."""
    lines = (FOLDER / "conversation.ndjson").read_bytes().splitlines()
    return [orjson.loads(line) for line in lines]


def introduce(gateway: Gateway, person: dict[str, str]) -> str:
    """Register a person by the one platform and link the other; answers the person's id."""
    registered = gateway.post(
        "/v1/register",
        {
            "platform": "discord",
            "platform_id": person["discord"],
            "metadata": {"name": person["name"]},
        },
    )
    person_id: str = registered["person_id"]
    try:
        gateway.post(
            f"/v1/persons/{person_id}/links",
            {"platform": "telegram", "platform_id": person["telegram"], "verified": True},
        )
    except Refused as refused:
        # Whoever imported the file by hand before has two persons; the demo works with them.
        if refused.problem.get("reason") != "LINK_TAKEN":
            raise
    return person_id


def tell(gateway: Gateway) -> Told:
    """Send the conversation; raises Failure if any of it does not get in."""
    results = gateway.post("/v1/messages:batch", messages())["results"]
    for result in results:
        if "error" in result:
            raise Failure(f"a message was not taken: {result['error']['detail']}")
    duplicates = sum(result["duplicate"] for result in results)
    knowledge = [result["knowledge"] for result in results]
    return Told(
        new=len(results) - duplicates,
        duplicates=duplicates,
        knowledge=sum(made["state"] == "stored" for made in knowledge),
        index_tokens=[made["index_token"] for made in knowledge if made["index_token"]],
    )


def wait_until_indexed(gateway: Gateway, tokens: list[str]) -> bool:
    """Wait for the writes that the tokens name to be searchable; False if that takes too long.

    The gateway does the waiting, each time as long as a request may take.
    """
    pending = list(dict.fromkeys(tokens))
    for _ in range(_ROUNDS):
        if not pending:
            return True
        asked, later = pending[:_MOST_TOKENS], pending[_MOST_TOKENS:]
        answer = gateway.post("/v1/search", {"query": "ready", "limit": 1, "at_least": asked})
        pending = answer["pending"] + later
    return not pending
