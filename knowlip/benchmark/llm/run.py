"""`knowlip bench llm`: the questions that `knowlip evaluate` asks, put to any OpenAI-compatible endpoint.

    OUT/answers/         every reply as it came, under the hash of all that was asked: nothing is paid twice
    OUT/ledger.sqlite    what was asked, what it cost, how it ended
    OUT/replies.jsonl    each question with what was sent, the reply, what was read in it, and the right answer
    OUT/results.json     rows as `knowlip evaluate` writes them

A stopped run goes on with the same command, which also asks again what got no answer.
"""

import json
import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pandas as pd

from knowlip.annotators.openai.annotator import image_url
from knowlip.annotators.openai.cached import CachedEndpoint, ChatRequest
from knowlip.annotators.openai.cost import input_tokens, prices_of
from knowlip.annotators.openai.ledger import RequestLedger
from knowlip.annotators.openai.work import EndpointWork
from knowlip.base.files import sha256, whole_file
from knowlip.base.progress import console, say, track
from knowlip.base.rows import OTHER_IMAGE, Json, Results
from knowlip.base.settings import same_or_refuse
from knowlip.benchmark.llm.prompt import prompt_of
from knowlip.benchmark.llm.published import PUBLISHED, SOURCE
from knowlip.benchmark.llm.reading import LlmReply, understood
from knowlip.benchmark.llm.settings import BenchLlmConfig
from knowlip.benchmark.table import print_table
from knowlip.jobs.run import runner
from knowlip.jobs.store import alone
from knowlip.jobs.work import Threads
from knowlip.language.questions import QUESTION_TYPES, Question
from knowlip.tasks.answers import Answered, Asked, agreement, answer_rows, posed, teachers
from knowlip.tasks.bench import CLUSTERS, Bench, MeasureLimits
from knowlip.tasks.metrics import proportion

RESULTS: Final = "results.json"
REPLIES: Final = "replies.jsonl"
SETTINGS: Final = "llm.yaml"
_SAMPLE_PX: Final = 64
"""Side of the image in whose place estimates count `openai.image_tokens`."""
_SHOWN: Final = 10
"""Replies that could not be read, and reasons, that the details show."""


class LlmQuestion(NamedTuple):
    """A question, and the tile whose image is sent with it."""

    question: Question
    image_of: str


def bench_llm(config: BenchLlmConfig) -> Results:
    """Ask, read the replies, and write rows.

    Returns:
        What results.json holds; of a `dry_run` no rows, and the estimate in `details`.

    Raises:
        ValueError: no such split; the endpoint cannot be used, or no question got an answer; other settings in `out`;
            the limit of the cost is reached.
    """
    limits = MeasureLimits(questions_per_type=config.questions_per_type)
    bench = Bench(config.dataset, config.split, limits, config.seed, name=config.name)
    asked = posed(bench)
    if not asked.questions:
        raise ValueError(f"No clear question can be asked about the split {config.split!r} of {config.dataset}.")
    wanted = [LlmQuestion(one, one.tile_id) for one in asked.questions]
    if config.other_image:
        wanted += [
            LlmQuestion(one, bench.others[one.tile_id]) for one in asked.questions if one.tile_id in bench.others
        ]
    if config.dry_run:
        return Results((), {"estimate": _estimate(config, bench, wanted)})
    config.out.mkdir(parents=True, exist_ok=True)
    with alone(config.out / "lock", f"Another process asks in {config.out}: let it end, or use another output folder."):
        replies, setup, spent = _ask_all(config, bench, wanted)
        if not any(reply.outcome != "no answer" for reply in replies):
            why = Counter(reply.why for reply in replies).most_common(1)[0][0]
            raise ValueError(f"None of {len(replies)} questions was answered ({why}); nothing is measured.")
        _write_replies(config.out / REPLIES, config, bench, wanted, replies)
        results = _results(config, bench, asked, wanted, replies, setup, spent)
        results.write(config.out / RESULTS)
        return results


def show(results: Results) -> str:
    """A table of what was measured, and beside it what others have published."""
    if "estimate" in results.details:
        found = results.details["estimate"]
        return (
            f"{found['requests']:,} requests of {found['input_tokens']:,} input and {found['output_tokens']:,} output "
            f"tokens; cost {found['cost']:.4f}"
        )
    print_table(results)
    names = [kind.replace("_", " ") for kind in QUESTION_TYPES]
    console.print(f"Published, not measured here ({SOURCE}; other images and questions), %: {', '.join(names)}")
    for model, values in PUBLISHED.items():
        console.print(f"  {model:20} {'  '.join(f'{value:5.1f}' for value in values)}", markup=False)
    outcomes = results.details["vqa"]["outcomes"]
    assert isinstance(outcomes, Mapping)
    return f"outcomes: {', '.join(f'{count} {name}' for name, count in outcomes.items())}"


