"""Speed and memory of one pre-training step beside BLIP's structure in plain PyTorch, interleaved in one run.

python -m benchmarks.pretrain_step --size tiny|small|base|large [--device auto] [--precision fp32|bf16] [--compile]

Both take the recipe's weights, batches of synthetic texts of the published lengths, all three objectives, the momentum
model, the queue and AdamW. Before anything is timed, both run two steps in float32 on the same weights, batches and
draws; nothing is reported unless their losses agree to 1e-4. The baseline always runs as its code is: eager, float32.
"""

import argparse
import copy
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tokenizers import models

from benchmarks.blip_step import BlipStep
from benchmarks.memory import resident_peak_mb
from benchmarks.record import record
from knowlip.base.parsing import stage_config
from knowlip.base.recipes import load_recipe
from knowlip.models import KnowLIP, TextTokenizer
from knowlip.models.flops import peak_flops
from knowlip.models.text import Heads, first_holes
from knowlip.models.tokenizer import EXTRA, SPECIAL, _bert, pad
from knowlip.tasks.pretrain import PretrainConfig
from knowlip.training.batch import Batch
from knowlip.training.engine import compile_blocks
from knowlip.training.holes import HoleConfig
from knowlip.training.losses import JointLoss

TEXT_MEAN, TEXT_STD = 125, 22
"""Tokens of the eight-part texts in the public records: mean 125, 95th percentile 162."""
_ALPHA = 0.4
_RATE = 1e-5
_AGREE = 1e-4


def settings(size: str) -> PretrainConfig:
    values = load_recipe(size)["pretrain"]
    return stage_config(PretrainConfig, {**values, "dataset": "-", "out": "-"})


def make_step(config: PretrainConfig) -> JointLoss:
    torch.manual_seed(0)
    size = config.vocab_size
    pieces = [*SPECIAL, *(f"w{i}" for i in range(size - len(SPECIAL) - len(EXTRA)))]
    tokenizer = TextTokenizer(_bert(models.WordPiece({piece: i for i, piece in enumerate(pieces)}, unk_token="[UNK]")))
    model_config = copy.deepcopy(config.model)
    model_config.text.vocab_size = size
    step = JointLoss(KnowLIP(model_config, tokenizer), config.objectives)
    filled, width = step.queue.size, model_config.embed_dim
    features = torch.nn.functional.normalize(torch.randn(2, filled, width), dim=-1)
    step.queue.push(*features, torch.arange(filled) + 10**6, torch.arange(filled) + 10**6)
    return step


