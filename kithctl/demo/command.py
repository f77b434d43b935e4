"""`kith demo`."""

from pathlib import Path

from rich.console import Console

from kithctl.demo import screens, story
from kithctl.importing.gateway import Gateway
from kithctl.importing.target import GatewayOption, open_gateway
from kithctl.target import HomeOption

# The answers stand somewhere in the talk, in other words or in these.
QUESTIONS = (
    "What is Youssef allergic to?",
    "At what time does the train to Porto leave?",
    "Who wanted a camera?",
)

_EVENTS = 8
_HITS = 3


def demo(gateway: GatewayOption = None, home: HomeOption = Path(".kith")) -> None:
    """Import a conversation into the running stack, and show a timeline and searches."""
    console = Console(highlight=False)
    with open_gateway(gateway, home) as target:
        console.print(f"Five friends on two platforms, at {target.url}")
        with console.status("importing what they say"):
            ids = {person["name"]: story.introduce(target, person) for person in story.people()}
            told = story.tell(target)
        console.print(
            f"{told.new} messages are new, {told.duplicates} were there already; "
            f"{told.knowledge} are worth knowing"
        )
        with console.status("waiting until they can be searched"):
            indexed = story.wait_until_indexed(target, told.index_tokens)
        if not indexed:
            console.print("some of them are still being indexed", style="yellow")
        _show(console, target, "Maya", ids["Maya"])


def _show(console: Console, gateway: Gateway, name: str, person_id: str) -> None:
    page = gateway.get(f"/v1/persons/{person_id}/timeline", page_size=_EVENTS)
    screens.timeline(console, name, page["events"])
    for question in QUESTIONS:
        found = gateway.post("/v1/search", {"query": question, "limit": _HITS})
        screens.hits(console, question, found["hits"])