# ---- asking ---------------------------------------------------------------------------------------------------------


def _parameters(config: BenchLlmConfig) -> dict[str, Any]:
    """Everything of a request but its messages."""
    options = config.options
    asked = {
        **{"model": config.model, "temperature": options.temperature},
        **{"max_tokens": options.max_tokens, "seed": options.seed},
    }
    return {name: value for name, value in (asked | options.extra).items() if value is not None}


def _prompt(config: BenchLlmConfig, bench: Bench, one: LlmQuestion) -> str:
    return prompt_of(one.question, bench.grounds_m[one.image_of], config.prompt, config.blind)


def _without_spacing(config: BenchLlmConfig, bench: Bench, wanted: Sequence[LlmQuestion]) -> int:
    """Questions whose image goes without the `metres_per_pixel` that was asked for: it is not known."""
    return sum(config.metres_per_pixel and not bench.windows[one.image_of] > 0 for one in wanted)


def _messages(config: BenchLlmConfig, bench: Bench, one: LlmQuestion, url: str) -> list[dict[str, Any]]:
    text = _prompt(config, bench, one)
    content: Any = text
    if not config.blind:
        content = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url}}]
    return [{"role": "user", "content": content}]


def _asker(config: BenchLlmConfig, bench: Bench, endpoint: CachedEndpoint) -> Callable[[LlmQuestion], ChatRequest]:
    """What is sent of a question; images are encoded when it is their turn."""
    options, lock = config.options, threading.Lock()

    def request(one: LlmQuestion) -> ChatRequest:
        url, changes = "", {}
        if not config.blind:
            with lock:  # the data set's files are read by one thread at a time
                image = bench.data.image(one.image_of)
            url = image_url(image, options.image_side, options.image_format)
            if config.metres_per_pixel and bench.windows[one.image_of] > 0:  # NaN where it is not known
                sent = min(max(image.shape), options.image_side)
                changes = {"metres_per_pixel": bench.windows[one.image_of] / sent}
        return endpoint.question(_messages(config, bench, one, url), one.question.tile_id, 0, changes)

    return request


def _ask_all(
    config: BenchLlmConfig, bench: Bench, wanted: Sequence[LlmQuestion]
) -> tuple[list[LlmReply], dict[str, Json], dict[str, Json]]:
    """Replies in the order of the questions; what decides them; and what they cost."""
    # Stored replies are known by all that was asked but the address: another endpoint's must not count.
    ledger = RequestLedger(config.out / "ledger.sqlite")
    try:
        if config.retry_failed:
            ledger.forgive()
        endpoint = CachedEndpoint(
            config.model,
            config.options,
            config.out / "answers",
            config.base_url,
            ledger,
            config.max_cost,
            parameters=_parameters(config),
        )
        setup: dict[str, Json] = {
            "dataset_fingerprint": bench.data.fingerprint,
            "split": config.split,
            "seed": config.seed,
            "model": config.model,
            "endpoint": endpoint.base_url,
            "blind": config.blind,
            "prompt": config.prompt,
            "metres_per_pixel": config.metres_per_pixel,
            "prompts_sha256": _prompts_hash(config, bench, wanted),
            "parameters": _parameters(config),
            "image_side": config.openai.image_side,
            "image_format": config.openai.image_format,
        }
        bound = {name: value for name, value in setup.items() if name != "prompts_sha256"}
        same_or_refuse(config.out / SETTINGS, bound)
        endpoint.check()
        found: dict[LlmQuestion, LlmReply] = {}
        work = EndpointWork(endpoint, _asker(config, bench, endpoint))
        with runner(work, Threads(config.concurrency)) as run:
            for one, answer in track(run(list(wanted)), "ask questions", len(wanted)):
                found[one] = understood(one.question, answer)
        books = {name: value for name, value in ledger.summary().items() if name != "tiles"}
        spent: dict[str, Json] = {"usage": endpoint.usage.as_dict(), "ledger": books}
        return [found[one] for one in wanted], setup, spent
    finally:
        ledger.close()


def _prompts_hash(config: BenchLlmConfig, bench: Bench, wanted: Sequence[LlmQuestion]) -> str:
    return sha256(json.dumps([_messages(config, bench, one, one.image_of) for one in wanted]).encode())