def make_batch(config: PretrainConfig, step: JointLoss, pairs: int, tokens: int, multiple: int, seed: int) -> Batch:
    """Random pixels and words; lengths of texts as published, holes as the recipe cuts them."""
    rng, tokenizer = np.random.default_rng(seed), step.model.tokenizer
    lengths = np.clip(rng.normal(TEXT_MEAN, TEXT_STD, pairs).astype(int), 40, tokens - 2)
    lengths[0] = tokens - 2
    texts = [rng.integers(len(SPECIAL), config.vocab_size - len(EXTRA), length).tolist() for length in lengths]
    holes = [cut(text, tokenizer.mask, rng, config.holes) for text in texts]
    holes = holes[: max(1, round(pairs * config.objectives.infill_share))]
    side = config.model.vision.image_size

    def padded(rows: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        longest = max(map(len, rows))
        extra = -longest % multiple
        return pad([[*row, *([tokenizer.pad] * extra)] if extra and len(row) == longest else row for row in rows])

    def masked(pair: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        return pair[0], pair[0] != tokenizer.pad

    context = padded([tokenizer.frame(context, tokens, True) for context, _ in holes])
    return Batch(
        torch.from_numpy(rng.integers(0, 256, (pairs, side, side), dtype=np.uint8)),
        torch.arange(pairs) + seed * pairs,
        torch.arange(pairs) + seed * pairs,
        masked(padded([tokenizer.frame(text, tokens) for text in texts])),
        masked(context),
        first_holes(context[0], tokenizer.mask),
        masked(padded([[tokenizer.dec, *content[: tokens - 2], tokenizer.sep] for _, content in holes])),
        torch.from_numpy(rng.random((pairs, 2))),
    )


def cut(text: list[int], mask: int, rng: np.random.Generator, config: HoleConfig) -> tuple[list[int], list[int]]:
    """Context and content: a span, one of eight equal sub-texts, or everything."""
    shares = np.array([config.span, config.subtext, config.everything])
    kind = rng.choice(3, p=shares / shares.sum())
    if kind == 2:
        return [mask], text
    length = len(text) // 8 if kind == 1 else int(rng.integers(1, config.span_tokens + 1))
    start = int(rng.integers(0, len(text) - length))
    return [*text[:start], mask, *text[start + length :]], text[start : start + length]


def set_dropout(module: torch.nn.Module, dropout: float) -> None:
    for part in module.modules():
        if isinstance(part, torch.nn.Dropout):
            part.p = dropout
        elif isinstance(part, Heads):
            part.dropout = dropout


def ours(step: JointLoss, device: torch.device, precision: str) -> Callable[[Batch], dict[str, torch.Tensor]]:
    """One whole step: losses, backward pass, optimiser, momentum model, queue."""
    parameters = [p for p in step.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=_RATE, weight_decay=0.05, fused=device.type in ("cuda", "cpu"))
    step.train()
    step.ema.eval()

    def run(batch: Batch) -> dict[str, torch.Tensor]:
        with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
            losses, features = step(batch.to(device, non_blocking=True), _ALPHA)
        losses["loss"].backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        step.finish([features], step.config.momentum)
        return losses

    return run


def blips(step: BlipStep, device: torch.device) -> Callable[[Batch], dict[str, torch.Tensor]]:
    """The same of the baseline."""
    optimizer = torch.optim.AdamW([p for p in step.parameters() if p.requires_grad], lr=_RATE, weight_decay=0.05)
    step.train()
    step.ema.eval()

    def run(batch: Batch) -> dict[str, torch.Tensor]:
        losses = step(batch.to(device), _ALPHA)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        return losses

    return run


def check_same_losses(step: JointLoss, batches: list[Batch], device: torch.device) -> float:
    """Largest difference of a loss over two steps, without dropout, in float32.

    Raises:
        SystemExit: they differ: the two do not compute the same thing, and no ratio of their speeds means anything.
    """
    mine, baseline = copy.deepcopy(step), BlipStep(step)
    for module in (mine, baseline):
        set_dropout(module, 0.0)
    run, run_baseline = ours(mine, device, "fp32"), blips(baseline, device)
    apart = 0.0
    for batch in batches[:2]:
        got, want = run(batch), run_baseline(batch)
        apart = max(apart, *(abs(float(got[name].detach()) - float(want[name].detach())) for name in want))
    if not apart <= _AGREE:
        raise SystemExit(f"The losses differ by {apart:.2g}, more than {_AGREE}: nothing is reported.")
    return apart


def seconds(run: Callable[[Batch], Any], batches: list[Batch], device: torch.device) -> float:
    """Mean time of a step."""
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start = time.perf_counter()
    for batch in batches:
        run(batch)
    wait()
    return (time.perf_counter() - start) / len(batches)


def peak_memory(options: argparse.Namespace, which: str) -> float:
    """GB at the peak of three steps in a process of their own: of the device, or resident where there is none."""
    command = [sys.executable, "-m", "benchmarks.pretrain_step", *sys.argv[1:], "--only", which]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(json.loads(done.stdout.splitlines()[-1])["peak_gb"])


def runner(options: argparse.Namespace, config: PretrainConfig, step: JointLoss, which: str) -> Callable:
    device = torch.device(options.device)
    module: torch.nn.Module = copy.deepcopy(step) if which == "ours" else BlipStep(step)
    set_dropout(module, config.model.text.dropout)
    if which == "blip":
        return blips(module, device)  # type: ignore[arg-type]
    if options.compile:
        compile_blocks(module)
    return ours(module, device, options.precision)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["tiny", "small", "base", "large"], default="tiny")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", choices=["fp32", "bf16"], default=None, help="of our step; bf16 on a GPU")
    parser.add_argument("--compile", action="store_true", help="compile the transformer blocks of our step")
    parser.add_argument("--batch", type=int, default=None, help="pairs; the recipe's by default, at most 128")
    parser.add_argument("--tokens", type=int, default=160, help="length of the padded texts")
    parser.add_argument("--steps", type=int, default=3, help="steps in a repetition")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=None)
    parser.add_argument("--only", choices=["ours", "blip"], help="three steps of one of the two; prints peak memory")
    parser.add_argument("--out", type=Path, default=None)
    options = parser.parse_args()
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(options.device)
    on_gpu = device.type == "cuda"
    options.precision = options.precision or ("bf16" if on_gpu else "fp32")
    if options.threads:
        torch.set_num_threads(options.threads)
    config = settings(options.size)
    pairs = options.batch or min(128, config.batch_size)
    step = make_step(config).to(device)
    batches = [
        make_batch(config, step, pairs, options.tokens, 32 if on_gpu else 1, seed)
        for seed in range(max(3, options.steps))
    ]
    if options.only:
        run = runner(options, config, step, options.only)
        del step
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        seconds(run, batches[:3], device)
        # not getrusage: its peak is inherited from the process that started this one
        peak_gb = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else resident_peak_mb() / 1e3
        print(json.dumps({"peak_gb": peak_gb}))
        return
    apart = check_same_losses(step, batches, device)
    flops = statistics.mean(step.flops(batch) for batch in batches)
    runs = {which: runner(options, config, step, which) for which in ("ours", "blip")}
    for run in runs.values():
        seconds(run, batches, device)
    times: dict[str, list[float]] = {"ours": [], "blip": []}
    for _ in range(options.repetitions):
        for which, run in runs.items():
            times[which].append(seconds(run, batches, device))
    middle = {which: statistics.median(values) for which, values in times.items()}
    ratio = statistics.median(b / a for a, b in zip(times["ours"], times["blip"]))
    del runs, step
    if on_gpu:
        torch.cuda.empty_cache()
    name = torch.cuda.get_device_name() if on_gpu else f"cpu, {torch.get_num_threads()} threads"
    peak = peak_flops(name)
    result = {
        "size": options.size,
        "device": name,
        "precision": options.precision,
        "compile": options.compile,
        "torch": torch.__version__,
        "pairs": pairs,
        "tokens": options.tokens,
        "image_px": config.model.vision.image_size,
        "ratio_of_repetitions": round(ratio, 3),
        "gflop_a_pair": round(flops / pairs / 1e9, 2),
        "tflops": round(flops / middle["ours"] / 1e12, 3),
        "mfu": round(flops / middle["ours"] / peak, 4) if peak else None,
        "largest_difference_of_losses": apart,
        "peak_gb": {which: round(peak_memory(options, which), 3) for which in ("ours", "blip")},
        "ms_a_step": {which: [round(1e3 * value, 2) for value in values] for which, values in times.items()},
    }
    out = options.out or Path(__file__).parent / "results" / f"pretrain_step_{options.size}_{device.type}.json"
    unit = "pairs a second, whole step; baseline: BLIP's structure in eager float32 (benchmarks/blip_step.py)"
    record(out, round(pairs / middle["ours"], 2), round(pairs / middle["blip"], 2), unit, result, name)
    print(json.dumps(result))


if __name__ == "__main__":
    main()
