"""Divides a budget of tokens between sections, deterministically and never beyond it.

Each section has a share; what it leaves over goes to those behind it, and what is left at the end
once more to all, in order. A piece is taken whole or left out.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.flows.tokens import estimate


@dataclass(frozen=True)
class Piece:
    """A text that is taken whole or not at all.

    Of pieces with the same `source`, in whichever sections, one is taken; one with a `parent`
    only where that was taken before it.
    """

    name: str
    text: str
    source: str | None = None
    parent: str | None = None
    tokens: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", estimate(self.text))


@dataclass(frozen=True)
class Section:
    """Pieces, the most wanted first, under a heading that counts where any is taken.

    `share` is in hundredths of the budget. Of a run nothing is taken behind what did not fit, so
    that it has no gaps; only what is larger than the section by itself is stepped over.
    """

    name: str
    share: int
    heading: str
    pieces: Sequence[Piece]
    is_run: bool = False


@dataclass(frozen=True)
class Taken:
    """What a section got: names of pieces in their order, their tokens with the heading's, and how
    many pieces did not fit.
    """

    names: Sequence[str] = ()
    tokens: int = 0
    left_out: int = 0
    sources: frozenset[str] = frozenset()


def divided(sections: Sequence[Section], budget: int) -> Mapping[str, Taken]:
    """What each section gets, by its name; never more than the budget in all."""
    allowances = [section.share * budget // 100 for section in sections]
    taken, spare = _filled(sections, allowances, budget - sum(allowances))
    taken, _ = _filled(sections, [one.tokens for one in taken], spare)
    return {section.name: one for section, one in zip(sections, taken, strict=True)}


def _filled(
    sections: Sequence[Section], allowances: Iterable[int], spare: int
) -> tuple[list[Taken], int]:
    """What each gets within its allowance and what those before it left; what is left then."""
    seen: frozenset[str] = frozenset()
    filled = []
    for section, allowance in zip(sections, allowances, strict=True):
        taken = _taken(section, allowance + spare, seen)
        spare += allowance - taken.tokens
        seen |= taken.sources
        filled.append(taken)
    return filled, spare


def _taken(section: Section, allowance: int, seen: frozenset[str]) -> Taken:
    heading = estimate(section.heading)
    names: dict[str, None] = {}
    sources: set[str] = set()
    tokens = left_out = 0
    is_over = False
    for piece in section.pieces:
        if piece.source in seen or piece.source in sources:
            continue
        if piece.parent is not None and piece.parent not in names:
            continue
        needed = tokens + piece.tokens + (0 if names else heading)
        if is_over or needed > allowance:
            left_out += 1
            is_over = is_over or (section.is_run and heading + piece.tokens <= allowance)
            continue
        names[piece.name] = None
        tokens = needed
        if piece.source is not None:
            sources.add(piece.source)
    return Taken(tuple(names), tokens, left_out, frozenset(sources))