def _estimate(config: BenchLlmConfig, bench: Bench, wanted: Sequence[LlmQuestion]) -> dict[str, Json]:
    tokens = sum(input_tokens({"messages": _messages(config, bench, one, "")}, config.options) for one in wanted)
    output = len(wanted) * config.openai.typical_output_tokens
    cost = round(prices_of(config.openai, False).of(tokens, output), 4)
    if not prices_of(config.openai, False).known:
        say("  The cost needs prices of a million tokens: --openai.price_in and --openai.price_out.")
    return {"requests": len(wanted), "input_tokens": tokens, "output_tokens": output, "cost": cost}


# ---- what it comes to -----------------------------------------------------------------------------------------------


def _results(
    config: BenchLlmConfig,
    bench: Bench,
    asked: Asked,
    wanted: Sequence[LlmQuestion],
    replies: Sequence[LlmReply],
    setup: dict[str, Json],
    spent: dict[str, Json],
) -> Results:
    """Rows of the model, of the annotator and of the other image, and what came of the questions."""
    count = len(asked.questions)  # the questions again with the image of another tile stand behind these

    def answered(first: int, last: int) -> Answered:
        part, given = wanted[first:last], replies[first:last]
        own = replace(asked, questions=[one.question for one in part], given=[reply.answer for reply in given])
        return Answered(own, lambda kinds: _note(config, bench, part, given, kinds))

    everyone = {config.encoder: answered(0, count), **teachers(bench, asked)}
    if len(wanted) > count:
        everyone[OTHER_IMAGE + config.encoder] = answered(count, len(wanted))
    read = proportion(
        [reply.outcome == "read" for reply in replies[:count]], [bench.clusters[q.tile_id] for q in asked.questions]
    )
    rows = (*answer_rows(bench, everyone), bench.row("vqa", config.encoder, "replies that could be read", read))
    own, lent = replies[:count], replies[count:]
    details: dict[str, Mapping[str, Json]] = {
        "vqa": {
            "outcomes": dict(Counter(reply.outcome for reply in own)),
            "by_type": {
                kind: dict(Counter(reply.outcome for one, reply in zip(wanted, own) if one.question.type == kind))
                for kind in QUESTION_TYPES
            },
            "reasons": dict(Counter(reply.why for reply in own if reply.why).most_common(_SHOWN)),
            "without_metres_per_pixel": _without_spacing(config, bench, wanted[:count]),
            "unread": [reply.said[:200] for reply in own if reply.outcome == "unreadable"][:_SHOWN],
            **({"other_image_outcomes": dict(Counter(reply.outcome for reply in lent))} if lent else {}),
            **spent,
        },
        "published": {"source": f"{SOURCE}; published, not measured here", **dict(PUBLISHED)},
    }
    setup |= {
        "tiles": len({one.tile_id for one in asked.questions}),
        "tiles_without_texts": bench.without_texts,
        "clusters": CLUSTERS[bench.unit],
        "encoders": {config.encoder: ""},
    }
    return Results(rows, details, setup)


def _note(
    config: BenchLlmConfig,
    bench: Bench,
    wanted: Sequence[LlmQuestion],
    replies: Sequence[LlmReply],
    kinds: Sequence[str],
) -> str:
    """What the figure of some types rests on."""
    own = [(one, reply.outcome) for one, reply in zip(wanted, replies) if one.question.type in kinds]
    said = Counter(outcome for _, outcome in own)
    wrong = [f"{said[name]} {name}" for name in ("unreadable", "refused", "no answer") if said[name]]
    told = [agreement(bench)] + [f"Of {len(own)} replies {', '.join(wrong)}: they count as wrong."] * bool(wrong)
    if without := _without_spacing(config, bench, [one for one, _ in own]):
        told.append(f"{without} of {len(own)} images went without metres_per_pixel: it is not known.")
    return " ".join(told).strip()


def _write_replies(
    path: Path, config: BenchLlmConfig, bench: Bench, wanted: Sequence[LlmQuestion], replies: Sequence[LlmReply]
) -> None:
    """Every question with its reply, one JSON object a line."""
    table = pd.DataFrame(
        {
            "tile_id": one.question.tile_id,
            "image_of": "" if config.blind else one.image_of,
            "type": str(one.question.type),
            "question": one.question.question,
            "sent": _prompt(config, bench, one),
            "reply": reply.said,
            "outcome": reply.outcome,
            "why": reply.why,
            "read": reply.answer,
            "answer": one.question.answer,
            "right": reply.answer == one.question.answer,
        }
        for one, reply in zip(wanted, replies)
    )
    with whole_file(path) as part:
        table.to_json(part, orient="records", lines=True, force_ascii=False)
