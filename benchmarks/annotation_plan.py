"""Plan of a large annotation run on paper: requests, tokens, cost and hours, hosted and on one 8-GPU node.

    python -m benchmarks.annotation_plan DATASET [--tiles 120000] [--price_in 0.4] [--prefill 20000] ...

Token counts are measured: the prompts of the data set's own tiles are composed as they would be sent and counted by the
stated rule (`annotators.tokens`; with the package bpe-openai installed also by OpenAI's o200k_base, as a check).
Prices, rate limits and throughputs are assumptions; every one is a setting, printed with the result.
"""

import argparse
import importlib.util
import json
from pathlib import Path
from typing import Any

from benchmarks.record import record
from knowlip.annotators.openai.cost import CostEstimate, Prices, estimate_wave, typical_annotation
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.openai.prompt import compose_prompt, prompt_hash
from knowlip.annotators.tokens import count_tokens
from knowlip.annotators.types import TileRequest
from knowlip.annotators.workers import Chunk, requests
from knowlip.dataset import Dataset

SHARES = {"large": 1 / 21, "medium": 4 / 21, "small": 16 / 21}
"""A large tile holds four medium and sixteen small ones."""


def sample(dataset: Dataset, scale: str, most: int) -> list[TileRequest]:
    """Tiles of a wave, evenly over it, each with a parent's text of the paper's average length."""
    tiles = dataset.tiles(scale=scale)
    part = tiles.iloc[:: max(1, -(-len(tiles) // most))]
    rows = [{str(key): value for key, value in row.items()} for row in part.to_dict("records")]
    parents = {row["parent_id"]: typical_annotation() for row in rows if row["parent_id"]}
    return list(requests(dataset, Chunk(scale, rows, parents)))


def plan(arguments: argparse.Namespace) -> dict[str, Any]:
    options = OpenAIOptions(image_tokens=arguments.image_tokens, repair_share=arguments.repair_share)
    schema = options.parameters("")["response_format"]["json_schema"]["schema"]
    dataset, total, waves, example = Dataset(arguments.dataset), CostEstimate(), {}, None
    for scale, share in SHARES.items():
        found = sample(dataset, scale, arguments.sample)
        example = found[0] if found else example
        wave = estimate_wave(found, round(arguments.tiles * share), options)
        waves[scale] = wave.row(Prices(arguments.price_in, arguments.price_out))
        total += wave
    assert example is not None
    prompt = compose_prompt(example)
    parts = {"system": prompt.system, "user": prompt.user, "schema": json.dumps(schema)}
    fixed = count_tokens(parts["system"]) + count_tokens(parts["schema"])
    # A server with prefix caching reads the system message once; vLLM enforces the schema and does not read it.
    schema_tokens = count_tokens(parts["schema"]) * total.requests
    same = fixed * total.requests
    prices = Prices(arguments.price_in, arguments.price_out)
    paid = prices.of(total.input_tokens, total.output_tokens)
    cached = arguments.cached_discount * prices.of(arguments.cached_share * same, 0)
    by_requests = total.requests / arguments.requests_per_minute / 60
    by_tokens = (total.input_tokens + total.output_tokens) / arguments.tokens_per_minute / 60
    fresh = total.input_tokens - same
    gpus = arguments.gpus
    prefill_h = fresh / (arguments.prefill * gpus) / 3600
    decode_h = total.output_tokens / (arguments.decode * gpus) / 3600
    node_h = prefill_h + decode_h
    uncached_h = (total.input_tokens - schema_tokens) / (arguments.prefill * gpus) / 3600 + decode_h
    return {
        "assumptions": {
            name: value for name, value in sorted(vars(arguments).items()) if name not in ("dataset", "out")
        },
        "prompts": prompt_hash(),
        "tokens_by_the_rule": {name: count_tokens(text) for name, text in parts.items()},
        "tokens_by_o200k_base": _o200k(parts),
        "waves": waves,
        "all": total.row(prices),
        "hosted": {
            "cost": round(paid),
            "cost_with_prompt_caching": round(paid - cached),
            "hours": round(max(by_requests, by_tokens), 1),
            "limited_by": "tokens" if by_tokens > by_requests else "requests",
        },
        "hosted_batch": {
            "cost": round(paid * (1 - arguments.batch_discount)),
            "rounds": 3 * 2,
            "hours_at_most": 24 * 3 * 2,
            "files": sum(-(-int(row["tiles"]) // options.batch_requests) for row in waves.values()),
        },
        "vllm": {
            "hours": round(node_h, 1),
            "hours_without_prefix_cache": round(uncached_h, 1),
            "cost": round(node_h * arguments.node_per_hour),
            "tiles_per_second": round(arguments.tiles / node_h / 3600, 1),
        },
    }


def _o200k(parts: dict[str, str]) -> dict[str, int] | None:
    if importlib.util.find_spec("bpe_openai") is None:
        return None
    import bpe_openai  # type: ignore[import-not-found, unused-ignore]

    encoding = bpe_openai.get_encoding("o200k_base")
    return {name: len(encoding.encode(text)) for name, text in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("dataset", type=Path)
    parser.add_argument("--tiles", type=int, default=120_000)
    parser.add_argument("--sample", type=int, default=100, help="tiles a wave whose prompts are counted")
    parser.add_argument("--image_tokens", type=int, default=255, help="of 256 x 256 pixels")
    parser.add_argument("--repair_share", type=float, default=0.05)
    parser.add_argument("--price_in", type=float, default=0.40, help="of a million tokens")
    parser.add_argument("--price_out", type=float, default=1.60)
    parser.add_argument("--batch_discount", type=float, default=0.5)
    parser.add_argument("--cached_share", type=float, default=0.9, help="of the common prefix that is found cached")
    parser.add_argument("--cached_discount", type=float, default=0.75)
    parser.add_argument("--requests_per_minute", type=float, default=5_000)
    parser.add_argument("--tokens_per_minute", type=float, default=4_000_000)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--prefill", type=float, default=15_000, help="input tokens a second and GPU")
    parser.add_argument("--decode", type=float, default=2_000, help="output tokens a second and GPU")
    parser.add_argument("--node_per_hour", type=float, default=24.0, help="price of the node")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "annotation_plan.json")
    arguments = parser.parse_args()
    result = plan(arguments)
    unit = "cost of a hosted run at the prices assumed; baseline: the same through the Batch API"
    record(arguments.out, result["hosted"]["cost"], result["hosted_batch"]["cost"], unit, result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
