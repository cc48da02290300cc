"""`knowlip text paraphrase`: a language model rewords sub-texts; kept is only what says the same when it is read back.

The result is a revision of the texts. Answers and ledger are kept in DATASET/.paraphrase: an interrupted run goes on
with the same command and pays no answer twice.
"""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import pandas as pd

from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.reply import ChatAnswer
from knowlip.annotators.openai.secret import HIDDEN
from knowlip.annotators.paraphrase.rules import REASONS, refusal, tidied
from knowlip.annotators.workers import PLACE_KEYS
from knowlip.base.files import sha256
from knowlip.base.progress import say, track
from knowlip.base.vocabulary import DISTRUSTED, Decision
from knowlip.dataset import Dataset
from knowlip.dataset.figures import read_figures, write_figures
from knowlip.dataset.texts import read_revision
from knowlip.jobs.run import runner
from knowlip.jobs.store import alone
from knowlip.jobs.work import Threads
from knowlip.language.marks import Sentence, joined, sentences_of

if TYPE_CHECKING:
    from knowlip.annotators.openai.endpoint import TileFailed

_SYSTEM: Final = (
    "You reword statements about radar images of the Earth. Say exactly the same in other words: keep every number, "
    "unit, name, direction, region, type and doubt, add nothing and leave nothing out. Answer with the reworded "
    "statement alone, on one line, without a full stop."
)
_LONGEST: Final = 2000
"""Characters of an answer; one that is longer rewords no sentence."""
_SHOTS: Final = (
    ("three ships lie in the upper left region", "the upper left region holds three ships"),
    ("Nearest town: Delft, about 4 km away", "Delft, the nearest town, lies about 4 km from here"),
)


@dataclass(frozen=True)
class ParaphraseOptions(OpenAIOptions):
    """How to ask. Settings of prompts and images are not read."""

    temperature: float = 0.7
    """Of the sampling."""
    max_tokens: int = 120
    """Longest answer."""
    image_tokens: int = 0
    """No image is sent."""
    typical_output_tokens: int = 25
    """Of an answer, for estimates."""


@dataclass(frozen=True)
class ParaphraseConfig:
    """Which texts to reword, and who does it."""

    POSITIONAL: ClassVar = ("dataset",)

    dataset: Path
    """Folder of an annotated data set."""
    model: str
    """Name of the model as the endpoint knows it."""
    base_url: str = ""
    """Address that ends in /v1; empty = environment variable OPENAI_BASE_URL, else OpenAI's own."""
    revision: int | None = None
    """Texts to reword; the newest where not given."""
    share: float = 1.0
    """Share of the sub-texts that are reworded, drawn by lot."""
    variants: int = 4
    """Ways in which the same sentence of different tiles is asked for, each by another seed of the sampling."""
    seed: int = 0
    """Of the lot."""
    concurrency: int = 8
    """Requests in flight."""
    dry_run: bool = False
    """Only estimate requests, tokens and cost; nothing is asked, paid or written."""
    max_cost: float = 0.0
    """Stop before all runs on this data set together could cost more; needs openai.price_in and price_out."""
    openai: ParaphraseOptions = field(default_factory=ParaphraseOptions)
    """Request settings."""

    def __post_init__(self) -> None:
        if not self.model:
            raise ValueError("Paraphrasing needs the name of a model (--model).")
        if not 0 < self.share <= 1:
            raise ValueError("share must be above 0 and at most 1.")
        if min(self.variants, self.concurrency) < 1 or self.max_cost < 0:
            raise ValueError("variants and concurrency must be 1 or more, max_cost must not be negative.")


class Wanted(NamedTuple):
    """A sentence to reword."""

    text: str
    variant: int
    tile_id: str
    """The first tile that holds it, for the ledger."""

    @property
    def messages(self) -> list[dict[str, Any]]:
        """What is sent."""
        shots = [{"role": who, "content": text} for shot in _SHOTS for who, text in zip(("user", "assistant"), shot)]
        return [{"role": "system", "content": _SYSTEM}, *shots, {"role": "user", "content": self.text}]


