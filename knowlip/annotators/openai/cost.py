"""What a run costs: prices, the estimate before it, and the hard stop within it."""

import json
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from knowlip.annotators.openai.endpoint import CostLimit
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.prompt import AnswerForm, repair_request
from knowlip.annotators.openai.tokens import count_tokens, image_tokens
from knowlip.annotators.types import Annotation, SubText, TileRequest
from knowlip.language.dimensions import DIMENSIONS

_MESSAGE_TOKENS = 4
"""What a chat template adds to each message."""
_TYPICAL = "possibly three bright rows of large buildings, in the upper and central areas"
"""13 words, what a sub-text of the paper has on average (101.6 words in eight)."""


@dataclass(frozen=True)
class Prices:
    """Of a million tokens, in any currency."""

    input: float = 0.0
    output: float = 0.0

    @property
    def known(self) -> bool:
        """Whether there are any."""
        return self.input > 0 or self.output > 0

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """What so many tokens cost."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6


def prices_of(options: OpenAIOptions, batch: bool) -> Prices:
    """The prices that a run pays."""
    share = 1.0 - options.batch_discount if batch else 1.0
    return Prices(options.price_in * share, options.price_out * share)


class Budget:
    """A limit that is never passed: the most a request may cost is set aside before it is sent. Safe from threads.

    Args:
        limit: 0 = none.
        spent: what earlier runs have spent.
        reserved: what is set aside for requests that they have left in flight.
    """

    def __init__(self, limit: float, spent: float = 0.0, reserved: float = 0.0) -> None:
        self._limit, self._spent, self._reserved = limit, spent, reserved
        self._change = threading.Condition()

    def reserve(self, most: float) -> None:
        """Set aside the most that a request may cost; waits while requests in flight may turn out cheaper.

        Raises:
            CostLimit: it could pass the limit.
        """
        with self._change:
            while not self._fits(most):
                if self._reserved <= 0:
                    raise CostLimit(self.sentence(most))
                self._change.wait()
            self._reserved += most

    def try_reserve(self, most: float) -> bool:
        """The same without waiting: whether it was set aside."""
        with self._change:
            fits = self._fits(most)
            self._reserved += most if fits else 0.0
            return fits

    def settle(self, reserved: float, cost: float) -> None:
        """Replace what was set aside by what it cost."""
        with self._change:
            self._reserved = max(0.0, self._reserved - reserved)
            if self._reserved < 1e-9:  # sums of many small numbers do not end at 0
                self._reserved = 0.0
            self._spent += cost
            self._change.notify_all()

    def sentence(self, most: float) -> str:
        """Why the run stops."""
        return (
            f"The run has spent {self._spent:.4f} and its next request may cost {most:.4f}, more than max_cost "
            f"{self._limit:g} leaves; the same command with a higher --max_cost goes on from here."
        )

    def _fits(self, most: float) -> bool:
        return not self._limit or self._spent + self._reserved + most <= self._limit + 1e-12


def sent_size(shape: tuple[int, ...], side: int) -> tuple[int, int]:
    """Width and height of the image that is sent of a tile of this shape."""
    height, width = shape[:2]
    shrink = min(1.0, side / max(width, height))
    return max(1, round(width * shrink)), max(1, round(height * shrink))


class TokenCounter:
    """Counts the tokens of requests; the system message and the schema, the same for all, are counted once."""

    def __init__(self, options: OpenAIOptions, schema: Any) -> None:
        self._options = options
        self._schema = count_tokens(json.dumps(schema), options.tokenizer) if schema else 0
        self._known: dict[str, int] = {}

    def text(self, text: str) -> int:
        """Tokens of a text."""
        return count_tokens(text, self._options.tokenizer)

    def messages(self, messages: list[dict[str, Any]], shape: tuple[int, ...]) -> int:
        """Input tokens of a chat with one image of a tile of this shape."""
        total = self._schema + image_tokens(*sent_size(shape, self._options.image_side), self._options.image_tokens)
        for message in messages:
            content = message["content"]
            if isinstance(content, list):
                content = "".join(part["text"] for part in content if part["type"] == "text")
            if message["role"] == "system":
                if content not in self._known:
                    self._known = {content: self.text(content)}
                total += self._known[content] + _MESSAGE_TOKENS
            else:
                total += self.text(content) + _MESSAGE_TOKENS
        return total


def typical_annotation(instruction_set: str = "terrain") -> Annotation:
    """An annotation of the paper's average length, in place of one that is not written yet."""
    names = DIMENSIONS[instruction_set]
    return Annotation("typical", instruction_set, tuple(SubText(name, _TYPICAL, 0.8, "visual") for name in names))


