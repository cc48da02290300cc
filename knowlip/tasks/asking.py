"""What fine-tuning asks of each tile: which questions, in which words, and turned which way.

Two settings of balance meet here. Tiles whose questions have rare answers are met more often
(:class:`~knowlip.training.order.Order`), and of a tile's questions those with rare answers are asked more often.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

import numpy as np

from knowlip.base.progress import say
from knowlip.base.vocabulary import REGIONS
from knowlip.dataset import Dataset
from knowlip.language.directions import Turn, draw_turns, possible_turns
from knowlip.language.questions import NUMBERED, QUESTION_TYPES, Askable, Posed, Question, QuestionType, askables
from knowlip.language.turning import may_turn
from knowlip.tasks.items.records import OF_LABELS
from knowlip.tasks.questions import facts_about
from knowlip.training.augment import AugmentConfig
from knowlip.training.balance import drawn, limited, shares, told


@dataclass(frozen=True)
class Example:
    """One question about one tile, in one wording or several."""

    tile_id: str
    question: str
    answer: str
    type: str = ""
    """Questions of one type are balanced over their answers, and types against each other."""
    others: tuple[str, ...] = ()
    """The question in other words: one wording of all is drawn whenever it is asked."""
    rate: float = 1.0
    """How often it is asked when its tile is met, as questions come (without balance)."""
    sure: bool | None = field(default=None, repr=False)
    """Whether whatever names a place does so in our words, which turn with the pixels; found out where it is not given,
    see :mod:`knowlip.language.turning`."""

    @property
    def wordings(self) -> tuple[str, ...]:
        """The question in all its wordings."""
        return (self.question, *self.others)

    @property
    def group(self) -> tuple[str, str]:
        """What is balanced: type and answer."""
        return self.type, self.answer.lower()

    def turned(self, turn: Turn) -> list[Posed | None]:
        """In each wording about the turned tile."""
        return [Posed(words, self.answer).turned(turn, self.sure) for words in self.wordings]


def examples_of(dataset: Dataset) -> tuple[list[Example], str]:
    """All that may be asked of the training tiles, and where the answers come from: "truth" or "annotator"."""
    facts, source = facts_about(dataset, list(dataset.tiles("train")["tile_id"]))
    examples = [
        Example(one.tile_id, one.wordings[0], one.answer, one.type, one.wordings[1:], one.rate, sure=True)
        for one in askables(facts)
    ]
    return examples, source


def example_of(question: Question, names: Collection[str] = ()) -> Example:
    """A question of a file: in all wordings where it is one of ours, else in its own.

    Args:
        question: with its answer.
        names: of things, in lower case, which turn with no pixel.
    """
    numbered = question.answer.startswith("region ") or question.subject.startswith("region ")
    numbered = numbered and question.type in NUMBERED
    ours = question.type in QUESTION_TYPES
    wordings = Askable("", question.type, question.answer, question.subject, numbered=numbered).wordings if ours else ()
    others = tuple(words for words in wordings if words != question.question) if question.question in wordings else ()
    # A file may say that its words are ours where somebody wrote them by hand: "5" for a region would stay.
    placed = question.type != QuestionType.POSITION or numbered or question.answer in REGIONS
    sure = question.source in OF_LABELS and question.question in wordings and placed
    sure = sure or may_turn(question.question, question.answer, names)
    return Example(question.tile_id, question.question, question.answer, str(question.type), others, sure=sure)


Counts = dict[tuple[str, str], float]
"""Type and answer -> a number of questions."""


def by_type(counts: Counts) -> dict[str, float]:
    """The same by type alone, "questions" where they have none."""
    found: dict[str, float] = {}
    for (kind, _), number in counts.items():
        name = kind.replace("_", " ") or "questions"
        found[name] = found.get(name, 0.0) + number
    return found


class QuestionSampler:
    """Which questions are asked of which tile, drawn anew whenever it is met.

    Args:
        examples: all questions.
        balance: 0 (each tile as often as any other, its questions by their `rate`) to 1 (types equally often, and the
            answers of a type, as far as `repeats` and the tiles' other questions allow).
        repeats: most times that a tile is met in an epoch.
        most: questions a tile at once, at most.
    """

    def __init__(self, examples: Iterable[Example], balance: float, repeats: float, most: int) -> None:
        by_tile: dict[str, list[Example]] = {}
        for example in examples:
            by_tile.setdefault(example.tile_id, []).append(example)
        self.tile_ids = sorted(by_tile)
        self.of_tile = [by_tile[tile_id] for tile_id in self.tile_ids]
        urgency = _urgency(self.of_tile, balance)
        self.chances = [_chances(asked, urgency, most) for asked in self.of_tile]
        """For each tile how often each of its questions is asked when it is met, at most 1."""
        due = [sum(urgency[one.group] * one.rate for one in asked) for asked in self.of_tile]
        come = [sum(one.rate for one in asked) for asked in self.of_tile]
        self.weights = limited(np.array(due) / np.array(come), len(due), repeats)
        """How often each tile is met in an epoch: as urgent as its questions are on average."""

    def draw(
        self, rows: np.ndarray, rng: np.random.Generator, augment: AugmentConfig
    ) -> list[tuple[Turn, list[Posed]]]:
        """The turn of each tile, and what is asked of it: at least one question.

        A tile is turned with all its questions or not at all: a direction that is not understood leaves it as it is,
        see :meth:`cannot_turn`.

        Args:
            rows: numbers of tiles.
            rng: chance.
            augment: its `flips` and `rotations`.
        """
        turns = draw_turns(rng.random((len(rows), 2)), augment.flips, augment.rotations)
        return [self._posed(int(row), Turn.of(int(turn)), rng) for row, turn in zip(rows, turns)]

    def _posed(self, row: int, turn: Turn, rng: np.random.Generator) -> tuple[Turn, list[Posed]]:
        asked, order = self.of_tile[row], rng.permutation(len(self.of_tile[row]))
        chances = self.chances[row][order]
        chosen = order[drawn(chances, float(chances.sum()), rng.random()) > 0]
        posed = []
        for one in (asked[at] for at in chosen):
            posed.append((one, Posed(one.wordings[rng.integers(len(one.wordings))], one.answer)))
        turned = [words.turned(turn, one.sure) for one, words in posed]
        whole = [one for one in turned if one is not None]
        return (turn, whole) if len(whole) == len(posed) else (Turn(), [words for _, words in posed])

    def cannot_turn(self, augment: AugmentConfig) -> tuple[int, int]:
        """How many questions (with their answers, in each wording) hold a direction that is not understood in one of
        the turns that are drawn, and how many there are."""
        turns = possible_turns(augment.flips, augment.rotations)
        posed = {
            (Posed(words, one.answer), one.sure) for asked in self.of_tile for one in asked for words in one.wordings
        }
        return sum(any(one.turned(turn, sure) is None for turn in turns) for one, sure in posed), len(posed)

    def tell(self, steps: int, times: np.ndarray, augment: AugmentConfig) -> None:
        """Say what an epoch asks, and which questions cannot turn with their tiles.

        Args:
            steps: of an epoch.
            times: how often each tile is met in it.
            augment: decides which turns are drawn.
        """
        asked, come = self.asked(times), self.as_they_come()
        say(f"an epoch of {steps} steps asks {told(by_type(asked), by_type(come))}")
        refused, known = self.cannot_turn(augment)
        if refused:
            say(
                f"warning: {refused:,} of {known:,} questions name a direction that is not understood: while one of "
                "them is asked, its tile is not turned."
            )

    def asked(self, times: np.ndarray) -> Counts:
        """How many questions of each type and answer an epoch asks, on average.

        Args:
            times: how often each tile is met.
        """
        found: Counts = {}
        for examples, chances, number in zip(self.of_tile, self.chances, times):
            for one, chance in zip(examples, chances):
                found[one.group] = found.get(one.group, 0.0) + float(number * chance)
        return found

    def as_they_come(self) -> Counts:
        """The same where every tile is met once and asked one question of each type."""
        return _come(self.of_tile)

    def key(self) -> str:
        """Identifies the questions."""
        found = sha256()
        for asked in self.of_tile:
            for one in asked:
                found.update(repr(one).encode())
        return found.hexdigest()[:16]


def _come(of_tile: Sequence[Sequence[Example]]) -> Counts:
    """How often each group is asked when each tile is met once."""
    found: Counts = {}
    for asked in of_tile:
        for one in asked:
            found[one.group] = found.get(one.group, 0.0) + one.rate
    return found


def _urgency(of_tile: Sequence[Sequence[Example]], balance: float) -> Counts:
    """Group -> how much more often it should be asked than it comes."""
    come = _come(of_tile)
    answers: dict[str, list[tuple[str, str]]] = {}
    for group in come:
        answers.setdefault(group[0], []).append(group)
    sizes = {kind: np.array([come[group] for group in groups]) for kind, groups in answers.items()}
    of_type = shares(np.array([size.sum() for size in sizes.values()]), balance)
    total = sum(come.values())
    return {
        group: float(type_share * share * total / come[group])
        for type_share, (kind, groups) in zip(of_type, answers.items())
        for group, share in zip(groups, shares(sizes[kind], balance))
    }


def _chances(asked: Sequence[Example], urgency: Counts, most: int) -> np.ndarray:
    """How often each question of a tile is asked when it is met."""
    due = np.array([urgency[one.group] * one.rate for one in asked])
    number = min(float(most), max(1.0, float(np.minimum(due, 1.0).sum())))
    return limited(due, number, 1.0)