def text_paraphrase(config: ParaphraseConfig) -> dict[str, Any]:
    """Reword sub-texts and write what says the same as a revision.

    Returns:
        `revision` (the one written, or found; the parent where nothing was kept), `parent`, `run`, `sub_texts` (asked
        about), `paraphrased` (of these), `sentences` (asked about), `kept` (of these), `reasons` (why the others stay
        as they are -> how many), `by_evidence` (kind -> {"sentences", "kept"}), and of a run that asked `usage` and
        `ledger`. With `dry_run`: `requests`, `input_tokens`, `output_tokens`, `cost`.

    Raises:
        ValueError: no texts, or no such revision; the endpoint cannot be used, or the limit of the cost is reached.
    """
    dataset = Dataset(config.dataset)
    parent, run = _named(dataset, config)
    found = dataset.find_revision(run)
    if found is not None and (figures := read_figures(dataset.path, found)):
        say(f"revision {found} holds these words already")
        return {"revision": found, "parent": parent, "run": run, **figures}
    rows = _chosen(dataset.texts(parent), config)
    if rows.empty:
        raise ValueError(f"{config.dataset} has no sub-text to reword in revision {parent}.")
    wanted = _wanted(rows, config.variants)
    if config.dry_run:
        return _estimate(wanted, config)
    folder = config.dataset / ".paraphrase"
    with alone(folder / "lock", f"Another process paraphrases in {folder}; let one of them end."):
        answers, spent = _asked(wanted, config, folder)
        new, figures = _judged(dataset, rows, answers, config)
        number = parent
        if len(new):
            number = dataset.append_revision(new, run, parent=parent)
            write_figures(dataset.path, number, figures)
        return {"revision": number, "parent": parent, "run": run, **figures, **spent}


def show(result: dict[str, Any]) -> str:
    """The result for people."""
    if "requests" in result:
        return (
            f"{result['requests']:,} requests of {result['input_tokens']:,} input and {result['output_tokens']:,} "
            f"output tokens; cost {result['cost']:.4f}"
        )
    lines = [
        f"revision {result['revision']} on {result['parent']}: {result['kept']:,} of {result['sentences']:,} sentences "
        f"reworded, in {result['paraphrased']:,} of {result['sub_texts']:,} sub-texts"
    ]
    lines += [f"  {number:6,} stay: {REASONS[reason]}" for reason, number in result["reasons"].items()]
    return "\n".join(lines)


def _named(dataset: Dataset, config: ParaphraseConfig) -> tuple[int, str]:
    """The revision to reword, and the name of the run that does it: the same for the same settings.

    Where the newest revision is what this very command wrote, its parent is meant: a second call finds its own work.
    """
    there = dataset.revisions()
    if not there:
        raise ValueError(f"{config.dataset} has no texts yet: annotate it first.")
    asked = {name: getattr(config.openai, name) for name in ("temperature", "max_tokens", "seed", "extra")}
    settings = {name: getattr(config, name) for name in ("model", "share", "variants", "seed")}

    def name(revision: int) -> str:
        facts = [dataset.fingerprint, revision, settings, asked, _SYSTEM, _SHOTS]
        return f"paraphrase-{sha256(json.dumps(facts, sort_keys=True).encode())[:8]}"

    newest = there[-1] if config.revision is None else config.revision
    if config.revision is None and newest:
        table = read_revision(dataset.path, newest)
        parent = table["parent"][0].as_py() if len(table) else newest - 1
        if len(table) and table["run"][0].as_py() == name(parent):
            return parent, name(parent)
    return newest, name(newest)


def _chosen(texts: pd.DataFrame, config: ParaphraseConfig) -> pd.DataFrame:
    """The drawn share of the sub-texts; what screening distrusts stays as it is."""
    texts = texts[~texts["decision"].isin(DISTRUSTED)]
    lots = [_number(f"{config.seed}/{tile}/{slot}") for tile, slot in zip(texts["tile_id"], texts["slot"])]
    return texts[[lot < config.share for lot in lots]]


def _number(name: str) -> float:
    """In [0, 1), from a name."""
    return int(hashlib.sha256(name.encode()).hexdigest()[:12], 16) / 16**12


def _sentences(rows: pd.DataFrame, variants: int) -> Iterator[list[tuple[Sentence, tuple[str, int]]]]:
    """Of each row its sentences with what is asked about them: their words, and the variant of the tile."""
    for tile, text, marks, evidence in zip(*(rows[name] for name in ("tile_id", "text", "marks", "evidence"))):
        variant = int(_number(tile) * variants)
        yield [(one, (one.text, variant)) for one in sentences_of(text, marks, evidence)]


def _wanted(rows: pd.DataFrame, variants: int) -> list[Wanted]:
    """Every different question once."""
    found: dict[tuple[str, int], Wanted] = {}
    for tile, sentences in zip(rows["tile_id"], _sentences(rows, variants)):
        for _, key in sentences:
            found.setdefault(key, Wanted(*key, tile))
    return list(found.values())


def _parameters(config: ParaphraseConfig) -> dict[str, Any]:
    """Everything of a request but its messages and the variant's seed."""
    options = config.openai
    asked = {"model": config.model, "temperature": options.temperature, "max_tokens": options.max_tokens}
    return {name: value for name, value in (asked | options.extra).items() if value is not None}