def typical_answer(note: Annotation, answer: AnswerForm = "json") -> str:
    """Such an annotation as a model writes it."""
    if answer == "text":
        lines = [f"{sub.dimension}: {sub.text} ({sub.confidence}, {sub.evidence})" for sub in note.sub_texts]
        return "\n".join([f"Instruction set: {note.instruction_set}", *lines])
    fields = {s.dimension: {"text": s.text, "confidence": s.confidence, "evidence": s.evidence} for s in note.sub_texts}
    counts = [{"category": "ship", "number": 3}]
    boxes = [{"category": "ship", "x": 0.312, "y": 0.255, "width": 0.041, "height": 0.018}] * 3
    whole = {"instruction_set": note.instruction_set, "sub_texts": fields, "counts": counts, "boxes": boxes}
    return json.dumps(whole)


@dataclass
class Estimate:
    """Sums of one wave, or of all."""

    tiles: float = 0.0
    requests: float = 0.0
    input_tokens: float = 0.0
    image_tokens: float = 0.0
    output_tokens: float = 0.0

    def __add__(self, other: "Estimate") -> "Estimate":
        return Estimate(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    def row(self, prices: Prices) -> dict[str, float]:
        """Whole numbers, and the cost."""
        numbers: dict[str, float] = {name: round(value) for name, value in vars(self).items()}
        return numbers | {"cost": round(prices.of(self.input_tokens, self.output_tokens), 4)}


def estimate_wave(requests: Iterable[TileRequest], tiles: int, options: OpenAIOptions, schema: Any) -> Estimate:
    """What a wave of `tiles` tiles will need, from the composed prompts of some of them.

    Args:
        requests: some tiles of the wave, without parents or with.
        tiles: all of them.
        options: how is asked.
        schema: JSON schema of the answer, where it is sent.
    """
    counter, total, seen = TokenCounter(options, schema), Estimate(), 0
    answer = typical_answer(typical_annotation(options.instruction_set or "terrain"), options.answer_form)
    output = options.typical_output_tokens or counter.text(answer)
    problem = repair_request("sub_texts.Size: Field required.", options.answer_form)
    repair = counter.text(problem) + output + 2 * _MESSAGE_TOKENS
    for request in requests:
        prompt = options.prompt(request)
        shape, seen = request.image.shape, seen + 1
        question = counter.messages(prompt.messages(), shape)
        picture = image_tokens(*sent_size(shape, options.image_side), options.image_tokens)
        share = options.repair_share
        total += Estimate(
            1, 1 + share, question + share * (question + repair), picture * (1 + share), output * (1 + share)
        )
    if not seen:
        return Estimate()
    return Estimate(*(value * tiles / seen for value in vars(total).values()))


def table(rows: dict[str, dict[str, float]]) -> str:
    """The estimate for people."""
    names = ["tiles", "requests", "input_tokens", "image_tokens", "output_tokens", "cost"]
    lines = ["  wave   " + "".join(f"{name:>15}" for name in names)]
    for wave, row in rows.items():
        cells = [f"{row[name]:>15,.0f}" for name in names[:-1]]
        cells.append(f"{row['cost']:>15,.{2 if row['cost'] >= 10 else 4}f}")
        lines.append(f"  {wave:7}" + "".join(cells))
    return "\n".join(lines)
