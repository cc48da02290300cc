"""What a run costs: prices, the estimate before it, and the hard stop within it."""

import json
import math
import threading
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

from knowlip.annotators.openai.endpoint import CostLimit
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.prompt import repair_request
from knowlip.annotators.openai.reply import ChatAnswer
from knowlip.annotators.tokens import count_tokens
from knowlip.annotators.types import Annotation, SubText, TileRequest
from knowlip.annotators.workers import Chunk, requests
from knowlip.base.progress import say
from knowlip.base.vocabulary import SCALES
from knowlip.dataset import Dataset
from knowlip.language.dimensions import DIMENSIONS, InstructionSet

_MESSAGE_TOKENS = 4
"""What a chat template adds to each message."""
_TYPICAL = "possibly three bright rows of large buildings, in the upper and central areas"
"""13 words, what a sub-text of the paper has on average (101.6 words in eight)."""
_SAMPLE: Final = 200
"""Tiles a wave whose prompts are composed and counted, evenly over the wave; the rest is taken to be like them."""

_COUNTED: Final = 100_000
"""Characters of an answer that are counted; a longer one is taken to go on like that."""


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


_counted = lru_cache(maxsize=64)(count_tokens)
"""The system message and the schema are the same for all tiles."""


def input_tokens(body: Mapping[str, Any], options: OpenAIOptions) -> int:
    """Input tokens of a request: its messages, the schema of its answer, and one image."""
    schema = body.get("response_format", {}).get("json_schema")
    texts = [json.dumps(schema["schema"])] if schema else []
    for message in body["messages"]:
        content = message["content"]
        texts.append(content if isinstance(content, str) else content[0]["text"])
    words = sum(_counted(text, options.tokenizer) for text in texts)
    return words + _MESSAGE_TOKENS * len(body["messages"]) + options.image_tokens


def output_tokens(answer: ChatAnswer, options: OpenAIOptions) -> int:
    """Output tokens of an answer, where the endpoint does not state them."""
    text = answer["thoughts"] + answer["content"] + answer["refusal"]
    head = text[:_COUNTED]
    return math.ceil(count_tokens(head, options.tokenizer) * len(text) / max(1, len(head)))


def typical_annotation(instruction_set: str = InstructionSet.TERRAIN) -> Annotation:
    """An annotation of the paper's average length, in place of one that is not written yet."""
    names = DIMENSIONS[instruction_set]
    texts = tuple(SubText(name, _TYPICAL, 0.8, "visual") for name in names)
    return Annotation("typical", InstructionSet(instruction_set), texts)


@dataclass
class CostEstimate:
    """Sums of one wave, or of all."""

    tiles: float = 0.0
    requests: float = 0.0
    input_tokens: float = 0.0
    image_tokens: float = 0.0
    output_tokens: float = 0.0

    def __add__(self, other: "CostEstimate") -> "CostEstimate":
        return CostEstimate(*(getattr(self, name) + getattr(other, name) for name in vars(self)))

    def __mul__(self, factor: float) -> "CostEstimate":
        return CostEstimate(*(value * factor for value in vars(self).values()))

    def row(self, prices: Prices) -> dict[str, float]:
        """Whole numbers, and the cost."""
        numbers: dict[str, float] = {name: round(value) for name, value in vars(self).items()}
        return numbers | {"cost": round(prices.of(self.input_tokens, self.output_tokens), 4)}


def estimate_wave(sample: Iterable[TileRequest], tiles: int, options: OpenAIOptions) -> CostEstimate:
    """What a wave of `tiles` tiles will need, from the composed prompts of a sample of them.

    Args:
        sample: some tiles of the wave, without parents or with.
        tiles: all of them.
        options: how is asked.
    """
    total, share, output = CostEstimate(), options.repair_share, options.typical_output_tokens
    problem = repair_request("sub_texts.Size: Field required.", options.answer_form)
    # a repair turn sends the question again, then the answer and what is wrong with it
    repair = _counted(problem, options.tokenizer) + output + 2 * _MESSAGE_TOKENS
    for request in sample:
        question = input_tokens({**options.parameters(""), "messages": options.prompt(request).messages()}, options)
        images = options.image_tokens * (1 + share)
        total += CostEstimate(1, 1 + share, question + share * (question + repair), images, output * (1 + share))
    return total * (tiles / total.tiles) if total.tiles else total


def estimate(dataset: Dataset, options: OpenAIOptions, batch: bool, finished: Collection[str] = ()) -> dict[str, Any]:
    """Estimate the waves of a run, of the tiles that are not `finished`, and print a table; no key is needed.

    Answers are taken to have `typical_output_tokens`, every parent to be annotated.

    Returns:
        `dry_run`, `waves` (scale, and "all" -> tiles, requests, input_tokens (with images), image_tokens,
        output_tokens, cost), `prices` (of a million tokens), `counted` ("rule" or the tokenizer's file).
    """
    prices, waves = prices_of(options, batch), {}
    for scale in SCALES:
        tiles = dataset.tiles(scale=scale)
        tiles = tiles[~tiles["tile_id"].isin(finished)]
        part = tiles.iloc[:: max(1, -(-len(tiles) // _SAMPLE))]
        found = [{str(key): value for key, value in row.items()} for row in part.to_dict("records")]
        parents = {row["parent_id"]: typical_annotation() for row in found if row["parent_id"]}
        waves[str(scale)] = estimate_wave(requests(dataset, Chunk(scale, found, parents)), len(tiles), options)
    waves["all"] = sum(waves.values(), CostEstimate())
    rows = {name: wave.row(prices) for name, wave in waves.items()}
    say(_table(rows))
    if not prices.known:
        say("  The cost needs prices of a million tokens: --openai.price_in and --openai.price_out.")
    return {
        "dry_run": True,
        "waves": rows,
        "prices": {"input": prices.input, "output": prices.output},
        "counted": options.tokenizer or "rule",
    }


def _table(rows: dict[str, dict[str, float]]) -> str:
    names = ["tiles", "requests", "input_tokens", "image_tokens", "output_tokens", "cost"]
    lines = ["  wave   " + "".join(f"{name:>15}" for name in names)]
    for wave, row in rows.items():
        cells = [f"{row[name]:>15,.0f}" for name in names[:-1]]
        cells.append(f"{row['cost']:>15,.{2 if row['cost'] >= 10 else 4}f}")
        lines.append(f"  {wave:7}" + "".join(cells))
    return "\n".join(lines)