def _estimate(wanted: list[Wanted], config: ParaphraseConfig) -> dict[str, Any]:
    from knowlip.annotators.openai.cost import input_tokens, prices_of

    tokens = sum(input_tokens({"messages": one.messages}, config.openai) for one in wanted)
    output = len(wanted) * config.openai.typical_output_tokens
    cost = round(prices_of(config.openai, False).of(tokens, output), 4)
    return {"requests": len(wanted), "input_tokens": tokens, "output_tokens": output, "cost": cost}


def _reworded(answer: "ChatAnswer | TileFailed") -> str:
    """The new words of an answer; "" where it gives none."""
    if isinstance(answer, ValueError):
        return ""
    bad = answer["finish_reason"] == "length" or answer["refusal"] or len(answer["content"]) > _LONGEST
    return "" if bad or HIDDEN in answer["content"] else tidied(answer["content"])


def _asked(
    wanted: list[Wanted], config: ParaphraseConfig, folder: Path
) -> tuple[dict[tuple[str, int], str], dict[str, Any]]:
    """The answers by words and variant, and what was asked and spent."""
    # The client library takes a second to import.
    from knowlip.annotators.openai.cached import CachedEndpoint, ChatRequest
    from knowlip.annotators.openai.work import EndpointWork

    ledger = RequestLedger(folder / "ledger.sqlite")
    endpoint = CachedEndpoint(
        config.model,
        config.openai,
        folder / "answers",
        config.base_url,
        ledger,
        config.max_cost,
        parameters=_parameters(config),
    )
    endpoint.check()
    answers = {}

    def question(one: Wanted) -> ChatRequest:
        return endpoint.question(one.messages, one.tile_id, 0, {"seed": config.openai.seed + one.variant})

    with runner(EndpointWork(endpoint, question), Threads(config.concurrency)) as run:
        for one, answer in track(run(wanted), "reword sentences", len(wanted)):
            answers[one.text, one.variant] = _reworded(answer)
    spent = {"usage": endpoint.usage.as_dict(), "ledger": ledger.summary()}
    ledger.close()
    return answers, spent


def _judged(
    dataset: Dataset, rows: pd.DataFrame, answers: dict[tuple[str, int], str], config: ParaphraseConfig
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rows of the new revision, of the sub-texts in which a sentence was kept; and the figures of the run."""
    # Sentence by sentence: one that fails leaves the others of its sub-text their new words.
    places = {row["tile_id"]: _places(row) for row in dataset.tiles().to_dict("records")}
    reasons: Counter[str] = Counter()
    by_evidence: dict[str, Counter[str]] = defaultdict(Counter)
    changed, texts, marks = [], [], []
    columns = (rows[name] for name in ("tile_id", "instruction_set", "dimension", "marks"))
    for at, ((tile, kind, dimension, old), sentences) in enumerate(
        zip(zip(*columns), _sentences(rows, config.variants), strict=True)
    ):
        new = []
        for one, key in sentences:
            answer = answers[key]
            reason = refusal(kind, dimension, one, answer, places[tile]) if answer else "no answer"
            reasons[reason] += 1
            by_evidence[one.evidence].update(sentences=1, kept=int(not reason))
            new.append(one if reason else one._replace(text=_cased(answer, one.text)))
        if new != [one for one, _ in sentences]:
            text, marked = joined(new) if old else (new[0].text, "")
            changed.append(at)
            texts.append(text)
            marks.append(marked)
    found = rows.iloc[changed].assign(
        text=texts,
        marks=marks,
        annotator="paraphrase",
        decision=Decision.PARAPHRASED,
        reason=f"in the words of {config.model}",
        delta_itc=0.0,
        delta_itm=0.0,
        margin=0.0,
    )
    kept = reasons.pop("", 0)
    figures = {
        "model": config.model,
        "sub_texts": len(rows),
        "paraphrased": len(found),
        "sentences": kept + sum(reasons.values()),
        "kept": kept,
        "reasons": {reason: reasons[reason] for reason in REASONS if reasons[reason]},
        "by_evidence": {
            kind: {name: count[name] for name in ("sentences", "kept")} for kind, count in by_evidence.items()
        },
    }
    return found, figures


def _places(row: dict[Any, Any]) -> list[str]:
    return [str(row[key]) for key in PLACE_KEYS if isinstance(row.get(key), str) and row[key]]


def _cased(new: str, old: str) -> str:
    """The first letter small where it was small, but of names."""
    lower = old[:1].islower() and new[:1].isupper() and not new[1:2].isupper()
    return new[:1].lower() + new[1:] if lower and new.split()[0] not in old else new
