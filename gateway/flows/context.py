"""What a prompt needs of a person, within a budget: profile, memories, knowledge, messages."""

from collections.abc import Container, Mapping, Sequence
from itertools import chain, zip_longest
from typing import TypeVar

from gateway import rendering
from gateway.answers.context import ContextAnswer, FoundBy, FoundMemoryAnswer, SectionAnswer
from gateway.answers.events import EventAnswer
from gateway.answers.knowledge import HitAnswer
from gateway.answers.people import LinkAnswer
from gateway.flows.budget import Piece, Section, Taken, divided
from gateway.flows.gathering import Gathered, Gathering
from gateway.models.context import ContextRequest
from gateway.rendering import context as lines
from gateway.rendering.context import HEADINGS
from svckit import structs

T = TypeVar("T")

# In hundredths, in the order in which what is left over is passed on. Messages come before
# knowledge, which leaves out what they say already.
SHARES = {"profile": 10, "memories": 25, "messages": 30, "knowledge": 35}
# In the text the messages stand last, where the talk goes on.
_AS_SHOWN = ("profile", "memories", "knowledge", "messages")


class Contexts:
    """Makes contexts."""

    def __init__(self, gathering: Gathering) -> None:
        self._gathering = gathering

    async def of(self, request: ContextRequest) -> ContextAnswer:
        """What is known of a person that fits; the same for the same state of things."""
        return composed(await self._gathering.gather(request), request)


def composed(gathered: Gathered, request: ContextRequest) -> ContextAnswer:
    """As much of what was gathered as the budget allows."""
    return _Composition(gathered).answer(request)


class _Composition:
    """Items by the names of their pieces."""

    def __init__(self, gathered: Gathered) -> None:
        self._gathered = gathered
        self._metadata = structs.to_dict(gathered.person.metadata)
        self._links: dict[str, LinkAnswer] = {
            link.link_id: rendering.link(link) for link in gathered.links
        }
        self._memories = {one["memory_id"]: one for one in _memories(gathered)}
        self._hits: dict[str, HitAnswer] = {
            hit.item.knowledge_id: rendering.hit(hit) for hit in gathered.hits
        }
        self._messages: dict[str, EventAnswer] = {
            event.event_id: rendering.event(event)
            for event in gathered.messages
            if "text" in event.content.fields and event.content.fields["text"].string_value
        }

    def answer(self, request: ContextRequest) -> ContextAnswer:
        """The whole answer."""
        budget = request.token_budget
        sections = {
            name: Section(name, share, HEADINGS[name], self._pieces(name), name == "messages")
            for name, share in SHARES.items()
        }
        taken = divided(list(sections.values()), budget)
        is_rendered = request.render == "markdown"
        gathered = self._gathered
        return {
            "person_id": gathered.person.person_id,
            "token_budget": budget,
            "tokens": sum(one.tokens for one in taken.values()),
            "profile": {
                **_size(taken["profile"]),
                "person_ids": list(gathered.person.person_ids),
                "metadata": {
                    key: value
                    for key, value in self._metadata.items()
                    if f"metadata {key}" in taken["profile"].names
                },
                "links": _picked(self._links, taken["profile"].names),
            },
            "memories": {
                **_size(taken["memories"]),
                "items": _picked(self._memories, taken["memories"].names),
            },
            "knowledge": {**_size(taken["knowledge"]), "items": self._known(taken["knowledge"])},
            "messages": {
                **_size(taken["messages"]),
                "items": _picked(self._messages, taken["messages"].names[::-1]),
            },
            "missing": gathered.missing,
            "degraded": gathered.is_degraded,
            "text": _text(sections, taken) if is_rendered else None,
        }

    def _pieces(self, section: str) -> Sequence[Piece]:
        match section:
            case "profile":
                return [
                    *(
                        Piece(f"metadata {key}", lines.trait(key, self._metadata[key]))
                        for key in sorted(self._metadata)
                    ),
                    *(Piece(name, lines.link(link)) for name, link in self._links.items()),
                ]
            case "memories":
                return [Piece(name, lines.memory(one)) for name, one in self._memories.items()]
            case "messages":
                return [
                    Piece(name, lines.message(one), source=name)
                    for name, one in self._messages.items()
                ]
        return [piece for hit in self._hits.values() for piece in _hit_pieces(hit)]

    def _known(self, taken: Taken) -> list[HitAnswer]:
        return [
            {**hit, "beside": [n for n in hit["beside"] if n["knowledge_id"] in taken.names]}
            for hit in _picked(self._hits, taken.names)
        ]


def _memories(gathered: Gathered) -> list[FoundMemoryAnswer]:
    """Memories by turns: the nearest, the most important, the next nearest, and so on."""
    scores = {hit.memory.memory_id: hit.score for hit in gathered.near}
    important = {memory.memory_id for memory in gathered.important}
    near = [hit.memory for hit in gathered.near]
    by_turns = chain.from_iterable(zip_longest(near, gathered.important))
    memories = {memory.memory_id: memory for memory in by_turns if memory is not None}

    def found_by(memory_id: str) -> list[FoundBy]:
        ways: list[tuple[FoundBy, Container[str]]] = [("query", scores), ("importance", important)]
        return [way for way, found in ways if memory_id in found]

    return [
        {
            **rendering.memory(memory),
            "score": scores.get(memory_id),
            "found_by": found_by(memory_id),
        }
        for memory_id, memory in memories.items()
    ]


def _hit_pieces(hit: HitAnswer) -> list[Piece]:
    """A hit, and what stands beside it, which comes only with it."""
    name = hit["knowledge_id"]
    beside = [
        Piece(near["knowledge_id"], lines.neighbour(near), near["source_event_id"], parent=name)
        for near in hit["beside"]
    ]
    return [Piece(name, lines.hit(hit), hit["source_event_id"]), *beside]


def _picked(items: Mapping[str, T], names: Sequence[str]) -> list[T]:
    return [items[name] for name in names if name in items]


def _size(taken: Taken) -> SectionAnswer:
    return {"tokens": taken.tokens, "left_out": taken.left_out}


def _text(sections: Mapping[str, Section], taken: Mapping[str, Taken]) -> str:
    """What was taken, each section under its heading."""
    parts: list[str] = []
    for name in _AS_SHOWN:
        texts = {piece.name: piece.text for piece in sections[name].pieces}
        names = taken[name].names
        if names:
            parts.append(sections[name].heading)
            parts += [texts[one] for one in (names[::-1] if name == "messages" else names)]
    return "".join(parts)
