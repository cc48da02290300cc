"""Fit the measured annotator's perceptrons on whole tiles (knowlip/annotators/measured/overall.py).

    python -m benchmarks.fit_measured_overall values DATASET OUT.npz [--seed 0]
    python -m benchmarks.fit_measured_overall fit VALUES.npz [MORE.npz] [--out knowlip/annotators/measured/overall.npy]

DATASET must be simulated with seeds that neither the cells' network was fitted on nor anything is measured on. `values`
annotates its tiles down the chain, each changed in brightness and contrast at random so that no exact level of the
simulator is learned, and keeps the numbers and the truth of those that may hold targets. Needs PyTorch; the annotator
does not.
"""

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as f

from knowlip.annotators.measured import annotator, overall
from knowlip.annotators.measured.measure import evidence_of, look
from knowlip.annotators.measured.mentions import SEEN_FROM
from knowlip.annotators.measured.overall import COUNTS, HEADS, HIDDEN, LENGTHS, MEMBERS, PATTERNS
from knowlip.annotators.measured.statistics import STATISTICS
from knowlip.annotators.types import Annotation
from knowlip.annotators.workers import tile_request
from knowlip.base.vocabulary import AIRCRAFT_TYPES, SCALES, SHIP_TYPES, TARGET_CATEGORIES
from knowlip.dataset import Dataset
from knowlip.language.definitions import arrangement

Arrays = dict[str, np.ndarray]


def truth_of(objects: list[dict[str, Any]], category: str) -> list[float]:
    """Classes of count, length, type and pattern; -1 where the question has no answer."""
    mine = [item for item in objects if item["category"] == category]
    count = int(np.searchsorted(COUNTS, len(mine), side="right")) - 1
    if not mine:
        return [count, -1, -1, -1]
    length = float(np.median([item["length_m"] for item in mine]))
    names = [kind.name for kind in (SHIP_TYPES if category == "ship" else AIRCRAFT_TYPES)]
    kind = names.index(Counter(item["type"] for item in mine).most_common(1)[0][0])
    pattern = arrangement([(item["x"], item["y"]) for item in mine])
    at = int(np.clip(np.searchsorted(LENGTHS, length, side="right") - 1, 0, len(LENGTHS) - 2))
    return [count, at, kind, PATTERNS.index(pattern) if pattern in PATTERNS else -1]


def changed(image: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    """The image in another brightness and contrast."""
    grey = (image.astype(np.float32) - 128) * rng.normal(1, 0.06) + 128 + rng.normal(0, 6)
    return np.asarray(np.where(image > 0, np.clip(grey, 1, 255), 0), dtype=np.uint8)


def values(folder: Path, out: Path, seed: int) -> None:
    """Annotate a data set and keep what the perceptrons learn from."""
    dataset, rng = Dataset(folder), np.random.default_rng(seed)
    truths = dataset.truth()
    done: dict[str, Annotation] = {}
    rows: list[tuple[int, np.ndarray, list[float]]] = []
    for scale in SCALES:
        tiles = dataset.tiles(scale=scale)
        for row, image in zip(tiles.to_dict("records"), dataset.images(list(tiles["tile_id"]))):
            grey = changed(image, rng)
            request = tile_request({str(key): value for key, value in row.items()}, grey, done.get(row["parent_id"]))
            seen = look(grey, request.metres_per_pixel, annotator.context_of(request))
            if scale != SCALES[-1]:
                targets = seen.targets if seen.expected[seen.category] >= SEEN_FROM else []
                done[row["tile_id"]] = annotator.write(evidence_of(seen, targets, seen.expected, None), request)
            if seen.values is not None:
                objects = truths[row["tile_id"]]["objects"]
                rows.append((TARGET_CATEGORIES.index(seen.category), seen.values, truth_of(objects, seen.category)))
    category, numbers, truth = (np.array(part) for part in zip(*rows))
    np.savez_compressed(out, category=category, values=numbers.astype(np.float32), truth=truth.astype(np.int64))
    print(f"{len(rows)} tiles", flush=True)


def loss_of(scores: Tensor, truth: Tensor) -> Tensor:
    """Sum of the questions' cross-entropies, each over the tiles that answer it."""
    terms = torch.zeros(())
    for number, part in enumerate(scores.split(list(HEADS.values()), dim=1)):
        known = truth[:, number] >= 0
        terms = terms + f.cross_entropy(part[known], truth[known, number], label_smoothing=0.02)
    return terms


def perceptron(x: Tensor, truth: Tensor, epochs: int, seed: int) -> nn.Sequential:
    """Fit one perceptron; noise on the inputs and dropout stand against learning single tiles by heart."""
    torch.manual_seed(seed)
    outputs = sum(HEADS.values())
    model = nn.Sequential(nn.Linear(STATISTICS, HIDDEN), nn.ReLU(), nn.Dropout(0.4), nn.Linear(HIDDEN, outputs))
    optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    batch = 128
    steps = epochs * max(1, len(x) // batch)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 3e-3, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,))
        loss = loss_of(model(x[rows] + 0.2 * torch.randn(batch, STATISTICS)), truth[rows])
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        optimiser.step()
        schedule.step()
    return model.eval()


def fit(paths: list[Path], out: Path, epochs: int) -> None:
    """Fit all members for both categories and write their weights."""
    parts = [np.load(path) for path in paths]
    data = {name: np.concatenate([part[name] for part in parts]) for name in ("category", "values", "truth")}
    flat: list[np.ndarray] = []
    for number, name in enumerate(TARGET_CATEGORIES):
        chosen = data["category"] == number
        raw, truth = data["values"][chosen], torch.from_numpy(data["truth"][chosen])
        centre, scale = raw.mean(0), np.maximum(raw.std(0), 0.05)
        x = torch.from_numpy(np.clip((raw - centre) / scale, -4.0, 4.0).astype(np.float32))
        flat += [centre, scale]
        for seed in range(MEMBERS):
            model = perceptron(x, truth, epochs, seed)
            with torch.no_grad():
                print(name, len(x), seed, f"loss {loss_of(model(x), truth):.3f}", flush=True)
            for layer in model:
                if isinstance(layer, nn.Linear):
                    flat += [layer.weight.detach().numpy().T.ravel(), layer.bias.detach().numpy()]
    np.save(out, np.concatenate(flat).astype(np.float16))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    tasks = parser.add_subparsers(dest="task", required=True)
    first = tasks.add_parser("values")
    first.add_argument("dataset", type=Path)
    first.add_argument("out", type=Path)
    first.add_argument("--seed", type=int, default=0)
    second = tasks.add_parser("fit")
    second.add_argument("values", type=Path, nargs="+")
    second.add_argument("--epochs", type=int, default=100)
    second.add_argument("--out", type=Path, default=Path(overall.__file__).with_name("overall.npy"))
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    if chosen.task == "values":
        values(chosen.dataset, chosen.out, chosen.seed)
    else:
        fit(chosen.values, chosen.out, chosen.epochs)


if __name__ == "__main__":
    main()
