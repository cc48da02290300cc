"""`Grammar`: puts a statement into words, deterministic in a key and sparing with words that were used before."""

import random
import re
from bisect import bisect
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from knowlip.language.grammar.proof import check_wordings
from knowlip.language.grammar.rendering import HEDGE, fits, rendered
from knowlip.language.statements import Evidence, Layer, Statement
from knowlip.language.wordings import Topic, Wording, standard_topics, topics_of

if TYPE_CHECKING:
    from _typeshed import SupportsLenAndGetItem

_DRAWN: Final = 3
"""Renderings among which the one that repeats the fewest words is taken."""
_SMALL: Final = frozenset("a an the of in on at to and or by with as is are it its".split())
_WORD: Final = re.compile(r"[^\W_]+")


T = TypeVar("T")


class Usual(random.Random):
    """Chance that takes what stands first in a list most often, as speakers do: the n-th with a share of 1/n (Zipf's
    law). So texts of the same content are mostly alike, and rare wordings stay rare."""

    def choice(self, seq: "SupportsLenAndGetItem[T]") -> T:
        """One of some."""
        shares = _shares(len(seq))
        return seq[bisect(shares, self.random() * shares[-1])]


@lru_cache(maxsize=512)
def _shares(number: int) -> tuple[float, ...]:
    """Sums of the shares of the first, the first two, ... of so many."""
    return tuple(accumulate(1.0 / rank for rank in range(1, number + 1)))


class Grammar:
    """Topics and their wordings.

    Args:
        topics: name -> topic.
    """

    def __init__(self, topics: Mapping[str, Topic]) -> None:
        self._topics = dict(topics)

    @classmethod
    def standard(cls) -> "Grammar":
        """The wordings that come with KnowLIP."""
        return cls(standard_topics())

    @classmethod
    def with_file(cls, path: Path) -> "Grammar":
        """The standard wordings with those of a file in their place, or beside them where a topic says `add: true`.

        Raises:
            ValueError: the file cannot be read, is not of the form, or holds a wording that is not read back as what
                it says (docs/language.md).
        """
        topics = dict(standard_topics())
        stated, added = topics_of(path)
        for name, topic in stated.items():
            if name not in topics:
                raise ValueError(f"{path.name} has the topic {name}, which there is not: take {', '.join(topics)}.")
            check_wordings(topic, topics[name], path.name)
            before = topics[name].wordings if name in added else ()
            topics[name] = Topic(name, topic.evidence, topic.layer, (*before, *topic.wordings))
        return cls(topics)

    @property
    def topics(self) -> tuple[str, ...]:
        """Names of all topics."""
        return tuple(self._topics)

    def topic(self, name: str) -> Topic:
        """A topic by its name.

        Raises:
            ValueError: there is none.
        """
        if name not in self._topics:
            raise ValueError(f"The grammar has no topic {name!r}.")
        return self._topics[name]

    def evidence_of(self, topic: str) -> Evidence:
        """What sentences on a topic rest on."""
        return self.topic(topic).evidence

    def layer_of(self, topic: str) -> Layer:
        """The layer that a topic belongs to."""
        return self.topic(topic).layer

    def say(
        self,
        statement: Statement,
        key: str,
        used: Collection[str] = (),
        hedge: int = 0,
        avoid: re.Pattern[str] | None = None,
    ) -> str:
        """Put a statement into words.

        Args:
            statement: what is to be said.
            key: what decides among the wordings: the same key gives the same words, and keys that differ in their last
                word alone the same kind of words for directions.
            used: words in lower case that stand in the text already; few of them come again.
            hedge: 0 says it plainly, 1 as likely, 2 as possible.
            avoid: wordings in which it is found are not taken, unless the topic has no other that fits.

        Returns:
            A sentence without capital and full stop.

        Raises:
            ValueError: an unknown topic, or slots for which it has no wording.
        """
        fitting = self.fitting(statement)
        if avoid is not None:
            fitting = tuple(wording for wording in fitting if not avoid.search(wording.text)) or fitting
        if hedge:
            fitting = tuple(wording for wording in fitting if HEDGE in wording.slots) or fitting
        style = random.Random(key.rpartition(" ")[0] or key).random()
        chance = Usual(f"{key}/{statement.topic}/{hedge}")
        known = used if isinstance(used, set | frozenset) else frozenset(used)
        best, least = "", float("inf")
        for _ in range(_DRAWN):
            text = rendered(chance.choice(fitting), statement, chance, hedge, style)
            cost = _repeated(text, known)
            if cost < least:
                best, least = text, cost
        return best

    def fitting(self, statement: Statement) -> tuple[Wording, ...]:
        """The wordings that say all that a statement holds, and nothing that it does not."""
        topic = self.topic(statement.topic)
        fitting = tuple(wording for wording in topic.wordings if fits(wording, statement))
        if not fitting:
            raise ValueError(f"The topic {topic.name} has no wording for the slots {dict(statement.slots)}.")
        return fitting


def _words(text: str) -> Iterator[str]:
    return (word.lower() for word in _WORD.findall(text))


def _repeated(text: str, used: Collection[str]) -> float:
    """The share of words that were used before or come twice; small words count for little."""
    seen: set[str] = set()
    cost = total = 0.0
    for word in _words(text):
        weight = 0.3 if word in _SMALL else 1.0
        total += weight
        cost += weight * (word in used or word in seen)
        seen.add(word)
    return cost / max(total, 1.0)
