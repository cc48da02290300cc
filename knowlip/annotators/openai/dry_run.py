"""What an openai run would ask for and cost, without asking anything: no key is needed and nothing is written."""

from collections.abc import Collection
from typing import Any

from knowlip.annotators.openai.cost import Estimate, estimate_wave, prices_of, table, typical_annotation
from knowlip.annotators.openai.options import OpenAIOptions
from knowlip.annotators.workers import Chunk, requests
from knowlip.base.progress import say
from knowlip.base.vocabulary import SCALES
from knowlip.dataset import Dataset

SAMPLE = 200
"""Tiles a wave whose prompts are composed and counted, evenly over the wave; the rest is taken to be like them."""


def estimate(dataset: Dataset, options: OpenAIOptions, batch: bool, finished: Collection[str] = ()) -> dict[str, Any]:
    """Estimate the waves of a run, of the tiles that are not `finished`, and print a table.

    Answers are taken to be of the paper's average length (or `typical_output_tokens`), every parent to be annotated.

    Returns:
        `dry_run`, `waves` (scale, and "all" -> tiles, requests, input_tokens (with images), image_tokens,
        output_tokens, cost), `prices` (of a million tokens), `counted` ("rule" or the tokenizer's file).
    """
    prices = prices_of(options, batch)
    schema = options.parameters("").get("response_format", {}).get("json_schema", {}).get("schema")
    rows: dict[str, dict[str, float]] = {}
    total = Estimate()
    for scale in SCALES:
        tiles = dataset.tiles(scale=scale)
        tiles = tiles[~tiles["tile_id"].isin(finished)]
        part = tiles.iloc[:: max(1, -(-len(tiles) // SAMPLE))]
        found = [{str(key): value for key, value in row.items()} for row in part.to_dict("records")]
        parents = {row["parent_id"]: typical_annotation() for row in found if row["parent_id"]}
        wave = estimate_wave(requests(dataset, Chunk(scale, found, parents)), len(tiles), options, schema)
        rows[scale] = wave.row(prices)
        total += wave
    rows["all"] = total.row(prices)
    say(table(rows))
    if not prices.known:
        say("  The cost needs prices of a million tokens: --openai.price_in and --openai.price_out.")
    return {
        "dry_run": True,
        "waves": rows,
        "prices": {"input": prices.input, "output": prices.output},
        "counted": options.tokenizer or "rule",
    }
